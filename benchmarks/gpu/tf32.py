"""What pictures would lose if a card's convolutions took TF32, found out on a CPU.

    python -m benchmarks.gpu.tf32 --faces FACES [--pipelines anitalker swaptalk] [--hops 25]
        [--products]

A card's matrix units then round both factors to 10 bits after the point, and sum what they give in
float32. So does this, operation by operation. Two of each face talk side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu.faces import read
from benchmarks.gpu.pipelines import PIPELINES
from benchmarks.gpu.steps import Talking
from pipelines.graph import Eager

_ATEN = torch.ops.aten
_CONVOLUTIONS = {
    _ATEN.convolution, _ATEN.conv1d, _ATEN.conv2d, _ATEN.conv_transpose1d,
    _ATEN.conv_transpose2d,
}  # fmt: skip
_PRODUCTS = {_ATEN.mm: 0, _ATEN.bmm: 0, _ATEN.matmul: 0, _ATEN.linear: 0, _ATEN.addmm: 1}
"""And which argument is the first factor."""
_LOST = 13  # bits of a float32's 23


def as_tf32(x: Tensor) -> Tensor:
    """Float32 numbers rounded to the nearest with 10 bits after the point; others as they are."""
    if x.dtype is not torch.float32:
        return x
    bits = x.contiguous().view(torch.int32)
    return ((bits + (1 << (_LOST - 1))) >> _LOST << _LOST).view(torch.float32)


class _Rounding(TorchDispatchMode):
    def __init__(self, first: dict[Any, int]) -> None:
        super().__init__()
        self._first = first

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        first = self._first.get(func._overloadpacket)
        if first is not None:
            args = list(args)
            args[first : first + 2] = map(as_tf32, args[first : first + 2])
        return func(*args, **(kwargs or {}))


@contextmanager
def rounding(*, products: bool) -> Iterator[None]:
    """Inside, convolutions round what they are given, and `products` of matrices too."""
    with _Rounding(dict.fromkeys(_CONVOLUTIONS, 0) | (_PRODUCTS if products else {})):
        yield


def lost(name: str, faces: Path, hops: int, *, products: bool) -> dict[str, float]:
    """Between pictures with and without, in grey levels: the largest mean of a picture, the largest
    difference, and the share of values that differ by more than 3."""
    baked = read(faces, name)
    size, cpu = baked.sizes[0], torch.device("cpu")
    exact, rounded = (Talking(name, faces, baked.faces, (size,), cpu, Eager()) for _ in range(2))
    for talking in (exact, rounded):
        talking.reset()
    means, largest, above = [], 0, []
    for _ in range(hops):
        with rounding(products=products):
            ours = rounded.pictures(baked.faces, size)
        apart = np.abs(ours.astype(np.int16) - exact.pictures(baked.faces, size))
        means.append(float(apart.mean(1).max()))
        largest = max(largest, int(apart.max()))
        above.append(float((apart > 3).mean()))
    return {"mean": max(means), "largest": largest, "above 3": sum(above) / hops}


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--pipelines", nargs="+", choices=PIPELINES, default=list(PIPELINES))
    parser.add_argument("--hops", type=int, default=25)
    parser.add_argument("--products", action="store_true", help="products of matrices too")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for name in args.pipelines:
        print(name, lost(name, args.faces, args.hops, products=args.products), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
