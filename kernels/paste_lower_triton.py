"""One pass over the output: a program makes a tile of one frame, luma and chroma.

Of a face of 512 px, of which an eighth changes, drawn with 256 x 128 px: 1.2 MB and 2.8 MFLOP, so
0.25 us on an H200 and 0.35 us on an H100, 16 us and 23 us for 64 faces. Tiles beside the box of a
face are copied.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from kernels.i420_triton import chroma_of, luma_of, mean_of_four
from kernels.reference_paste_lower import Clips
from kernels.sample_triton import blended

_ROWS, _COLUMNS = 4, 128  # of a tile: lines of luma and of chroma are whole sectors of 32 bytes
# One program serves all frames: photos have sizes of their own, and streams would have to wait for
# a compiler.
_SIZES = ["width", "height", "out_row"]


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def _paste_lower_kernel(  # type: ignore[no-untyped-def]
    lower,  # float32 [n, 3, tall, wide]
    colours,  # float32 [n, 3 (constant, across, down), 3 (RGB)]
    rows,  # int64 [n]
    planes,  # uint8 [rows, planes_row]
    masks,  # uint8 [rows, mask_tall, mask_wide]
    places,  # float32 [rows, 6]
    boxes,  # int32 [rows, 5]
    out,  # uint8 [n, out_row]
    width,
    height,
    wide,
    tall,
    mask_wide,
    mask_tall,
    planes_row,
    out_row,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    n = tl.program_id(2).to(tl.int64)
    row = tl.load(rows + n)
    planes += row * planes_row
    out += n * out_row
    pixels = width * height
    first_y, first_x = tl.program_id(1) * ROWS, tl.program_id(0) * COLUMNS
    y, x = first_y + tl.arange(0, ROWS)[:, None], first_x + tl.arange(0, COLUMNS)[None, :]
    held = (y < height) & (x < width)
    at = y * width + x
    half_y = first_y // 2 + tl.arange(0, ROWS // 2)[:, None]
    half_x = first_x // 2 + tl.arange(0, COLUMNS // 2)[None, :]
    half_held = (half_y < height // 2) & (half_x < width // 2)
    half_at = pixels + half_y * (width // 2) + half_x
    luma = tl.load(planes + at, held, 0)
    blue = tl.load(planes + half_at, half_held, 0)
    red = tl.load(planes + half_at + pixels // 4, half_held, 0)
    box = boxes + row * 5
    top, left = tl.load(box), tl.load(box + 1)
    bottom, right = tl.load(box + 2), tl.load(box + 3)
    if (first_y < bottom) & (first_y + ROWS > top) & (first_x < right) & (first_x + COLUMNS > left):
        inside = held & (y >= top) & (y < bottom) & (x >= left) & (x < right)
        place = places + row * 6
        across = x.to(tl.float32) + 0.5 - tl.load(place + 4)
        down = y.to(tl.float32) + 0.5 - tl.load(place + 5)
        u = tl.load(place) * across + tl.load(place + 1) * down
        v = 2.0 * (tl.load(place + 2) * across + tl.load(place + 3) * down) - 1.0
        mask = masks + row * mask_wide * mask_tall
        share = _in_zeros(mask, u, v, mask_wide, mask_tall, inside) * (1.0 / 255.0)
        by = tl.load(box + 4)
        r, g, b = _averaged(lower + n * 3 * wide * tall, by, u, v, wide, tall, inside)
        plane = colours + n * 9
        r = _corrected(r, plane, u, v)
        g = _corrected(g, plane + 1, u, v)
        b = _corrected(b, plane + 2, u, v)
        luma = _mixed(luma, luma_of(r, g, b), share)
        cb, cr = chroma_of(
            mean_of_four(r, ROWS, COLUMNS),
            mean_of_four(g, ROWS, COLUMNS),
            mean_of_four(b, ROWS, COLUMNS),
        )
        half_share = mean_of_four(share, ROWS, COLUMNS)
        blue, red = _mixed(blue, cb, half_share), _mixed(red, cr, half_share)
    tl.store(out + at, luma, held)
    tl.store(out + half_at, blue, half_held)
    tl.store(out + half_at + pixels // 4, red, half_held)


@triton.jit
def _mixed(before, made, share):  # type: ignore[no-untyped-def]
    """Bytes, of them as much as the share of what was made, which is rounded first."""
    held = before.to(tl.float32)
    return tl.floor(held + share * (tl.floor(made) - held) + 0.5).to(tl.uint8)


@triton.jit
def _corrected(colour, plane, u, v):  # type: ignore[no-untyped-def]
    """A colour and its plane's, in [0, 1]."""
    made = colour + tl.load(plane) + tl.load(plane + 3) * u + tl.load(plane + 6) * v
    return tl.minimum(tl.maximum(made, 0.0), 1.0)


