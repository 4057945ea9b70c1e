"""`kernels.blend` in the Triton language: a program sums a block of one plane of one face. A shape
of weight 0 is not read, and most are.

At 512 pixels a face has about 6.3 MB of shapes (41 of the whole picture, 2.1 MB; 29 of lips,
2.6 MB; 26 of lids, 1.6 MB). If none of them rests, 64 faces need 120 us on an H100 (3.35 TB/s) and
84 us on an H200 (4.8 TB/s) for 0.4 GB; 0.2 GFLOP (67 TFLOP/s) are nothing beside that.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 512  # values: 2 kB of each shape in a row, four for each thread of four warps


@triton.jit(do_not_specialize=["SHAPES", "PLANES", "ROOM"])  # type: ignore[untyped-decorator]
def _blend(  # type: ignore[no-untyped-def]
    weights,  # float32 [n, SHAPES]
    table,  # float32 [R, SHAPES, PLANES, ROOM]
    rows,  # int64 [n]
    counts,  # int32 [n]
    blended,  # float32 [n, PLANES, ROOM], written
    SHAPES,
    PLANES,
    ROOM,
    BLOCK: tl.constexpr,
):
    face, plane = tl.program_id(0).to(tl.int64), tl.program_id(1)
    count = tl.load(counts + face)
    if tl.program_id(2) * BLOCK >= count:
        return
    at = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    total = tl.zeros((BLOCK,), tl.float32)
    held = table + (tl.load(rows + face) * SHAPES * PLANES + plane) * ROOM
    for shape in range(SHAPES):
        weight = tl.load(weights + face * SHAPES + shape)
        if weight != 0.0:
            total += weight * tl.load(held + at, mask=mask, other=0.0)
        held += PLANES * ROOM
    tl.store(blended + (face * PLANES + plane) * ROOM + at, total, mask=mask)


def blend(weights: Tensor, table: Tensor, rows: Tensor, counts: Tensor) -> Tensor:
    """See `kernels.blend.blend`."""
    n, shapes = weights.shape
    _, _, planes, room = table.shape
    blended = torch.empty(n, planes, room, dtype=torch.float32, device=weights.device)
    _blend[(n, planes, triton.cdiv(room, _BLOCK))](
        weights.contiguous(), table, rows, counts, blended, shapes, planes, room, BLOCK=_BLOCK
    )
    return blended
