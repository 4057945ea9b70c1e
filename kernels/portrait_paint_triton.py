"""What shows through lips and lids, inside of a kernel: see `kernels.reference_mouth_and_eyes`."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels import reference_mouth_and_eyes as twin
from kernels.portrait_layout import STRIP, Real, Whole
from kernels.portrait_sample_triton import four_seen, kept, mapped, seen

_STRIP = tl.constexpr(STRIP)
_MILLIMETRE, _LASH = tl.constexpr(Real.MILLIMETRE.value), tl.constexpr(Real.LASH.value)
_STRIP_X, _CAVITY = tl.constexpr(Real.STRIP_X.value), tl.constexpr(Real.CAVITY.value)
_SHADOW, _LASHES = tl.constexpr(Real.SHADOW.value), tl.constexpr(Real.LASHES.value)
_MOUTH_WIDTH = tl.constexpr(Whole.MOUTH_WIDTH.value)
_EYE_WIDTH = tl.constexpr(Whole.EYE_WIDTH.value)

_LIT_FRONT, _LIT_DEEP = (tl.constexpr(half) for half in twin.LIT_HALF)
_LEAST_FRONT, _LEAST_DEEP = (tl.constexpr(least) for least in twin.LEAST)
_UPPER_FADE, _LOWER_FADE = (tl.constexpr(-1.0 / mm) for mm in twin.SHADOW_MM)
_LOWER_SHADOW = tl.constexpr(twin.LOWER_SHADOW)
_UPPER_WET, _LOWER_WET = (tl.constexpr(mm) for mm in twin.WET_MM)
_LEAST_WET = tl.constexpr(twin.LEAST_WET)
_THIN, _THICKER = tl.constexpr(twin.THIN), tl.constexpr(twin.THICKER)
_FRINGE, _HANG = tl.constexpr(twin.FRINGE), tl.constexpr(-1.0 / twin.LASH)
_PHOTO, _PAINTED = tl.constexpr(twin.PHOTO), tl.constexpr(twin.PAINTED)
_LID_SHADOW, _HANGING = tl.constexpr(twin.LID_SHADOW), tl.constexpr(twin.HANGING)


@triton.jit
def mouth_colour(  # type: ignore[no-untyped-def]
    pictures, texels, lips, whole, real, maps, x, y, source_x, source_y, upper_in, lower_in
):
    """RGB between the lips at pixels of the frame.

    pictures: words [3, texels]; lips [2, 3, STRIP]; maps [3, 6]; all of one face. Sources are in
    pixels of the canvas; `upper_in`, `lower_in` are pixels inside the skins.
    """
    width, height = tl.load(whole + _MOUTH_WIDTH), tl.load(whole + _MOUTH_WIDTH + 1)
    millimetre = tl.load(real + _MILLIMETRE)
    below, above = tl.maximum(-upper_in, 0.0) * millimetre, tl.maximum(-lower_in, 0.0) * millimetre
    gap = below + above
    front = _LEAST_FRONT + (1.0 - _LEAST_FRONT) * gap / (gap + _LIT_FRONT)
    deep = _LEAST_DEEP + (1.0 - _LEAST_DEEP) * gap / (gap + _LIT_DEEP)
    at_x, at_y = mapped(maps, x, y)
    red, green, blue, alpha = seen(pictures, at_x, at_y, width, height, False)
    red = (red + tl.load(real + _CAVITY) * (1.0 - alpha)) * deep
    green = (green + tl.load(real + _CAVITY + 1) * (1.0 - alpha)) * deep
    blue = (blue + tl.load(real + _CAVITY + 2) * (1.0 - alpha)) * deep
    for row in tl.static_range(1, 3):
        at_x, at_y = mapped(maps + 6 * row, x, y)
        r, g, b, alpha = seen(pictures + row * texels, at_x, at_y, width, height, False)
        red = r * front + red * (1.0 - alpha)
        green = g * front + green * (1.0 - alpha)
        blue = b * front + blue * (1.0 - alpha)
    upper, lower = tl.exp(below * _UPPER_FADE), _LOWER_SHADOW * tl.exp(above * _LOWER_FADE)
    red = _shaded(red, tl.load(real + _SHADOW), upper, lower)
    green = _shaded(green, tl.load(real + _SHADOW + 1), upper, lower)
    blue = _shaded(blue, tl.load(real + _SHADOW + 2), upper, lower)
    place = tl.load(real + _STRIP_X) * source_x + tl.load(real + _STRIP_X + 1) * source_y
    place = kept(place + tl.load(real + _STRIP_X + 2), 0.0, _STRIP - 1.0)
    strip = lips + tl.floor(place + 0.5).to(tl.int32)
    lit = 0.5 + 0.5 * gap / (gap + 1.0)
    least = _LEAST_WET * millimetre
    share = _wet(below, gap, least, _UPPER_WET)
    red += (tl.load(strip) * lit - red) * share
    green += (tl.load(strip + _STRIP) * lit - green) * share
    blue += (tl.load(strip + 2 * _STRIP) * lit - blue) * share
    share = _wet(above, gap, least, _LOWER_WET)
    red += (tl.load(strip + 3 * _STRIP) * lit - red) * share
    green += (tl.load(strip + 4 * _STRIP) * lit - green) * share
    blue += (tl.load(strip + 5 * _STRIP) * lit - blue) * share
    return red, green, blue


@triton.jit
def _shaded(colour, dark, upper, lower):  # type: ignore[no-untyped-def]
    return colour * (1.0 - dark * upper) * (1.0 - dark * lower)


@triton.jit
def _wet(away, gap, least, most):  # type: ignore[no-untyped-def]
    """Share of a lip's inner side at millimetres `away` from the lip."""
    part = away / tl.minimum(tl.maximum(0.4 * gap, least), most)
    return tl.exp(-part * part)


