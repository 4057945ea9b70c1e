"""How far a published motion generator moves when it is played as a stream.

    python -m benchmarks.code_windows [--motion NAME --renderer NAME] [--seconds 4]

The same sound, noise and photo; once as published, one window over the whole utterance and 50
steps, and then window by window. Without names of imported weights the networks are filled with the
numbers of the parity fixtures: right in every operation, but trained on nothing, so the distances
say how the windows act on the computation and not how a trained face would look. Codes: root mean
square difference over the deviation of the whole utterance's codes, and frame-to-frame change over
its. Frames: mean absolute difference on the scale of [-1, 1].
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.lip_sounds import spoken
from benchmarks.renderer import random_model, smooth_picture
from benchmarks.timing import write_result
from pipelines.anitalker.cached import CachedRenderer
from pipelines.anitalker.config import OFFICIAL
from pipelines.anitalker.weights import load_generator, load_renderer
from pipelines.audio.mfcc import Mfcc
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.diffusion.schedule import ddim_levels
from pipelines.diffusion.stream import StreamingSampler, StreamState, Window
from pipelines.training.sentences import HELD_OUT
from pipelines.training.speech import synthesise
from tests.fill import fill

PUBLISHED_STEPS = 50
STAND_IN = "mfcc_pose_only"
STAND_IN_NOISE = 0.01  # of the parity fixtures: with more, untrained codes run into the clamp
SHOWN = 8  # frames rendered


@dataclass(frozen=True)
class Way:
    """Lengths in frames; `warm` starts a window from the draft of the one before."""

    context: int
    ahead: int
    steps: int
    warm: bool = False


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


def play(
    generator: MotionGenerator, rows: Tensor, way: Way | None, reference: dict[str, Tensor],
    scale: float,
) -> tuple[Tensor, float]:  # fmt: skip
    """Codes [T, D] of all frames, and milliseconds per frame. No way: the whole utterance.

    rows: [1, 4 T, F].
    """
    frames = rows.shape[1] // 4
    if way is None:
        window, levels, warm = Window(context=0, new=frames), ddim_levels(PUBLISHED_STEPS), False
    else:
        window = Window(context=way.context, ahead=way.ahead)
        levels, warm = ddim_levels(way.steps), way.warm
    player = Player(generator, window, levels, warm)
    player.scale = scale
    state = player.init_state(rows[0, 0], reference["code"][None], torch.zeros(1).long())
    after = rows[:, -1:].expand(-1, 4 * window.ahead, -1)
    heard = torch.cat([rows, after], 1).split(4 * window.new, 1)
    begin = time.perf_counter()
    active, start = torch.ones(1, dtype=torch.bool), reference["start"][None]
    codes = [player.step(part, state, active, start)[0] for part in heard]
    took = 1e3 * (time.perf_counter() - begin) / frames
    return torch.cat(codes)[window.ahead :], took


def compare(codes: Tensor, whole: Tensor, renderer: CachedRenderer) -> dict[str, float]:
    """The figures of one way against the whole utterance."""
    places = torch.linspace(0, len(whole) - 1, SHOWN).long()
    pictures, expected = (
        torch.cat([renderer.render(code[None], [0]) for code in one[places]])
        for one in (codes, whole)
    )
    deviation = (whole - whole.mean(0)).square().mean().sqrt()
    return {
        "codes": round(float((codes - whole).square().mean().sqrt() / deviation), 3),
        "change": round(float(codes.diff(dim=0).abs().mean() / whole.diff(dim=0).abs().mean()), 3),
        "frames_mean": round(float((pictures - expected).abs().mean()), 4),
        "frames_largest": round(float((pictures - expected).abs().max()), 3),
    }


def networks(arguments: argparse.Namespace) -> tuple[MotionGenerator, CachedRenderer]:
    """The imported ones that were named, or stand-ins."""
    if arguments.motion:
        generator = load_generator(arguments.motion)
    else:
        generator = MotionGenerator(PRESETS[STAND_IN]).eval()
        generator.load_state_dict(fill(f"stage2_{STAND_IN}"))
    model = load_renderer(arguments.renderer) if arguments.renderer else random_model(OFFICIAL)
    return generator, CachedRenderer(model, 1)


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--motion", default="", help="an imported generator that hears by MFCC")
    parser.add_argument("--renderer", default="", help="an imported renderer")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    generator, renderer = networks(arguments)
    baked = renderer.bake(smooth_picture(renderer.config.size))
    renderer.set(0, baked)
    samples = spoken(synthesise(HELD_OUT[0], "flite:slt")).samples
    rows = Mfcc()(torch.from_numpy(samples[: round(arguments.seconds * 16_000)])[None])
    rows = rows[:, : rows.shape[1] // 4 * 4]
    scale = 1.0 if arguments.motion else STAND_IN_NOISE
    whole, took = play(generator, rows, None, baked, scale)
    print(f"whole utterance, {len(whole)} frames, {PUBLISHED_STEPS} steps: {took:.1f} ms per frame")
    print(f"{'context':>8}{'ahead':>6}{'steps':>6}{'warm':>6}{'codes':>8}{'change':>8}{'frames':>8}"
          f"{'ms':>8}")  # fmt: skip
    figures: list[dict[str, Any]] = [{"whole": len(whole), "ms_per_frame": round(took, 1)}]
    for way in tqdm(WAYS, leave=False):
        codes, took = play(generator, rows, way, baked, scale)
        found = compare(codes, whole, renderer)
        tqdm.write(
            f"{way.context:8}{way.ahead:6}{way.steps:6}{way.warm!s:>6}{found['codes']:8.3f}"
            f"{found['change']:8.3f}{found['frames_mean']:8.4f}{took:8.1f}"
        )
        figures.append(asdict(way) | found | {"ms_per_frame": round(took, 1)})
    print("written to", write_result("code_windows", figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