@triton.jit
def _in_zeros(picture, u, v, wide, tall, held):  # type: ignore[no-untyped-def]
    """A picture of bytes at u and v in [-1, 1], bilinearly, zeros outside."""
    x, y = (u + 1.0) * wide * 0.5 - 0.5, (v + 1.0) * tall * 0.5 - 0.5
    x0, y0 = tl.floor(x), tl.floor(y)
    right, down = x - x0, y - y0
    left_in, right_in = (x0 >= 0.0) & (x0 < wide), (x0 >= -1.0) & (x0 < wide - 1.0)
    top_in, bottom_in = (y0 >= 0.0) & (y0 < tall), (y0 >= -1.0) & (y0 < tall - 1.0)
    # Far outside nothing is read, and places that no int32 holds are not turned into one.
    xi = tl.minimum(tl.maximum(x0, -1.0), wide * 1.0).to(tl.int32)
    at = tl.minimum(tl.maximum(y0, -1.0), tall * 1.0).to(tl.int32) * wide + xi
    p00 = tl.load(picture + at, held & left_in & top_in, 0).to(tl.float32)
    p01 = tl.load(picture + at + 1, held & right_in & top_in, 0).to(tl.float32)
    p10 = tl.load(picture + at + wide, held & left_in & bottom_in, 0).to(tl.float32)
    p11 = tl.load(picture + at + wide + 1, held & right_in & bottom_in, 0).to(tl.float32)
    above, below = p00 + (p01 - p00) * right, p10 + (p11 - p10) * right
    return above + (below - above) * down


@triton.jit
def _averaged(picture, by, u, v, wide, tall, held):  # type: ignore[no-untyped-def]
    """The three channels of a picture, averaged over squares of `by` pixels, at u and v in [-1, 1],
    bilinearly, edges extended."""
    columns, lines = wide // by, tall // by
    x = tl.minimum(tl.maximum((u + 1.0) * columns * 0.5 - 0.5, 0.0), columns - 1.0)
    y = tl.minimum(tl.maximum((v + 1.0) * lines * 0.5 - 0.5, 0.0), lines - 1.0)
    left, top = tl.floor(x), tl.floor(y)
    right, down = x - left, y - top
    x0, y0 = left.to(tl.int32), top.to(tl.int32)
    x1, y1 = tl.minimum(x0 + 1, columns - 1) * by, tl.minimum(y0 + 1, lines - 1) * by
    x0, y0 = x0 * by, y0 * by
    w00, w01 = (1.0 - down) * (1.0 - right), (1.0 - down) * right
    w10, w11 = down * (1.0 - right), down * right
    p00, p01, p10, p11 = y0 * wide + x0, y0 * wide + x1, y1 * wide + x0, y1 * wide + x1
    area = wide * tall
    r, g, b = u * 0.0, u * 0.0, u * 0.0
    for step in range(by * by):
        at = picture + (step // by) * wide + step % by
        r += blended(at, p00, p01, p10, p11, w00, w01, w10, w11, held)
        g += blended(at + area, p00, p01, p10, p11, w00, w01, w10, w11, held)
        b += blended(at + 2 * area, p00, p01, p10, p11, w00, w01, w10, w11, held)
    share = 1.0 / (by * by)
    return r * share, g * share, b * share


def paste_lower(
    lower: Tensor, colours: Tensor, rows: Tensor, clips: Clips, size: tuple[int, int], out: Tensor
) -> None:
    """See `kernels.paste_lower.paste_lower`."""
    width, height = size
    grid = triton.cdiv(width, _COLUMNS), triton.cdiv(height, _ROWS), len(rows)
    tall, wide = lower.shape[2:]
    mask_tall, mask_wide = clips.masks.shape[1:]
    _paste_lower_kernel[grid](
        lower.contiguous(),
        colours.contiguous(),
        rows,
        clips.planes,
        clips.masks,
        clips.places,
        clips.boxes,
        out,
        width,
        height,
        wide,
        tall,
        mask_wide,
        mask_tall,
        clips.planes.stride(0),
        out.stride(0),
        ROWS=_ROWS,
        COLUMNS=_COLUMNS,
        num_warps=4,
    )
