"""Reading flat lattices and pictures at places of their own, inside of kernels.

Whatever places are asked for, even NaN, nothing is read outside of a lattice.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def node(x, y, columns, rows, CORNER: tl.constexpr):  # type: ignore[no-untyped-def]
    """Index and weight of one of the four nodes around places, and whether there is such a node."""
    left, top = tl.floor(x), tl.floor(y)
    column, row = left.to(tl.int32) + CORNER % 2, top.to(tl.int32) + CORNER // 2
    within = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    across, down = x - left, y - top
    if CORNER % 2 == 0:
        across = 1.0 - across
    if CORNER // 2 == 0:
        down = 1.0 - down
    column = tl.minimum(tl.maximum(column, 0), columns - 1)
    row = tl.minimum(tl.maximum(row, 0), rows - 1)
    return row * columns + column, across * down, within


@triton.jit
def kept(x, least, most):  # type: ignore[no-untyped-def]
    """Places cut to a range; NaN becomes its beginning."""
    return tl.minimum(tl.where(x > least, x, least), most)


@triton.jit
def between(plane, stride, x, y, columns, rows):  # type: ignore[no-untyped-def]
    """Three planes of float32, `stride` apart, at places of a lattice whose edges are extended."""
    x, y = kept(x, 0.0, columns - 1.0), kept(y, 0.0, rows - 1.0)
    first, second, third = tl.zeros_like(x), tl.zeros_like(x), tl.zeros_like(x)
    for corner in tl.static_range(4):
        at, weight, _ = node(x, y, columns, rows, corner)
        first += weight * tl.load(plane + at)
        second += weight * tl.load(plane + stride + at)
        third += weight * tl.load(plane + 2 * stride + at)
    return first, second, third


@triton.jit
def one_between(plane, x, y, columns, rows):  # type: ignore[no-untyped-def]
    """As `between`, of one plane."""
    x, y = kept(x, 0.0, columns - 1.0), kept(y, 0.0, rows - 1.0)
    total = tl.zeros_like(x)
    for corner in tl.static_range(4):
        at, weight, _ = node(x, y, columns, rows, corner)
        total += weight * tl.load(plane + at)
    return total


@triton.jit  # type: ignore[untyped-decorator]
def seen(picture, x, y, width, height, EXTENDED: tl.constexpr):  # type: ignore[no-untyped-def]
    """RGBA in [0, 1] of a picture, a 32-bit word a pixel, at places in pixels; beyond its edges,
    these are `EXTENDED`, or there is nothing."""
    if EXTENDED:
        x, y = kept(x, 0.0, width - 1.0), kept(y, 0.0, height - 1.0)
    else:
        x, y = kept(x, -1.0, width), kept(y, -1.0, height)
    red, green, blue = tl.zeros_like(x), tl.zeros_like(x), tl.zeros_like(x)
    alpha = tl.zeros_like(x)
    for corner in tl.static_range(4):
        at, weight, within = node(x, y, width, height, corner)
        weight = tl.where(within, weight, 0.0) * (1.0 / 255.0)
        word = tl.load(picture + at)
        red += weight * (word & 255).to(tl.float32)
        green += weight * ((word >> 8) & 255).to(tl.float32)
        blue += weight * ((word >> 16) & 255).to(tl.float32)
        alpha += weight * ((word >> 24) & 255).to(tl.float32)
    return red, green, blue, alpha


@triton.jit
def four_seen(picture, x, y, width, height):  # type: ignore[no-untyped-def]
    """As `seen`, of four channels of float32, edges extended."""
    x, y = kept(x, 0.0, width - 1.0), kept(y, 0.0, height - 1.0)
    first, second, third = tl.zeros_like(x), tl.zeros_like(x), tl.zeros_like(x)
    fourth = tl.zeros_like(x)
    for corner in tl.static_range(4):
        at, weight, _ = node(x, y, width, height, corner)
        first += weight * tl.load(picture + 4 * at)
        second += weight * tl.load(picture + 4 * at + 1)
        third += weight * tl.load(picture + 4 * at + 2)
        fourth += weight * tl.load(picture + 4 * at + 3)
    return first, second, third, fourth


@triton.jit
def mapped(row, x, y):  # type: ignore[no-untyped-def]
    """Places that an affine map of six numbers at `row` brings pixels to."""
    across = tl.load(row) * x + tl.load(row + 1) * y + tl.load(row + 2)
    down = tl.load(row + 3) * x + tl.load(row + 4) * y + tl.load(row + 5)
    return across, down
