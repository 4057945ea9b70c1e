"""How jaw and lip shapes move the skin: smooth analytic fields above and below the lip line.

The skin above and below the line are two layers with a field each. The fields agree beyond the
mouth corners and differ between them: that difference is the opening. Each field has four
channels at a point: dx, dy (face units), how far the layer's edge advances (face units; negative
for a rolled lip), and shading (added to 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.photo.geometry import Array, Face, bump, single, smoothstep
from pipelines.portrait.lip_line import opening
from pipelines.portrait.neutral import stretched

JAW_DROP = 0.168  # lower lip at jawOpen 1, face units
LIP_LIFT = 0.012  # upper lip at jawOpen 1
_ENDS = 0.96  # of half the width: the corners themselves never part, so that no slit runs out there
CORNER_SHARE = 0.40  # how far the corners follow the lower lip


@dataclass(frozen=True)
class Layered:
    """Fields of one shape at P points: the upper and the lower layer, each [4, P]."""

    upper: Array
    lower: Array


@dataclass(frozen=True)
class MouthSpace:
    """Points [P] in the coordinates that mouth fields are written in."""

    x: Array
    y: Array
    u: Array  # -1 and 1 at the corners of the opening
    line: Array  # of the lips: 1 in its middle, fading to 0 in the corners
    above: Array  # height above the upper rim, 0 below it
    below: Array  # depth below the lower rim, 0 above it
    open: Array  # the profile of an opening: 1 in the middle, 0 at and beyond the corners
    beside: Array  # 1 up to the corners, falling off in the cheeks
    nose: float  # distance from the line to the nose base
    chin: float  # distance from the line to the chin
    lip_upper: float  # heights of the red of the lips
    lip_lower: float
    gap: Array  # opening in the photo at this x
    half: float  # half the distance of the corners
    stretched: float  # 0 to 1: how thin a smile has drawn parted lips


def mouth_space(face: Face, x: Array, y: Array) -> MouthSpace:
    """Express points (x, y) in face units in mouth coordinates."""
    rim = face.mouth
    left, right = opening(face)
    half = (right - left) / 2
    u = _across(face, x)
    inside = np.clip(np.abs(u), 0.0, 1.0)
    beyond = np.maximum(np.abs(u) - 1.0, 0.0) * half
    upper, lower = rim.upper_at(x), rim.lower_at(x)
    middle = len(rim.x) // 2
    return MouthSpace(
        x=x,
        y=y,
        u=u,
        line=1.0 - smoothstep(0.50, 1.0, np.abs(u)),
        above=np.maximum(upper - y, 0.0),
        below=np.maximum(y - lower, 0.0),
        open=_rounded(np.maximum(1.0 - (inside / _ENDS) ** 2.3, 0.0)),
        beside=np.exp(-((beyond / 0.15) ** 2)).astype(np.float32),
        nose=max(0.08, -face.nose),
        chin=max(0.15, face.chin),
        lip_upper=max(0.015, float(rim.upper[middle] - face.lips.upper[middle])),
        lip_lower=max(0.02, float(face.lips.lower[middle] - rim.lower[middle])),
        gap=np.maximum(lower - upper, 0.0),
        half=half,
        stretched=stretched(face),
    )


def _across(face: Face, x: Array) -> Array:
    left, right = opening(face)
    return single(np.where(x < 0, x / -left, x / right))


def _rounded(rise: Array) -> Array:
    """The root of `rise`, but with a finite slope at 0: corners are round, not blunt."""
    least = 0.03
    return single((np.sqrt(rise + least) - least**0.5) / ((1.0 + least) ** 0.5 - least**0.5))


Shape = Callable[[MouthSpace], Layered]


def _zeros(m: MouthSpace) -> Array:
    return np.zeros((4, m.x.size), dtype=np.float32)


def _both(m: MouthSpace, dx: Array | float = 0.0, dy: Array | float = 0.0) -> Layered:
    field = _zeros(m)
    field[0], field[1] = dx, dy
    return Layered(field, field.copy())


def _sum(*parts: Layered) -> Layered:
    return Layered(
        np.sum([p.upper for p in parts], axis=0), np.sum([p.lower for p in parts], axis=0)
    )


def _upper_fall(m: MouthSpace) -> Array:
    """1 at the line, 0 at the nose base; reaches higher in the cheeks."""
    reach = m.nose * (1.05 + 0.6 * smoothstep(0.7, 1.6, np.abs(m.u)))
    return 1.0 - smoothstep(0.0, reach, m.above)


def _jaw_weight(m: MouthSpace) -> Array:
    """Share of the jaw's travel below the lips: rigid at the chin, none at the hinge and neck."""
    across = np.exp(-((np.abs(m.x) / 0.315) ** 3.4))
    neck = 1.0 - smoothstep(m.chin - 0.01, m.chin + 0.28, m.y)
    return single(0.86 * across * neck)


