"""`kernels.flow_inversion` in the Triton language: a program follows a block of a lattice's points
back through all Newton steps. The lattice (34 kB at 65 x 65 nodes) stays in the cache next to it.

Of one face at 512 pixels (the whole picture, two skins of lips, four of lids) `work` counts 0.6 MB
and 5 MFLOP: 64 faces need 12 us on an H100 (3.35 TB/s, 67 TFLOP/s) and 8 us on an H200 (4.8 TB/s).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.reference_flow import LEAST_SLOPE

_LEAST_SLOPE = tl.constexpr(LEAST_SLOPE)
_BLOCK = 128  # points: a lattice of 65 x 65 makes 34 programs of four warps


@triton.jit
def _corner(x, y, rows, columns):  # type: ignore[no-untyped-def]
    """The node left above places, extended at the edges, and how far these are from it."""
    x = tl.minimum(tl.maximum(x, 0.0), columns - 1.0)
    y = tl.minimum(tl.maximum(y, 0.0), rows - 1.0)
    left = tl.minimum(tl.maximum(x.to(tl.int32), 0), columns - 1)
    top = tl.minimum(tl.maximum(y.to(tl.int32), 0), rows - 1)
    return left, top, x - left, y - top


@triton.jit
def _share(plane, at, by, inner):  # type: ignore[no-untyped-def]
    """Of a miss, what a step goes: one over the slope at nodes, which is 1 beyond `inner` ones."""
    rise = tl.load(plane + at + by, mask=inner, other=0.0)
    rise -= tl.load(plane + at - by, mask=inner, other=0.0)
    return 1.0 / tl.maximum(1.0 + 0.5 * rise, _LEAST_SLOPE)


@triton.jit(do_not_specialize=["NODES", "POINTS"])  # type: ignore[untyped-decorator]
def _invert(  # type: ignore[no-untyped-def]
    moves,  # float32 [N, 2, NODES]
    shape,  # int32 [N, 2]
    points,  # float32 [N, 2, POINTS]
    start,  # float32 [N, 2, POINTS]
    counts,  # int32 [N]
    carried,  # float32 [N, CHANNELS, NODES]
    where,  # float32 [N, 2, POINTS], written
    found,  # float32 [N, CHANNELS, POINTS], written
    NODES,
    POINTS,
    CHANNELS: tl.constexpr,
    ITERATIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    lattice = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    wanted = tl.load(counts + lattice)
    if tl.program_id(1) * BLOCK >= wanted:
        return
    mask = at < wanted
    rows, columns = tl.load(shape + 2 * lattice), tl.load(shape + 2 * lattice + 1)
    across = moves + lattice * 2 * NODES
    down = across + NODES
    first = lattice * 2 * POINTS + at
    to_x = tl.load(points + first, mask=mask, other=0.0)
    to_y = tl.load(points + first + POINTS, mask=mask, other=0.0)
    x = tl.load(start + first, mask=mask, other=0.0)
    y = tl.load(start + first + POINTS, mask=mask, other=0.0)
    for _ in range(ITERATIONS):
        left, top, part_x, part_y = _corner(x, y, rows, columns)
        miss_x, miss_y = x - to_x, y - to_y
        share_x, share_y = tl.zeros_like(x), tl.zeros_like(y)
        for corner in tl.static_range(4):
            column = tl.minimum(left + corner % 2, columns - 1)
            row = tl.minimum(top + corner // 2, rows - 1)
            node = row * columns + column
            weight = (part_x if corner % 2 else 1.0 - part_x) * (
                part_y if corner // 2 else 1.0 - part_y
            )
            miss_x += weight * tl.load(across + node)
            miss_y += weight * tl.load(down + node)
            inner_x, inner_y = (column > 0) & (column < columns - 1), (row > 0) & (row < rows - 1)
            share_x += weight * _share(across, node, 1, inner_x)
            share_y += weight * _share(down, node, columns, inner_y)
        x -= miss_x * share_x
        y -= miss_y * share_y
    tl.store(where + first, x, mask=mask)
    tl.store(where + first + POINTS, y, mask=mask)
    left, top, part_x, part_y = _corner(x, y, rows, columns)
    right, bottom = tl.minimum(left + 1, columns - 1), tl.minimum(top + 1, rows - 1)
    for channel in tl.static_range(CHANNELS):
        plane = carried + (lattice * CHANNELS + channel) * NODES
        above = tl.load(plane + top * columns + left) * (1.0 - part_x)
        above += tl.load(plane + top * columns + right) * part_x
        below = tl.load(plane + bottom * columns + left) * (1.0 - part_x)
        below += tl.load(plane + bottom * columns + right) * part_x
        value = above * (1.0 - part_y) + below * part_y
        tl.store(found + (lattice * CHANNELS + channel) * POINTS + at, value, mask=mask)


def invert(
    moves: Tensor,
    shape: Tensor,
    points: Tensor,
    start: Tensor,
    counts: Tensor,
    carried: Tensor,
    iterations: int,
) -> tuple[Tensor, Tensor]:
    """See `kernels.flow_inversion.invert`."""
    n, _, nodes = moves.shape
    count, channels = points.shape[2], carried.shape[1]
    where = torch.empty_like(points, memory_format=torch.contiguous_format)
    found = moves.new_empty(n, channels, count)
    _invert[(n, triton.cdiv(count, _BLOCK))](
        moves.contiguous(),
        shape.contiguous(),
        points.contiguous(),
        start.contiguous(),
        counts.contiguous(),
        carried.contiguous(),
        where,
        found,
        nodes,
        count,
        CHANNELS=channels,
        ITERATIONS=iterations,
        BLOCK=_BLOCK,
    )
    return where, found
