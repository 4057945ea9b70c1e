"""One pass over the output: a program makes a tile of one picture, luma and chroma.

Of a face of 512 px, of which two fifths change, drawn with 256 px: 3.6 MB and 16 MFLOP, so 0.7 us
on an H200 and 1.1 us on an H100, 48 us and 68 us for 64 faces. Tiles that do not change are copied.
What is sampled lies nearly where it is shown, so neighbours share it in the caches.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from kernels.i420_triton import chroma_of, luma_of, mean_of_four
from kernels.reference_paste import Behind
from kernels.sample_triton import blended, corners

_ROWS, _COLUMNS = 4, 128  # of a tile: lines of luma and of chroma are whole sectors of 32 bytes
# One program serves all frames: photos have sizes of their own, and streams would have to wait for
# a compiler.
_SIZES = ["width", "height", "out_row"]


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def _paste_back_kernel(  # type: ignore[no-untyped-def]
    drawn,  # float32 [n, 6, inner, inner]
    rows,  # int64 [n]
    planes,  # uint8 [slots, planes_row]
    mask,  # uint8 [slots, mask_row]
    fixed,  # uint8 [slots, fixed_row]
    detail,  # float16 [slots, 3, edge, edge]
    places,  # int32 [slots, 4]
    out,  # uint8 [n, out_row]
    width,
    height,
    inner,
    reach,
    edge,
    planes_row,
    mask_row,
    fixed_row,
    out_row,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    n = tl.program_id(2).to(tl.int64)
    slot = tl.load(rows + n)
    planes += slot * planes_row
    out += n * out_row
    pixels = width * height
    y = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    x = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    held = (y < height) & (x < width)
    at = y * width + x
    half_y = tl.program_id(1) * (ROWS // 2) + tl.arange(0, ROWS // 2)[:, None]
    half_x = tl.program_id(0) * (COLUMNS // 2) + tl.arange(0, COLUMNS // 2)[None, :]
    half_held = (half_y < height // 2) & (half_x < width // 2)
    half_at = pixels + half_y * (width // 2) + half_x
    share = tl.load(mask + slot * mask_row + at, held, 0).to(tl.float32) * (1.0 / 255.0)
    most = mean_of_four(share, ROWS, COLUMNS)
    luma = tl.load(planes + at, held, 0)
    blue = tl.load(planes + half_at, half_held, 0)
    red = tl.load(planes + half_at + pixels // 4, half_held, 0)
    if tl.max(share) > 0.0:
        changed = held & (share > 0.0)
        place = places + slot * 4
        left, top = tl.load(place), tl.load(place + 1)
        side, kept = tl.load(place + 2).to(tl.float32), tl.load(place + 3).to(tl.float32)
        across, down = (x - left).to(tl.float32) + 0.5, (y - top).to(tl.float32) + 0.5
        step = (inner + 2 * reach) / side
        square = drawn + n * 6 * inner * inner
        area = inner * inner
        p0, p1, p2, p3, w0, w1, w2, w3 = corners(
            across * step - 0.5 - reach, down * step - 0.5 - reach, inner, inner - 1.0, inner - 1.0
        )
        shift_x = blended(square + 3 * area, p0, p1, p2, p3, w0, w1, w2, w3, changed)
        shift_y = blended(square + 4 * area, p0, p1, p2, p3, w0, w1, w2, w3, changed)
        sure = blended(square + 5 * area, p0, p1, p2, p3, w0, w1, w2, w3, changed)
        scale = kept / side
        q0, q1, q2, q3, v0, v1, v2, v3 = corners(
            (across + shift_x * side * 0.5) * scale - 0.5,
            (down + shift_y * side * 0.5) * scale - 0.5,
            edge,
            kept - 1.0,
            kept - 1.0,
        )
        fine = detail + slot * 3 * edge * edge
        under = fixed + slot * fixed_row + at
        plane = edge * edge
        r = blended(square, p0, p1, p2, p3, w0, w1, w2, w3, changed)
        r += sure * blended(fine, q0, q1, q2, q3, v0, v1, v2, v3, changed)
        r = _over(r, share, under, held)
        g = blended(square + area, p0, p1, p2, p3, w0, w1, w2, w3, changed)
        g += sure * blended(fine + plane, q0, q1, q2, q3, v0, v1, v2, v3, changed)
        g = _over(g, share, under + pixels, held)
        b = blended(square + 2 * area, p0, p1, p2, p3, w0, w1, w2, w3, changed)
        b += sure * blended(fine + 2 * plane, q0, q1, q2, q3, v0, v1, v2, v3, changed)
        b = _over(b, share, under + 2 * pixels, held)
        luma = tl.where(changed, luma_of(r, g, b).to(tl.uint8), luma)
        cb, cr = chroma_of(
            mean_of_four(r, ROWS, COLUMNS),
            mean_of_four(g, ROWS, COLUMNS),
            mean_of_four(b, ROWS, COLUMNS),
        )
        blue = tl.where(most > 0.0, cb.to(tl.uint8), blue)
        red = tl.where(most > 0.0, cr.to(tl.uint8), red)
    tl.store(out + at, luma, held)
    tl.store(out + half_at, blue, half_held)
    tl.store(out + half_at + pixels // 4, red, half_held)


@triton.jit
def _over(drawn, share, under, held):  # type: ignore[no-untyped-def]
    """A colour over what is behind it, in [0, 1]."""
    colour = drawn * share + tl.load(under, held, 0).to(tl.float32) * (1.0 / 255.0)
    return tl.minimum(tl.maximum(colour, 0.0), 1.0)


def paste_back(
    drawn: Tensor, rows: Tensor, behind: Behind, size: tuple[int, int], reach: int, out: Tensor
) -> None:
    """See `kernels.paste_back.paste_back`."""
    width, height = size
    grid = triton.cdiv(width, _COLUMNS), triton.cdiv(height, _ROWS), len(rows)
    _paste_back_kernel[grid](
        drawn.contiguous(),
        rows,
        behind.planes,
        behind.mask,
        behind.fixed,
        behind.detail,
        behind.places,
        out,
        width,
        height,
        drawn.shape[-1],
        reach,
        behind.detail.shape[-1],
        behind.planes.stride(0),
        behind.mask.stride(0),
        behind.fixed.stride(0),
        out.stride(0),
        ROWS=_ROWS,
        COLUMNS=_COLUMNS,
        num_warps=4,
    )