def _lower_share(m: MouthSpace, line: Array) -> Array:
    """From `line` at the lower rim to the jaw's own travel at the chin."""
    t = smoothstep(0.35 * m.lip_lower, m.lip_lower + 0.6 * (m.chin - m.lip_lower), m.below)
    return single(line * (1.0 - t) + _jaw_weight(m) * t)


def jaw_open(m: MouthSpace) -> Layered:
    upper, lower = _zeros(m), _zeros(m)
    line_low = (CORNER_SHARE + (1.0 - CORNER_SHARE) * m.open) * m.beside
    line_up = CORNER_SHARE * (1.0 - m.open) * m.beside
    upper[1] = (JAW_DROP * line_up - LIP_LIFT * m.open) * _upper_fall(m)
    lower[1] = JAW_DROP * _lower_share(m, line_low)
    narrow = -0.13 * m.x * bump(m.x, 0.0, 0.26) * bump(m.y, 0.03, 0.16)
    hollow = bump(np.abs(m.x), 0.27, 0.10) * bump(m.y, 0.02, 0.15)  # cheeks are drawn in
    upper[0] = lower[0] = narrow - 0.016 * np.sign(m.x) * hollow
    under = bump(m.x, 0.0, 0.17) * bump(m.y, m.chin - 0.01, 0.06)  # the chin turns down
    upper[3] = lower[3] = _fold(m, -0.17, 0.06) - 0.09 * hollow - 0.08 * under
    return Layered(upper, lower)


def _fold(m: MouthSpace, crease: float, cheek: float) -> Array:
    """Shading of the nasolabial folds: `crease` along them, `cheek` beside them."""
    side = np.abs(m.x)
    down = (m.y + 0.75 * m.nose) / (0.05 + 0.75 * m.nose)  # 0 at the nose's wings, 1 below corners
    line = 0.105 + (m.half + 0.035 - 0.105) * np.clip(down, 0.0, 1.2)
    along = smoothstep(-0.15, 0.30, down) * (1.0 - smoothstep(0.9, 1.5, down))
    near = crease * np.exp(-(((side - line) / 0.020) ** 2))
    return single(along * (near + cheek * np.exp(-(((side - line - 0.055) / 0.035) ** 2))))


def held_together(face: Face, x: Array) -> Array:
    """1 towards the corners, where lips stick together longest, 0 in the middle."""
    return _aside(_across(face, x))


def _aside(u: Array) -> Array:
    return smoothstep(0.25, 0.80, np.abs(u))


def stick(m: MouthSpace) -> Layered:
    """Holds together, towards the corners, lips that part by as much as jawOpen 1 would.

    Lips part in the middle first, and the opening grows outwards.
    """
    upper, lower = _zeros(m), _zeros(m)
    held = (JAW_DROP + LIP_LIFT) * m.open * _aside(m.u)
    upper[1] = 0.45 * held * _upper_fall(m)
    reach = 1.0 - smoothstep(m.lip_lower, m.lip_lower + 0.7 * (m.chin - m.lip_lower), m.below)
    lower[1] = -0.55 * held * reach
    return Layered(upper, lower)


def mouth_close(m: MouthSpace) -> Layered:
    """Undoes the opening of an equal jawOpen: lips meet a little below their place at rest.

    The corners come up with the lower lip, for the line of the lips stays as straight as it was.
    """
    upper, lower = _zeros(m), _zeros(m)
    gap = (JAW_DROP + LIP_LIFT) * m.open
    corners = -0.6 * CORNER_SHARE * JAW_DROP * (1.0 - m.open) * m.beside
    upper[1] = (0.22 * gap + corners) * _upper_fall(m)
    reach = 1.0 - smoothstep(m.lip_lower, m.lip_lower + 0.7 * (m.chin - m.lip_lower), m.below)
    lower[1] = (-0.78 * gap + corners) * reach
    return Layered(upper, lower)


def _gather(m: MouthSpace, pull: float) -> Layered:
    """Draw the corners toward the midline."""
    dx = -pull * m.x * np.exp(-((np.abs(m.x) / 0.27) ** 2.5)) * bump(m.y, 0.0, 0.17)
    return _both(m, dx)


