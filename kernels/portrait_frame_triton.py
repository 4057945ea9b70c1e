"""`kernels.portrait_frame` in the Triton language: a program draws a tile of a frame in one pass.

It looks up where the pixels come from, samples the person, lights it and puts it over what lies
behind, lets mouth and eyes show where the tile meets them, and writes Y of 2 x 2 pixels with the
one U and V of their mean.

Of a face at 512 pixels `work` counts 2.5 MB and 29 MFLOP: 64 faces need 49 us on an H100
(3.35 TB/s, 67 TFLOP/s) and 34 us on an H200 (4.8 TB/s), for memory on both.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import reference_mouth_and_eyes as twin
from kernels.portrait_layout import STRIP, Faces, Placed, Real, Whole, tensors_of
from kernels.portrait_paint_triton import eye_colour, mouth_colour
from kernels.portrait_sample_triton import between, kept, one_between, seen
from kernels.reference import BT601, OFFSET

# Blocks of 2 x 2 pixels that a tile is wide and high: a pixel for each thread of eight warps (106
# registers; with four pixels for each, the program was three times as long).
_TILE, _TALL, _WARPS = tl.constexpr(16), tl.constexpr(4), 8
_WHOLES = tl.constexpr(len(Whole))
_REALS = tl.constexpr(Real.LASHES + 3)
_STRIP = tl.constexpr(STRIP)
_LEFT, _TOP = tl.constexpr(Whole.LEFT.value), tl.constexpr(Whole.TOP.value)
_RIGHT, _BOTTOM = tl.constexpr(Whole.RIGHT.value), tl.constexpr(Whole.BOTTOM.value)
_STEP, _COLUMNS = tl.constexpr(Whole.STEP.value), tl.constexpr(Whole.COLUMNS.value)
_PERSON, _MARGIN = tl.constexpr(Whole.PERSON.value), tl.constexpr(Whole.MARGIN.value)
_FINE, _NODES = tl.constexpr(Whole.FINE.value), tl.constexpr(Whole.MOUTH_COLUMNS.value)
_SEAL, _CHOOSE = tl.constexpr(twin.SEAL), tl.constexpr(twin.CHOOSE)
_YR, _YG, _YB = (tl.constexpr(share) for share in BT601[0])
_UR, _UG, _UB = (tl.constexpr(share) for share in BT601[1])
_VR, _VG, _VB = (tl.constexpr(share) for share in BT601[2])
_SIZES = ["WIDTH", "HEIGHT", "PERSON", "MOUTH", "EYE", "BASE", "MOUTH_NODES", "EYE_NODES"]
_DARK, _GREY = tl.constexpr(OFFSET[0] + 0.5), tl.constexpr(OFFSET[1] + 0.5)


@triton.jit  # type: ignore[untyped-decorator]
def _skin(nodes, stride, whole, box, x, y, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Of a patch [2, 4, stride] at pixels of the frame: where both skins together come from, their
    shade, pixels inside the upper and the lower one, and share of skin."""
    fine = tl.load(whole + _FINE)
    columns, rows = tl.load(whole + COLUMNS), tl.load(whole + COLUMNS + 1)
    first = 0.5 * (1 - fine % 2)
    u = (x - tl.load(box) + first) / fine
    v = (y - tl.load(box + 1) + first) / fine
    up_x, up_y, up_shade = between(nodes, stride, u, v, columns, rows)
    up_in = one_between(nodes + 3 * stride, u, v, columns, rows)
    low_x, low_y, low_shade = between(nodes + 4 * stride, stride, u, v, columns, rows)
    low_in = one_between(nodes + 7 * stride, u, v, columns, rows)
    choose = kept((up_in - low_in) * _CHOOSE + 0.5, 0.0, 1.0)
    cover = kept(up_in + _SEAL, 0.0, 1.0) + kept(low_in + _SEAL, 0.0, 1.0)
    from_x = low_x + (up_x - low_x) * choose
    from_y = low_y + (up_y - low_y) * choose
    shade = low_shade + (up_shade - low_shade) * choose
    return from_x, from_y, shade, up_in, low_in, tl.minimum(cover, 1.0)


@triton.jit
def _meets(box, left, top):  # type: ignore[no-untyped-def]
    """Whether a patch shows in the tile whose first pixel that is."""
    across = (tl.load(box) < left + 2 * _TILE) & (tl.load(box) + tl.load(box + 2) > left)
    down = (tl.load(box + 1) < top + 2 * _TALL) & (tl.load(box + 1) + tl.load(box + 3) > top)
    return across & down