@triton.jit
def eye_colour(  # type: ignore[no-untyped-def]
    pictures, texels, lids, whole, real, maps, x, y, down, cover
):
    """RGB between and over the lids at pixels of the frame, and the share of skin left of `cover`.

    pictures: words [4, texels]; lids [texels, 4]; maps [2, 6]; all of one eye. `down` is how far
    its upper lid is.
    """
    width, height = tl.load(whole + _EYE_WIDTH), tl.load(whole + _EYE_WIDTH + 1)
    unit = tl.load(real + _LASH)
    at_x, at_y = mapped(maps + 6, x, y)
    iris_r, iris_g, iris_b, iris = seen(pictures + texels, at_x, at_y, width, height, True)
    at_x, at_y = mapped(maps, x, y)
    white_r, white_g, white_b, shade = seen(pictures, at_x, at_y, width, height, True)
    light_r, light_g, light_b, _ = seen(pictures + 2 * texels, at_x, at_y, width, height, True)
    red = light_r * iris + (iris_r + white_r * (1.0 - iris)) * shade
    green = light_g * iris + (iris_g + white_g * (1.0 - iris)) * shade
    blue = light_b * iris + (iris_b + white_b * (1.0 - iris)) * shade
    lid_r, lid_g, lid_b, lid = seen(pictures + 3 * texels, at_x, at_y, width, height, True)
    rim, travel, strength, lash = four_seen(lids, at_x, at_y, width, height)
    below = rim - down * travel
    part = kept((down - _PHOTO) / (_PAINTED - _PHOTO), 0.0, 1.0)
    shown = part * part * (3.0 - 2.0 * part)
    under = tl.maximum(below, 0.0) / unit
    in_shadow = 1.0 - _LID_SHADOW * shown * tl.exp(-under)
    skin = shown * lid * kept(0.5 - below, 0.0, 1.0)
    line = tl.maximum(below * _FRINGE, -below) / tl.maximum(
        unit * (_THIN + _THICKER * strength), 0.8
    )
    hanging = tl.where(below > 0.0, lash * tl.exp(under * _HANG), 0.0)
    dark = shown * tl.maximum(strength * tl.exp(-line * line), hanging * _HANGING)
    over = 1.0 - (1.0 - skin) * (1.0 - dark)
    left = cover * (1.0 - over)
    ball = (1.0 - over) * (1.0 - cover) * in_shadow
    skin = skin * (1.0 - dark)
    scale = 1.0 / tl.maximum(1.0 - left, 1e-3)
    red = (lid_r * skin + tl.load(real + _LASHES) * dark + red * ball) * scale
    green = (lid_g * skin + tl.load(real + _LASHES + 1) * dark + green * ball) * scale
    blue = (lid_b * skin + tl.load(real + _LASHES + 2) * dark + blue * ball) * scale
    return red, green, blue, left
