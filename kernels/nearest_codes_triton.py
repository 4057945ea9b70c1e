"""A program compares some cells of one part with all of its codes, and keeps the nearest so far.

No distance is ever stored: PyTorch writes and reads them all, 512 or 1024 for each cell, five
times. Products are sums of outer ones in float32, for our vectors of 4 numbers are too short for
the matrix units, and in TF32 near codes would change places.

Of a face's lower half, 128 cells: ours, 16 parts of 512 codes of 4 numbers, 98 kB beside a book of
131 kB and 12 MFLOP: 0.2 us, for 64 faces 11 us, on either card, by their float32 units. The public
f16-1024, codes of 256 numbers: 0.3 MB beside 1 MB and 68 MFLOP: 1.0 us, 64 us for 64 faces.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_CELLS, _CODES = 32, 64  # of a tile of distances: 16 for each thread of 4 warps


@triton.jit  # type: ignore[untyped-decorator]
def _nearest_codes_kernel(  # type: ignore[no-untyped-def]
    cells,  # [n, parts * dim, m]
    book,  # float32 [parts, codes, dim]
    last,  # int64 [n, m, parts], if HELD
    values,  # as cells
    indices,  # int64 [n, m, parts]
    m,
    parts,
    codes,
    dim,
    share,  # 1 - margin
    HELD: tl.constexpr,
    CELLS: tl.constexpr,
    CODES: tl.constexpr,
):
    n, part = tl.program_id(2).to(tl.int64), tl.program_id(1)
    cell = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    inside = cell < m
    x = cells + (n * parts + part) * dim * m + cell
    own = book + part * codes * dim
    best = tl.full((CELLS,), float("inf"), tl.float32)
    nearest = tl.zeros((CELLS,), tl.int32)
    square = tl.zeros((CELLS,), tl.float32)
    for d in range(dim):
        number = tl.load(x + d * m, inside, 0.0).to(tl.float32)
        square += number * number
    for first in range(0, codes, CODES):
        code = first + tl.arange(0, CODES)
        known = code < codes
        size = tl.zeros((CODES,), tl.float32)
        product = tl.zeros((CELLS, CODES), tl.float32)
        for d in range(dim):
            number = tl.load(x + d * m, inside, 0.0).to(tl.float32)
            held = tl.load(own + code * dim + d, known, 0.0)
            size += held * held
            product += number[:, None] * held[None, :]
        away = square[:, None] + size[None, :] - 2.0 * product
        away = tl.where(known[None, :], away, float("inf"))
        least = tl.min(away, 1)
        nearer = least < best
        nearest = tl.where(nearer, first + tl.argmin(away, 1).to(tl.int32), nearest)
        best = tl.where(nearer, least, best)
    at = (n * m + cell) * parts + part
    if HELD:
        kept = tl.load(last + at, inside, -1)
        before = tl.maximum(kept - part * codes, 0).to(tl.int32)
        size = tl.zeros((CELLS,), tl.float32)
        product = tl.zeros((CELLS,), tl.float32)
        for d in range(dim):
            number = tl.load(x + d * m, inside, 0.0).to(tl.float32)
            held = tl.load(own + before * dim + d, inside, 0.0)
            size += held * held
            product += number * held
        leaves = (kept < 0) | (best < share * (square + size - 2.0 * product))
        nearest = tl.where(leaves, nearest, before)
    tl.store(indices + at, nearest.to(tl.int64) + part * codes, inside)
    out = values + (n * parts + part) * dim * m + cell
    for d in range(dim):
        number = tl.load(own + nearest * dim + d, inside, 0.0)
        tl.store(out + d * m, number.to(values.dtype.element_ty), inside)


def nearest_codes(
    cells: Tensor, book: Tensor, last: Tensor | None, margin: float
) -> tuple[Tensor, Tensor]:
    """See `kernels.nearest_codes.nearest_codes`."""
    n, _, m = cells.shape
    parts, codes, dim = book.shape
    cells, book = cells.contiguous(), book.contiguous()
    values = torch.empty_like(cells)
    indices = torch.empty(n, m, parts, dtype=torch.int64, device=cells.device)
    _nearest_codes_kernel[(triton.cdiv(m, _CELLS), parts, n)](
        cells,
        book,
        indices if last is None else last.contiguous(),
        values,
        indices,
        m,
        parts,
        codes,
        dim,
        1.0 - margin,
        HELD=last is not None,
        CELLS=_CELLS,
        CODES=_CODES,
        num_warps=4,
    )
    return values, indices
