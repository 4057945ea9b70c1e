"""One pass over the output: each pixel compares its nine neighbours itself, out of the caches.

Of a face of 256 px 5.5 MB and 48 MFLOP: 1.1 us on an H200, 1.6 us on an H100, 73 us and 105 us for
64 faces. In PyTorch it is 45 launches and 52 MB a face, more than the convolutions move.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import reference_squares as reference
from kernels.sample_triton import blended, corners

_BLOCK = 256  # pixels of a program
_SHARPNESS = tl.constexpr(1.0 / reference.UNLIKE**2)
_STIFFNESS = tl.constexpr(1.0 / reference.BENT**2)
_LEAST = tl.constexpr(reference.FAINT)


@triton.jit
def _moved(looks, held, at, area, there):  # type: ignore[no-untyped-def]
    """By how much pixels look elsewhere than at rest."""
    x = tl.load(looks + at, there, 0.0) - tl.load(held + at, there, 0.0)
    y = tl.load(looks + area + at, there, 0.0) - tl.load(held + area + at, there, 0.0)
    return x, y


@triton.jit
def _bent(looks, held, row, column, side, there):  # type: ignore[no-untyped-def]
    """How much what pixels show is bent: at the last ones, as much as next to them."""
    area, left, top = side * side, tl.minimum(column, side - 2), tl.minimum(row, side - 2)
    x0, y0 = _moved(looks, held, row * side + left, area, there)
    x1, y1 = _moved(looks, held, row * side + left + 1, area, there)
    x2, y2 = _moved(looks, held, top * side + column, area, there)
    x3, y3 = _moved(looks, held, (top + 1) * side + column, area, there)
    across = (x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)
    down = (x3 - x2) * (x3 - x2) + (y3 - y2) * (y3 - y2)
    return (across + down) * (side * 0.5) * (side * 0.5)


@triton.jit  # type: ignore[untyped-decorator]
def _shown_squares_kernel(  # type: ignore[no-untyped-def]
    pictures,  # float32 [n, 3, side * side]
    looks,  # float32 [n, 2, side * side]
    masks,  # float32 [n, side * side]
    resting,  # float32 [slots, 9 (looks, picture, mask, wrong), side * side]
    rows,  # int64 [n]
    fade,  # float32 [side * side]
    out,  # float32 [n, 6, side * side]
    side,
    share,
    SPREAD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    n = tl.program_id(1).to(tl.int64)
    area = side * side
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < area
    row, column = pixel // side, pixel % side
    pictures += n * 3 * area
    looks += n * 2 * area
    held = resting + tl.load(rows + n) * 9 * area
    last = side - 1.0
    unlike = tl.zeros((BLOCK,), tl.float32)
    bent = tl.zeros((BLOCK,), tl.float32)
    count = tl.zeros((BLOCK,), tl.float32)
    for step in range(SPREAD * SPREAD):
        i = row + step // SPREAD - SPREAD // 2
        j = column + step % SPREAD - SPREAD // 2
        there = inside & (i >= 0) & (i < side) & (j >= 0) & (j < side)
        i, j = tl.where(there, i, 0), tl.where(there, j, 0)
        at = i * side + j
        x, y = _moved(looks, held, at, area, there)
        p00, p01, p10, p11, w00, w01, w10, w11 = corners(
            j + x * (side * 0.5), i + y * (side * 0.5), side, last, last
        )
        apart = tl.zeros((BLOCK,), tl.float32)
        for colour in tl.static_range(3):
            plane = held + (2 + colour) * area
            before = blended(plane, p00, p01, p10, p11, w00, w01, w10, w11, there)
            apart += tl.abs(tl.load(pictures + colour * area + at, there, 0.0) - before)
        unlike += apart * (1.0 / 3.0)
        bent += tl.where(there, _bent(looks, held, i, j, side, there), 0.0)
        count += tl.where(there, 1.0, 0.0)
    count = tl.maximum(count, 1.0)
    unlike, bent = unlike / count, bent / count
    x, y = _moved(looks, held, pixel, area, inside)
    p00, p01, p10, p11, w00, w01, w10, w11 = corners(
        column + x * (side * 0.5), row + y * (side * 0.5), side, last, last
    )
    shown = blended(held + 5 * area, p00, p01, p10, p11, w00, w01, w10, w11, inside)
    mask = tl.load(masks + n * area + pixel, inside, 0.0)
    kept = tl.minimum(mask / tl.maximum(shown, _LEAST), 1.0)
    sure = tl.exp(-unlike * unlike * _SHARPNESS - bent * _STIFFNESS) * kept
    faded = tl.load(fade + pixel, inside, 0.0)
    result = out + n * 6 * area + pixel
    for colour in tl.static_range(3):
        wrong = held + (6 + colour) * area
        value = tl.load(pictures + colour * area + pixel, inside, 0.0) * 0.5 + 0.5
        value += blended(wrong, p00, p01, p10, p11, w00, w01, w10, w11, inside)
        tl.store(result + colour * area, value * faded, inside)
    tl.store(result + 3 * area, x * share, inside)
    tl.store(result + 4 * area, y * share, inside)
    tl.store(result + 5 * area, 1.0 - (1.0 - sure) * faded, inside)


def shown_squares(
    pictures: Tensor,
    looks: Tensor,
    masks: Tensor,
    resting: Tensor,
    rows: Tensor,
    fade: Tensor,
    share: float,
) -> Tensor:
    """See `kernels.shown_squares.shown_squares`."""
    n, _, side, _ = pictures.shape
    out = torch.empty(n, 6, side, side, device=pictures.device)
    _shown_squares_kernel[(triton.cdiv(side * side, _BLOCK), n)](
        pictures.contiguous(),
        looks.contiguous(),
        masks.contiguous(),
        resting,
        rows,
        fade,
        out,
        side,
        share,
        SPREAD=reference.SPREAD,
        BLOCK=_BLOCK,
        num_warps=4,
    )
    return out
