"""Bilinear samples inside a kernel: where the four neighbours lie, then any number of channels."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def corners(x, y, stride, last_x, last_y):  # type: ignore[no-untyped-def]
    """Four places and weights of samples at x and y in pixels, edges extended.

    stride: values from one row to the next. last_x, last_y: the last column and row, float32.
    """
    x, y = tl.minimum(tl.maximum(x, 0.0), last_x), tl.minimum(tl.maximum(y, 0.0), last_y)
    left, top = tl.floor(x), tl.floor(y)
    u, v = x - left, y - top
    x0, x1 = left.to(tl.int32), tl.minimum(left + 1.0, last_x).to(tl.int32)
    y0 = top.to(tl.int32) * stride
    y1 = tl.minimum(top + 1.0, last_y).to(tl.int32) * stride
    p00, p01, p10, p11 = y0 + x0, y0 + x1, y1 + x0, y1 + x1
    w00, w01 = (1.0 - v) * (1.0 - u), (1.0 - v) * u
    return p00, p01, p10, p11, w00, w01, v * (1.0 - u), v * u


@triton.jit
def blended(channel, p00, p01, p10, p11, w00, w01, w10, w11, held):  # type: ignore[no-untyped-def]
    """A channel there, float32; 0 where not `held`."""
    value = tl.load(channel + p00, held, 0.0).to(tl.float32) * w00
    value += tl.load(channel + p01, held, 0.0).to(tl.float32) * w01
    value += tl.load(channel + p10, held, 0.0).to(tl.float32) * w10
    value += tl.load(channel + p11, held, 0.0).to(tl.float32) * w11
    return value