def _thicken(m: MouthSpace, amount: float) -> Layered:
    """Swell the red of the lips away from the line."""
    upper, lower = _zeros(m), _zeros(m)
    top = smoothstep(0.0, m.lip_upper, m.above) * (1 - smoothstep(m.lip_upper, m.nose, m.above))
    reach = m.lip_lower + 0.12
    low = smoothstep(0.0, m.lip_lower, m.below) * (1 - smoothstep(m.lip_lower, reach, m.below))
    lobes = 0.75 * bump(m.u, 0.0, 0.8) + 0.6 * bump(np.abs(m.u), 0.6, 0.36)
    upper[1], lower[1] = -amount * top * lobes, amount * low * lobes
    return Layered(upper, lower)


def _part(
    m: MouthSpace, up: float, down: float, centre: float = 0.0, width: float = 9.0
) -> Layered:
    """Part the lips by `up` and `down` around `centre` (in half mouth widths)."""
    upper, lower = _zeros(m), _zeros(m)
    where = m.open * bump(m.u, centre, width)
    upper[1] = -up * where * _upper_fall(m)
    reach = 1.0 - smoothstep(m.lip_lower, m.lip_lower + 0.75 * (m.chin - m.lip_lower), m.below)
    lower[1] = down * where * reach
    return Layered(upper, lower)


def _roll(m: MouthSpace, upper_share: float, lower_share: float, where: Array) -> Layered:
    """Roll the lips in: their edge recedes into the red, and the rest follows to close up."""
    upper, lower = _zeros(m), _zeros(m)
    up, low = upper_share * m.lip_upper * where, lower_share * m.lip_lower * where
    upper[2], lower[2] = -up, -low
    # A little further than they recede: nothing shows between lips that are pressed together.
    upper[1] = 1.1 * up * (1.0 - smoothstep(0.5 * m.lip_upper, m.nose, m.above))
    lower[1] = -1.1 * low * (1.0 - smoothstep(0.5 * m.lip_lower, 0.8 * m.chin, m.below))
    return Layered(upper, lower)


def funnel(m: MouthSpace) -> Layered:
    return _sum(_gather(m, 0.32), _part(m, 0.0, 0.036), _thicken(m, 0.014), _forward(m, 0.8))


def pucker(m: MouthSpace) -> Layered:
    return _sum(_gather(m, 0.38), _thicken(m, 0.016), _part(m, -0.006, 0.006), _forward(m, 1.0))


def _forward(m: MouthSpace, amount: float) -> Layered:
    """Shade lips that come forward: light on their middle, shadow beside and below them."""
    field = _both(m)
    beside = bump(np.abs(m.u), 1.05, 0.30) * bump(m.y, 0.0, 0.08)
    below = bump(m.x, 0.0, 0.10) * bump(m.y, 1.6 * m.lip_lower, 0.6 * m.lip_lower)
    middle = bump(m.u, 0.0, 0.55)
    for layer, away, red in (
        (field.upper, m.above, m.lip_upper),
        (field.lower, m.below, m.lip_lower),
    ):
        light = 0.10 * middle * bump(away, 0.55 * red, 0.4 * red)
        layer[3] = amount * (light - 0.14 * beside - 0.10 * below)
    return field


def smile(m: MouthSpace, sign: float) -> Layered:
    dx = 0.042 * sign * bump(m.x, sign * m.half * 1.1, 0.11) * bump(m.y, -0.01, 0.11)
    dy = -0.043 * bump(m.x, sign * m.half * 1.25, 0.095) * bump(m.y, -0.01, 0.11)
    cheek = -0.018 * bump(m.x, sign * 0.26, 0.11) * bump(m.y, -0.20, 0.11)
    field = _both(m, dx, dy + cheek)
    fold = bump(m.x, sign * (m.half + 0.065), 0.035) * bump(m.y, -0.06, 0.10)
    apple = bump(m.x, sign * 0.24, 0.09) * bump(m.y, -0.20, 0.08)
    for layer in (field.upper, field.lower):
        layer[3] = -0.13 * fold + 0.05 * apple
    return field


def frown(m: MouthSpace, sign: float) -> Layered:
    dy = 0.045 * bump(m.x, sign * m.half * 1.1, 0.10) * bump(m.y, 0.02, 0.12)
    return _both(m, -0.01 * sign * bump(m.x, sign * m.half, 0.12) * bump(m.y, 0.0, 0.1), dy)


def stretch(m: MouthSpace, sign: float) -> Layered:
    dx = 0.060 * sign * bump(m.x, sign * m.half, 0.14) * bump(m.y, 0.02, 0.13)
    dy = 0.012 * bump(m.x, sign * m.half, 0.12) * bump(m.y, 0.0, 0.10)
    return _both(m, dx, dy)


def mouth_shift(m: MouthSpace, sign: float) -> Layered:
    return _both(m, 0.055 * sign * bump(m.x, 0.0, 0.22) * bump(m.y, 0.0, 0.14))


