"""How far the codes and frames of a motion generator move when it is played as a stream.

    python -m benchmarks.code_windows [--motion NAME --renderer NAME] [--seconds 4] [--frames 4]

The same sound, noise and face; once as published, one window over the whole utterance and 50 steps,
and then window by window, a frame at a time. Without names the networks are stand-ins of the
published sizes with random numbers: what they draw means nothing, so the distances say how the
windows act on the computation and not how a trained face would look.

    codes    root mean square difference from the whole utterance's, over their deviation
    window   the same, from the whole utterance's in as few steps: what the window alone does
    change   mean change from frame to frame, over theirs
    frames   mean difference of the pictures, in [-1, 1], over how far theirs are from rest
    ms       of the generator, per frame
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.lip_sounds import spoken
from benchmarks.lips import CAST
from benchmarks.stand_ins import NOISE, random_generator, random_renderer
from benchmarks.timing import write_result
from pipelines.anitalker.cached import CachedRenderer
from pipelines.anitalker.codes import Audible, listener
from pipelines.anitalker.config import OFFICIAL
from pipelines.anitalker.enrol import baked, enrol
from pipelines.anitalker.weights import load_generator, load_renderer
from pipelines.diffusion.generator import MotionGenerator
from pipelines.diffusion.schedule import ddim_levels
from pipelines.diffusion.stream import StreamingSampler, StreamState, Window
from pipelines.presets import SAMPLE_RATE_HZ
from pipelines.training.sentences import HELD_OUT
from pipelines.training.speech import synthesise

PUBLISHED_STEPS = 50
VOICE = "flite:slt"


@dataclass(frozen=True)
class Way:
    """Lengths in frames; `warm` starts a window from the draft of the one before."""

    context: int
    ahead: int
    steps: int
    warm: bool = False

    @property
    def window(self) -> Window:
        return Window(context=self.context, ahead=self.ahead)


WAYS = (
    *(Way(context, 5, 5) for context in (5, 10, 20, 40)),
    *(Way(20, ahead, 5) for ahead in (0, 2, 10)),
    *(Way(20, 5, steps) for steps in (2, 10)),
    Way(20, 5, 2, warm=True),
    Way(40, 10, 10),
)


class Player(StreamingSampler):
    """A sampler whose noise is scaled."""

    scale = 1.0

    def noise(self, state: StreamState) -> Tensor:
        return super().noise(state) * self.scale


@dataclass(frozen=True)
class Stage:
    """What stays the same from way to way."""

    generator: MotionGenerator
    heard: Audible
    renderer: CachedRenderer  # its slot 0 wears the face
    code: Tensor  # [1, D] of the face at rest
    start: Tensor  # [1, latent]
    noise: float  # scale

    @staticmethod
    def of(motion: str, renderer: str, avatar: str) -> Stage:
        """The networks of those names, or stand-ins where one is empty."""
        generator = load_generator(motion) if motion else random_generator()
        model = load_renderer(renderer) if renderer else random_renderer(OFFICIAL)
        cached = CachedRenderer(model, 1)
        face = enrol((CAST / f"{avatar}.png").read_bytes(), cached, key="")
        cached.set(0, baked(face))
        code, start = (face.tensors[name][None] for name in ("code", "start"))
        return Stage(generator, listener(generator), cached, code, start, 1.0 if motion else NOISE)

    def rows(self, seconds: float) -> Tensor:
        """Sound features of a held-out sentence: [1, rows, F], whole frames."""
        samples = spoken(synthesise(HELD_OUT[0], VOICE)).samples[: round(seconds * SAMPLE_RATE_HZ)]
        found: Tensor = self.heard.inner(torch.from_numpy(samples)[None])
        each = self.generator.config.rows_per_frame
        return found[..., : found.shape[-2] // each * each, :]

    def play(
        self, rows: Tensor, window: Window, steps: int, warm: bool = False
    ) -> tuple[Tensor, float]:
        """Codes [T, D] of all frames, and milliseconds per frame."""
        each = self.generator.config.rows_per_frame
        frames = rows.shape[-2] // each
        player = Player(self.generator, window, ddim_levels(steps), warm)
        player.scale = self.noise
        state = player.init_state(self.heard.silence(), self.code, torch.zeros(1).long())
        after = rows[..., -1:, :].repeat_interleave(each * window.ahead, -2)
        active = torch.ones(1, dtype=torch.bool)
        begin = time.perf_counter()
        codes = [
            player.step(part, state, active, self.start)[0]
            for part in torch.cat([rows, after], -2).split(each * window.new, -2)
        ]
        took = 1e3 * (time.perf_counter() - begin) / frames
        return torch.cat(codes)[window.ahead :], took

    def draw(self, codes: Tensor) -> Tensor:
        """Pictures [N, 3, size, size] of codes [N, D]."""
        return torch.cat([self.renderer.render(code[None], [0]) for code in codes])


def measure(stage: Stage, seconds: float, shown: int) -> Iterator[dict[str, object]]:
    """A row of figures for the whole utterance, then one for each way."""
    rows = stage.rows(seconds)
    frames = rows.shape[-2] // stage.generator.config.rows_per_frame
    utterance = Window(context=0, new=frames)
    whole, took = stage.play(rows, utterance, PUBLISHED_STEPS)
    places = torch.linspace(0, frames - 1, shown + 1).round().long()[1:]  # the first is at rest
    rest, pictures = stage.draw(stage.code), stage.draw(whole[places])
    deviation = (whole - whole.mean(0)).square().mean().sqrt()
    moved, change = (pictures - rest).abs().mean(), whole.diff(dim=0).abs().mean()
    yield {
        "frames": frames,
        "steps": PUBLISHED_STEPS,
        "codes_deviation": round(float(deviation), 4),
        "frames_from_rest": round(float(moved), 5),
        "ms_per_frame": round(took, 1),
    }
    short = {n: stage.play(rows, utterance, n)[0] for n in {way.steps for way in WAYS}}
    for way in WAYS:
        codes, took = stage.play(rows, way.window, way.steps, way.warm)
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
        prog="benchmarks.code_windows", description="codes and frames of a generator as a stream"
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
    stage = Stage.of(arguments.motion, arguments.renderer, arguments.avatar)
    columns = (
        "context",
        "ahead",
        "steps",
        "warm",
        "codes",
        "window",
        "change",
        "frames",
        "ms_per_frame",
    )
    figures = []
    with tqdm(total=1 + len(WAYS), leave=False) as bar:
        for row in measure(stage, arguments.seconds, arguments.frames):
            figures.append(row)
            if len(figures) == 1:
                bar.write(", ".join(f"{name} {value}" for name, value in row.items()))
                bar.write("".join(f"{name:>14}" for name in columns))
            else:
                bar.write("".join(f"{row[name]!s:>14}" for name in columns))
            bar.update()
    name = f"code_windows_{arguments.motion}" if arguments.motion else "code_windows"
    print("written to", write_result(name, figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