@triton.jit
def _within(box, x, y):  # type: ignore[no-untyped-def]
    across = (x >= tl.load(box)) & (x < tl.load(box) + tl.load(box + 2))
    return across & (y >= tl.load(box + 1)) & (y < tl.load(box + 1) + tl.load(box + 3))


@triton.jit
def _light(colour):  # type: ignore[no-untyped-def]
    """A colour that bytes hold: light beyond white is cut off before colours are mixed."""
    return kept(colour, 0.0, 1.0)


@triton.jit
def _over(skin, inner, cover):  # type: ignore[no-untyped-def]
    """What shows through where skin covers a share."""
    inner = _light(inner)
    return inner + (skin - inner) * cover


@triton.jit
def _mean_of_four(plane):  # type: ignore[no-untyped-def]
    return tl.sum(tl.reshape(plane, (_TILE * _TALL, 4)), axis=1) * 0.25


@triton.jit
def _store(planes, at, value, mask):  # type: ignore[no-untyped-def]
    tl.store(planes + at, kept(value, 0.0, 255.0).to(tl.uint8), mask=mask)


# One program serves all sizes: it takes ten seconds and more to compile.
@triton.jit(do_not_specialize=_SIZES)
def _draw(  # type: ignore[no-untyped-def]
    person,  # words [R, PERSON]
    behind,  # uint8 [R, WIDTH * HEIGHT, 3]
    mouth,  # words [R, 3, MOUTH]
    eyes,  # words [R, 2, 4, EYE]
    lids,  # float32 [R, 2, EYE, 4]
    lips,  # float32 [R, 2, 3, STRIP]
    whole,  # int32 [R, len(Whole)]
    real,  # float32 [R, reals]
    base,  # float32 [n, 3, BASE]
    mouth_nodes,  # float32 [n, 2, 4, MOUTH_NODES]
    eye_nodes,  # float32 [n, 2, 2, 4, EYE_NODES]
    boxes,  # int32 [n, 3, 4]
    maps,  # float32 [n, 7, 6]
    shut,  # float32 [n, 2]
    rows,  # int64 [n]
    planes,  # uint8 [n, WIDTH * HEIGHT * 3 / 2], written
    WIDTH,
    HEIGHT,
    PERSON,
    MOUTH,
    EYE,
    BASE,
    MOUTH_NODES,
    EYE_NODES,
):
    frame = tl.program_id(1).to(tl.int64)
    row = tl.load(rows + frame)
    across = tl.cdiv(WIDTH, 2 * _TILE)
    left = tl.program_id(0) % across * (2 * _TILE)
    top = tl.program_id(0) // across * (2 * _TALL)
    pixel = tl.arange(0, 4 * _TILE * _TALL)  # four of a 2 x 2 block after each other
    block = pixel // 4
    x = left + block % _TILE * 2 + pixel % 2
    y = top + block // _TILE * 2 + pixel % 4 // 2
    held = (x < WIDTH) & (y < HEIGHT)
    pixels = WIDTH * HEIGHT
    at = tl.where(held, y * WIDTH + x, 0)

    back = behind + (row * pixels + at) * 3
    red = tl.load(back).to(tl.float32) * (1.0 / 255.0)
    green = tl.load(back + 1).to(tl.float32) * (1.0 / 255.0)
    blue = tl.load(back + 2).to(tl.float32) * (1.0 / 255.0)

    whole += row * _WHOLES
    real += row * _REALS
    first_x, first_y = tl.load(whole + _LEFT), tl.load(whole + _TOP)
    shown = (x >= first_x) & (x < tl.load(whole + _RIGHT))
    shown = shown & (y >= first_y) & (y < tl.load(whole + _BOTTOM))

    step = tl.load(whole + _STEP)
    columns, nodes = tl.load(whole + _COLUMNS), tl.load(whole + _COLUMNS + 1)
    u, v = (x - first_x + 0.5) / step, (y - first_y + 0.5) / step
    from_x, from_y, shade = between(base + frame * 3 * BASE, BASE, u, v, columns, nodes)
    mouth_nodes += frame * 8 * MOUTH_NODES
    eye_nodes += frame * 16 * EYE_NODES
    boxes += frame * 12
    if _meets(boxes, left, top):
        inner = _within(boxes, x, y)
        sx, sy, light, _, _, _ = _skin(mouth_nodes, MOUTH_NODES, whole, boxes, x, y, _NODES)
        from_x, from_y = tl.where(inner, sx, from_x), tl.where(inner, sy, from_y)
        shade = tl.where(inner, light, shade)
    for eye in tl.static_range(2):
        box = boxes + 4 + 4 * eye
        if _meets(box, left, top):
            inner = _within(box, x, y)
            eye_skin = eye_nodes + eye * 8 * EYE_NODES
            sx, sy, light, _, _, _ = _skin(eye_skin, EYE_NODES, whole, box, x, y, _NODES + 2)
            from_x, from_y = tl.where(inner, sx, from_x), tl.where(inner, sy, from_y)
            shade = tl.where(inner, light, shade)

    margin, side = tl.load(whole + _MARGIN), tl.load(whole + _PERSON)
    r, g, b, alpha = seen(person + row * PERSON, from_x + margin, from_y + margin, side, side, True)
    red = tl.where(shown, _light(r * (1.0 + shade) + red * (1.0 - alpha)), red)
    green = tl.where(shown, _light(g * (1.0 + shade) + green * (1.0 - alpha)), green)
    blue = tl.where(shown, _light(b * (1.0 + shade) + blue * (1.0 - alpha)), blue)

    maps += frame * 42
    if _meets(boxes, left, top):
        sx, sy, _, up_in, low_in, cover = _skin(
            mouth_nodes, MOUTH_NODES, whole, boxes, x, y, _NODES
        )
        r, g, b = mouth_colour(
            mouth + row * 3 * MOUTH, MOUTH, lips + row * 6 * _STRIP, whole, real, maps,
            x, y, sx, sy, up_in, low_in,
        )  # fmt: skip
        cover = tl.where(_within(boxes, x, y) & shown, cover, 1.0)
        red, green, blue = _over(red, r, cover), _over(green, g, cover), _over(blue, b, cover)
    for eye in tl.static_range(2):
        box = boxes + 4 + 4 * eye
        if _meets(box, left, top):
            eye_skin = eye_nodes + eye * 8 * EYE_NODES
            _, _, _, _, _, cover = _skin(eye_skin, EYE_NODES, whole, box, x, y, _NODES + 2)
            seat = row * 2 + eye
            r, g, b, cover = eye_colour(
                eyes + seat * 4 * EYE, EYE, lids + seat * 4 * EYE, whole, real,
                maps + 18 + 12 * eye, x, y, tl.load(shut + frame * 2 + eye), cover,
            )  # fmt: skip
            cover = tl.where(_within(box, x, y) & shown, cover, 1.0)
            red, green, blue = _over(red, r, cover), _over(green, g, cover), _over(blue, b, cover)

    planes += frame * (pixels + pixels // 2)
    _store(planes, at, red * _YR + green * _YG + blue * _YB + _DARK, held)
    red, green, blue = _mean_of_four(red), _mean_of_four(green), _mean_of_four(blue)
    small = tl.arange(0, _TILE * _TALL)
    x, y = left // 2 + small % _TILE, top // 2 + small // _TILE
    held = (x < WIDTH // 2) & (y < HEIGHT // 2)
    at = pixels + y * (WIDTH // 2) + x
    _store(planes, at, red * _UR + green * _UG + blue * _UB + _GREY, held)
    _store(planes, at + pixels // 4, red * _VR + green * _VG + blue * _VB + _GREY, held)


def portrait_frame(
    faces: Faces, placed: Placed, rows: Tensor, size: tuple[int, int], planes: Tensor
) -> None:
    """See `kernels.portrait_frame.portrait_frame`."""
    width, height = size
    tiles = triton.cdiv(width, 2 * _TILE.value) * triton.cdiv(height, 2 * _TALL.value)
    pictures = [_words(picture) for picture in (faces.person, faces.mouth, faces.eyes)]
    _draw[(tiles, len(rows))](
        pictures[0],
        faces.behind,
        pictures[1],
        pictures[2],
        faces.lids,
        faces.lips,
        faces.whole,
        faces.real,
        *tensors_of(placed),
        rows,
        planes,
        width,
        height,
        faces.person.shape[1],
        faces.mouth.shape[2],
        faces.eyes.shape[3],
        placed.base.shape[2],
        placed.mouth.shape[3],
        placed.eyes.shape[4],
        num_warps=_WARPS,
    )


def _words(picture: Tensor) -> Tensor:
    """RGBA of bytes, a pixel in a word."""
    return picture.view(torch.int32)