def jaw_shift(m: MouthSpace, sign: float) -> Layered:
    upper, lower = _zeros(m), _zeros(m)
    lower[0] = 0.07 * sign * _lower_share(m, 0.5 * m.beside)
    upper[0] = 0.035 * sign * m.beside * _upper_fall(m)
    return Layered(upper, lower)


def press(m: MouthSpace, sign: float) -> Layered:
    side = smoothstep(-0.6, 0.6, sign * m.u) * m.open
    rolled = _roll(m, 0.30, 0.30, side)
    dx = -0.012 * sign * bump(m.x, sign * m.half, 0.12) * bump(m.y, 0.0, 0.1)
    return _sum(rolled, _both(m, dx))


def cheek_puff(m: MouthSpace) -> Layered:
    dx = np.zeros_like(m.x)
    shade = np.zeros_like(m.x)
    for sign in (-1.0, 1.0):
        blob = bump(m.x, sign * 0.26, 0.13) * bump(m.y, 0.0, 0.15)
        dx += sign * 0.045 * blob
        shade += 0.06 * blob
    field = _sum(_both(m, dx), _gather(m, 0.06))
    field.upper[3] += shade
    field.lower[3] += shade
    return field


def rest_closure(m: MouthSpace) -> Layered:
    """Press together lips that are apart in the photo, so that zero motion is a closed mouth."""
    upper, lower = _zeros(m), _zeros(m)
    parted = float(smoothstep(0.006, 0.02, np.array(m.gap.max())))
    shut = m.gap + 0.003 * parted * m.open
    upper[1] = 0.30 * shut * _upper_fall(m)
    chin = 0.35 * shut * (1.0 - smoothstep(0.0, 0.30, m.below))
    reach = 1.0 - smoothstep(m.lip_lower, m.lip_lower + 0.5 * (m.chin - m.lip_lower), m.below)
    lower[1] = -0.70 * shut * reach * 0.65 - 0.70 * chin
    return _sum(Layered(upper, lower), _fuller(m), seam(m))


def seam(m: MouthSpace) -> Layered:
    """The soft dark line at which lips meet that are apart in the photo."""
    upper, lower = _zeros(m), _zeros(m)
    within = smoothstep(0.006, 0.02, single(m.gap.max())) * m.line
    upper[3] = -0.26 * within * bump(m.above, 0.0, 0.014)
    lower[3] = -0.34 * within * bump(m.below, 0.0, 0.012)
    return Layered(upper, lower)


def _fuller(m: MouthSpace) -> Layered:
    """Give lips that an open smile has drawn thin some of their height back: all was a pout."""
    fuller = _thicken(m, 1.0)
    fuller.upper[1] *= 0.22 * m.stretched * m.lip_upper
    fuller.lower[1] *= 0.15 * m.stretched * m.lip_lower
    return fuller


SHAPES: dict[str, Shape] = {
    "jawOpen": jaw_open,
    "jawLeft": lambda m: jaw_shift(m, 1.0),
    "jawRight": lambda m: jaw_shift(m, -1.0),
    "mouthClose": mouth_close,
    "mouthFunnel": funnel,
    "mouthPucker": pucker,
    "mouthLeft": lambda m: mouth_shift(m, 1.0),
    "mouthRight": lambda m: mouth_shift(m, -1.0),
    "mouthSmileLeft": lambda m: smile(m, 1.0),
    "mouthSmileRight": lambda m: smile(m, -1.0),
    "mouthFrownLeft": lambda m: frown(m, 1.0),
    "mouthFrownRight": lambda m: frown(m, -1.0),
    "mouthStretchLeft": lambda m: stretch(m, 1.0),
    "mouthStretchRight": lambda m: stretch(m, -1.0),
    "mouthRollLower": lambda m: _roll(m, 0.0, 0.6, m.open),
    "mouthRollUpper": lambda m: _roll(m, 0.6, 0.0, m.open),
    "mouthPressLeft": lambda m: press(m, 1.0),
    "mouthPressRight": lambda m: press(m, -1.0),
    "mouthLowerDownLeft": lambda m: _part(m, 0.0, 0.045, 0.5, 0.62),
    "mouthLowerDownRight": lambda m: _part(m, 0.0, 0.045, -0.5, 0.62),
    "mouthUpperUpLeft": lambda m: _part(m, 0.040, 0.0, 0.5, 0.62),
    "mouthUpperUpRight": lambda m: _part(m, 0.040, 0.0, -0.5, 0.62),
    "cheekPuff": cheek_puff,
    "lipsStick": stick,
}
