"""RGB to I420 inside a kernel: what other kernels end with."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.reference import BT601, OFFSET

_Y0, _Y1, _Y2 = (tl.constexpr(v) for v in BT601[0])
_B0, _B1, _B2 = (tl.constexpr(v) for v in BT601[1])
_R0, _R1, _R2 = (tl.constexpr(v) for v in BT601[2])
_DARK, _GREY = tl.constexpr(OFFSET[0] + 0.5), tl.constexpr(OFFSET[1] + 0.5)


@triton.jit
def luma_of(red, green, blue):  # type: ignore[no-untyped-def]
    """Of colours in [0, 1]: in [0, 255], to be cut off."""
    return _limited(red * _Y0 + green * _Y1 + blue * _Y2 + _DARK)


@triton.jit
def chroma_of(red, green, blue):  # type: ignore[no-untyped-def]
    """Cb and Cr of colours in [0, 1]: in [0, 255], to be cut off."""
    cb = _limited(red * _B0 + green * _B1 + blue * _B2 + _GREY)
    cr = _limited(red * _R0 + green * _R1 + blue * _R2 + _GREY)
    return cb, cr


@triton.jit  # type: ignore[untyped-decorator]
def mean_of_four(tile, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """A tile [ROWS, COLUMNS] at half its size, by the mean of 2 x 2."""
    parted = tl.reshape(tile, (ROWS // 2, 2, COLUMNS // 2, 2))
    return tl.sum(tl.sum(parted, 3), 1) * 0.25


@triton.jit
def _limited(value):  # type: ignore[no-untyped-def]
    return tl.minimum(tl.maximum(value, 0.0), 255.0)
