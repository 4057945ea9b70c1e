"""How far the codes and frames of a motion generator move when it is played as a stream.

    python -m benchmarks.motion.code_windows [--motion NAME --renderer NAME]
        [--seconds 4] [--frames 4]

The same sound, noise and face; once with one window over the whole utterance and 50 steps, as
published, and then window by window, a frame at a time. Without names the networks are stand-ins of
the published sizes with random numbers: what they draw means nothing, so the distances say how the
windows act on the computation and not how a trained face would look. Our own generator knows no
past, and has one noise for each place in a window: its distances hold that noise, too.

    codes    root mean square difference from the whole utterance's, over their deviation
    window   the same, from the whole utterance's in as few steps: what the window alone does
    change   mean change from frame to frame, over theirs
    frames   mean difference of the pictures, in [-1, 1], over how far theirs are from rest
    ms       of the generator, per frame
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.avatars import find_photo
from benchmarks.lips.sounds import spoken
from benchmarks.motion.code_player import CodePlayer
from benchmarks.speed.stand_ins import NOISE, random_generator, random_renderer
from benchmarks.timing import write_result
from pipelines.anitalker.batched import BatchedNetwork, baked
from pipelines.anitalker.config import OFFICIAL
from pipelines.anitalker.enrol import enrol
from pipelines.anitalker.weights import load_generator, load_renderer
from pipelines.diffusion.stream import Window
from pipelines.pipeline import SAMPLE_RATE_HZ
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import HELD_OUT_VOICES, synthesise

UTTERANCE_STEPS = 50
COLUMNS = (
    "context", "ahead", "steps", "codes", "window", "change", "frames", "ms_per_frame"
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """Lengths in frames."""

    context: int
    ahead: int
    steps: int

    @property
    def window(self) -> Window:
        return Window(context=self.context, ahead=self.ahead)


PUBLISHED = (
    *(Way(context, 5, 5) for context in (5, 10, 20, 40)),
    *(Way(20, ahead, 5) for ahead in (0, 2, 10)),
    *(Way(20, 5, steps) for steps in (2, 10)),
    Way(40, 10, 10),
)
OURS = (
    *(Way(context, 2, 1) for context in (5, 10, 15, 30)),
    *(Way(15, ahead, 1) for ahead in (0, 1, 5)),
    *(Way(15, 2, steps) for steps in (2, 4, 8)),
    Way(30, 10, 8),
)


@dataclass(frozen=True)
class Stage:
    """A generator that has heard its sound, and the renderer whose slot 0 wears the face."""

    player: CodePlayer
    renderer: BatchedNetwork

    @staticmethod
    def of(motion: str, renderer: str, avatar: str, seconds: float) -> Stage:
        """The networks of those names, or stand-ins where they are empty; a held-out sentence."""
        generator = load_generator(motion) if motion else random_generator()
        model = load_renderer(renderer) if renderer else random_renderer(OFFICIAL)
        cached = BatchedNetwork(model, 1)
        face = enrol(find_photo(avatar).read_bytes(), cached, key="")
        cached.set(0, baked(face))
        sound = spoken(synthesise(HELD_OUT[0], HELD_OUT_VOICES[0])).samples
        heard = sound[: round(seconds * SAMPLE_RATE_HZ)]
        return Stage(CodePlayer.of(generator, face, heard, 1.0 if motion else NOISE), cached)

    @property
    def ways(self) -> tuple[Way, ...]:
        return OURS if self.player.told is not None else PUBLISHED

    def draw(self, codes: Tensor) -> Tensor:
        """Pictures [N, 3, size, size] of codes [N, D]."""
        return torch.cat([self.renderer.render(code[None], [0]) for code in codes])


def measure(stage: Stage, shown: int) -> Iterator[dict[str, object]]:
    """A row of figures for the whole utterance, then one for each way."""
    player = stage.player
    utterance = Window(context=0, new=player.frames)
    whole, took = player.play(utterance, UTTERANCE_STEPS)
    places = torch.linspace(0, player.frames - 1, shown + 1).round().long()[1:]  # it begins at rest
    rest, pictures = stage.draw(player.own), stage.draw(whole[places])
    deviation = (whole - whole.mean(0)).square().mean().sqrt()
    moved, change = (pictures - rest).abs().mean(), whole.diff(dim=0).abs().mean()
    yield {
        "frames": player.frames,
        "steps": UTTERANCE_STEPS,
        "codes_deviation": round(float(deviation), 4),
        "frames_from_rest": round(float(moved), 5),
        "ms_per_frame": round(took, 1),
    }
    short = {n: player.play(utterance, n)[0] for n in {way.steps for way in stage.ways}}
    for way in stage.ways:
        codes, took = player.play(way.window, way.steps)
        apart = (stage.draw(codes[places]) - pictures).abs().mean()
        found = {
            "codes": _distance(codes, whole) / deviation,
            "window": _distance(codes, short[way.steps]) / deviation,
            "change": codes.diff(dim=0).abs().mean() / change,
            "frames": apart / moved,
        }
        rounded = {name: round(float(value), 3) for name, value in found.items()}
        yield asdict(way) | rounded | {"ms_per_frame": round(took, 1)}


def _distance(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().mean().sqrt()


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.motion.code_windows",
        description="codes and frames of a generator as a stream",
    )
    parser.add_argument("--motion", default="", help="weights of a motion generator")
    parser.add_argument("--renderer", default="", help="weights of its renderer")
    parser.add_argument("--avatar", default="amara", help="one of the cast")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--frames", type=int, default=4, help="drawn for each way")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    if bool(arguments.motion) != bool(arguments.renderer):
        parser.error("--motion and --renderer go together")
    torch.set_num_threads(arguments.threads)
    stage = Stage.of(arguments.motion, arguments.renderer, arguments.avatar, arguments.seconds)
    figures = []
    with tqdm(total=1 + len(stage.ways), leave=False) as bar:
        for row in measure(stage, arguments.frames):
            figures.append(row)
            bar.clear()
            if len(figures) == 1:
                print(", ".join(f"{name} {value}" for name, value in row.items()))
                print("".join(f"{name:>14}" for name in COLUMNS))
            else:
                print("".join(f"{row[name]!s:>14}" for name in COLUMNS), flush=True)
            bar.update()
    name = f"code_windows_{arguments.motion}" if arguments.motion else "code_windows"
    print("written to", write_result(name, figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
