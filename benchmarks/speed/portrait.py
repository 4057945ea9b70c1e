"""What a `portrait` frame costs, stage by stage, on one core: CPU milliseconds, p50/p95/p99.

    python -m benchmarks.speed.portrait [--frames 300] [--sizes 512 256]

The face is the public-domain portrait in scikit-image's wheel; motion sweeps through open and
round mouths, turns and blinks, so that no frame repeats.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from benchmarks.timing import machine_stamp, quantiles, write_result
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.photo.framing import PHOTO, WIDE, choose_size, framed, sizes_for
from pipelines.photo.placement import filling
from pipelines.portrait import draw_bytes
from pipelines.portrait.bake import CACHE, Baked, bake
from pipelines.portrait.enrol import enrol
from pipelines.portrait.frame import Plan, base_flow
from pipelines.portrait.lips_and_lids import trace
from pipelines.portrait.pose import head_pose
from pipelines.portrait.render import draw_i420, shape_weights
from pipelines.portrait.system import SYSTEM
from realtime.engine.device import use_one_thread

P = ParamSpec("P")
T = TypeVar("T")

BUDGET_MS = 4.4  # for a 512 px frame on one core


def astronaut(lines: int = 512) -> bytes:
    """The portrait's upper `lines` as PNG bytes, 512 wide."""
    from PIL import Image
    from skimage import data

    buffer = io.BytesIO()
    Image.fromarray(data.astronaut()[:lines]).save(buffer, "PNG")
    return buffer.getvalue()


def sweep(frames: int) -> Tensor:
    """Motion that visits speech, turns and blinks: [frames, MOTION_DIM]."""
    motion = torch.zeros(frames, MOTION_DIM)
    t = torch.arange(frames) / 25.0
    motion[:, MOTION_INDEX["jawOpen"]] = 0.3 + 0.3 * torch.sin(2 * math.pi * 3.1 * t)
    motion[:, MOTION_INDEX["mouthPucker"]] = 0.3 + 0.3 * torch.sin(2 * math.pi * 1.3 * t)
    motion[:, MOTION_INDEX["headYaw"]] = 8 * torch.sin(2 * math.pi * 0.3 * t)
    motion[:, MOTION_INDEX["headPitch"]] = 4 * torch.sin(2 * math.pi * 0.21 * t)
    for eye in ("eyeBlinkLeft", "eyeBlinkRight"):
        motion[:, MOTION_INDEX[eye]] = (torch.sin(2 * math.pi * 0.4 * t) - 0.6).clamp(min=0) * 2.5
    motion[:, MOTION_INDEX["gazeYaw"]] = 8 * torch.sin(2 * math.pi * 0.5 * t)
    return motion


class Stopwatch:
    """Milliseconds of CPU time per stage and frame: whoever else uses the core hardly matters."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def time(self, stage: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` and book its time to `stage`."""
        start = time.thread_time()
        result = work(*args, **kwargs)
        self.times.setdefault(stage, []).append(1e3 * (time.thread_time() - start))
        return result


def stages(identity: IdentityFeatures, size: int, motion: Tensor) -> dict[str, object]:
    """Time every stage of a frame, in the renderer's order."""
    watch = Stopwatch()
    baked = _baked(identity, size)
    planes = torch.empty(1, size * 3 // 2, size, dtype=torch.uint8)
    for row in motion:
        values = row.tolist()
        weights, pose = shape_weights(values), head_pose(values, baked.face)
        flow = watch.time("flow", base_flow, baked, weights, pose)
        mouth = watch.time("mouth", trace, baked.mouth, weights, pose, baked.placement)
        eyes = watch.time("eyes", trace, baked.eyes, weights, pose, baked.placement)
        frame = Plan(flow, [*mouth, *eyes], pose, values)
        watch.time("draw, i420", draw_bytes.draw_i420, baked, frame, planes)
    return {stage: quantiles(times[10:]) for stage, times in watch.times.items()}


def _baked(identity: IdentityFeatures, size: int) -> Baked:
    return bake(identity, (size, size), filling((size, size)))


def whole(baked: Baked, motion: Tensor) -> dict[str, float] | None:
    """Time the renderer itself, motion in, I420 out."""
    width, height = baked.size
    planes = torch.empty(1, height * 3 // 2, width, dtype=torch.uint8)
    watch = Stopwatch()
    for row in motion:
        watch.time("frame", draw_i420, baked, row, planes)
    return quantiles(watch.times["frame"][10:])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, and keep it with the machine's stamp."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=[h for _, h in SYSTEM.sizes])
    args = parser.parse_args(argv)
    use_one_thread()
    photo = astronaut()
    enrol(photo, "")  # loads the detectors
    watch = Stopwatch()
    identity = watch.time("enrol", enrol, photo, "")
    for _ in range(5):
        watch.time("bake", _baked, identity, choose_size(SYSTEM, None)[1])
    figures: dict[str, object] = {k: quantiles(v) for k, v in watch.times.items()}
    motion = sweep(args.frames)
    with torch.inference_mode():
        for size in args.sizes:
            figures[f"stages_{size}"] = stages(identity, size, motion)
            figures[f"frame_{size}"] = whole(_baked(identity, size), motion)
        landscape = enrol(astronaut(288), "landscape")  # as wide as 16:9
        for frame in (PHOTO, WIDE):
            each = framed(landscape, frame)
            shown = CACHE.get(each, sizes_for(SYSTEM, each)[-1], torch.device("cpu"))
            figures[f"frame_{frame}_{shown.size[0]}x{shown.size[1]}"] = whole(shown, motion)
    _report(figures)
    print(f"bound: {BUDGET_MS} ms for a 512 px frame; kept in {write_result('portrait', figures)}")
    return 0


def _report(figures: dict[str, object]) -> None:
    stamp = machine_stamp()
    print(f"{stamp['processor']}, one thread, torch {stamp['versions']['torch']}, {stamp['date']}")
    for name, row in figures.items():
        rows = row.items() if name.startswith("stages") and isinstance(row, dict) else [(name, row)]
        for stage, q in rows:
            label = f"{name}.{stage}" if name.startswith("stages") else stage
            print(f"{label:24s} p50 {q['p50']:8.2f}  p95 {q['p95']:8.2f}  p99 {q['p99']:8.2f} ms")


if __name__ == "__main__":
    raise SystemExit(main())
