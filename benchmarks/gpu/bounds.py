"""What 64 faces cost at least, stage by stage: bytes, operations, and what cards need for them.

    python -m benchmarks.gpu.bounds [--faces 64] [--height 512] [--pipelines portrait anitalker ...]
        [--detail]

Counted, not measured: see `benchmarks.gpu.counting`. A Markdown table, for docs/gpu.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.counting import Counted, counting
from benchmarks.gpu.kernels import OPS
from benchmarks.gpu.pipelines import PIPELINES, SIZES, renderer_of
from kernels.bounds import H100, H200
from pipelines.batch import frame_bytes
from pipelines.motion.controls import control_row
from pipelines.pipeline import FPS, HOP_SAMPLES, Size

SHARE = 0.6  # of its bound that a launch is expected to reach
LAUNCH_S = 3e-6  # that the smallest launch within a graph is expected to take
BUS_BYTES_PER_S = 55e9  # of PCIe 5 x16, as copies from pinned memory reach it
ENCODER_S = 4e-3  # of a core for a frame of 512 px
_FEW = (2, 4)  # faces that are counted; others lie on the line through these


def stages(name: str, size: Size, faces: int) -> dict[str, Counted]:
    """Launches of one step of a pipeline in which all of `faces` talk and are drawn."""
    few, more = (dict(_counted(name, size, count)) for count in _FEW)
    return {stage: few[stage].scaled(more[stage], *_FEW, faces) for stage in few}


@torch.inference_mode()
def _counted(name: str, size: Size, faces: int) -> Iterator[tuple[str, Counted]]:
    cpu = torch.device("cpu")
    renderer, motion = renderer_of(name, faces, (size,), cpu), PIPELINES[name].motion()
    features = motion.features()
    heard, moved, drawn = (
        features.init_state(faces), motion.init_state(faces), renderer.init_state(faces),
    )  # fmt: skip
    hops, active = torch.randn(faces, HOP_SAMPLES) * 0.1, torch.ones(faces, dtype=torch.bool)
    controls, rows = control_row().repeat(faces, 1), torch.arange(faces)
    planes = torch.zeros(faces, frame_bytes(size), dtype=torch.uint8)
    made: dict[str, Any] = {}

    def hear() -> None:
        made["heard"] = features.step(hops, heard, active)

    def move() -> None:
        made["motion"] = motion.step(made["heard"], active, controls, moved, active)
        renderer.advance(made["motion"], hops, active, drawn, active)

    steps: dict[str, Callable[[], None]] = {
        "sound to features": hear,
        "features to motion": move,
        "motion to pictures": partial(renderer.draw, size, rows, drawn, planes),
    }
    for stage, step in steps.items():
        step()  # what is made once is made
        counts: AbstractContextManager[Counted] = counting(OPS)
        with counts as counted:
            step()
        yield stage, counted


def table(names: Sequence[str], size: Size, faces: int, *, detail: bool = False) -> Iterator[str]:
    """Lines of Markdown; with `detail` PyTorch's operations one by one."""
    yield (
        "| pipeline | stage | launches | GB | GFLOP | H100, at least, ms | H200, at least, ms "
        "| H200, expected, ms |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name in names:
        whole = Counted()
        for stage, counted in stages(name, size, faces).items():
            whole.launches += counted.launches
            yield _row(f"{name} | {stage}", counted)
            for operation, launches in sorted(
                counted.by_name().items(), key=lambda each: -each[1].least_s(H200)
            ):
                if "::" not in operation or detail:
                    yield _row(f" | of that, `{operation}`", launches)
        yield _row(f"**{name}** | the step", whole)


def _row(called: str, counted: Counted) -> str:
    figures = (
        f"{len(counted.launches)}",
        f"{counted.bytes / 1e9:.3g}",
        f"{counted.flops / 1e9:.3g}",
        f"{counted.least_s(H100) * 1e3:.2g}",
        f"{counted.least_s(H200) * 1e3:.2g}",
        f"{counted.expected_s(H200, SHARE, LAUNCH_S) * 1e3:.2g}",
    )
    return f"| {called} | {' | '.join(figures)} |"


def beside(size: Size, faces: int) -> Iterator[str]:
    """What a step is not: the bus, and the processor's encoders."""
    out = faces * frame_bytes(size)
    yield (
        f"Over the bus: {out / 1e6:.1f} MB of pictures a step, {out / BUS_BYTES_PER_S * 1e3:.2g} "
        f"ms at {BUS_BYTES_PER_S / 1e9:.0f} GB/s, while the next step is computed; "
        f"{faces * HOP_SAMPLES * 4 / 1e6:.2g} MB of sound in."
    )
    yield (
        f"Encoders: {faces} x {FPS} x {ENCODER_S * 1e3:.0f} ms = "
        f"{faces * FPS * ENCODER_S:.1f} cores."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--height", type=int, choices=[h for _, h in SIZES], default=512)
    parser.add_argument("--pipelines", nargs="+", choices=PIPELINES, default=list(PIPELINES))
    parser.add_argument("--detail", action="store_true", help="PyTorch's operations one by one")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    size = next(size for size in SIZES if size[1] == args.height)
    print(f"{args.faces} faces of {size[0]} x {size[1]}:\n")
    for line in table(args.pipelines, size, args.faces, detail=args.detail):
        print(line)
    print()
    print("\n".join(beside(size, args.faces)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
