"""How jaw and lip shapes move the skin: smooth analytic fields above and below the lip line.

The fields of both layers agree beyond the mouth corners and differ between them: that difference is
the opening.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.photo.geometry import bump, smoothstep
from pipelines.portrait.layered import Layered, summed
from pipelines.portrait.mouth_parts import (
    both,
    fold,
    forward,
    gather,
    lower_share,
    part,
    roll,
    thicken,
    upper_fall,
    zeros,
)
from pipelines.portrait.mouth_space import MouthSpace, aside
from pipelines.portrait.rules import JAW_DROP

LIP_LIFT = 0.012  # upper lip at jawOpen 1
CORNER_SHARE = 0.40  # how far the corners follow the lower lip

Shape = Callable[[MouthSpace], Layered]


def jaw_open(m: MouthSpace) -> Layered:
    upper, lower = zeros(m), zeros(m)
    line_low = (CORNER_SHARE + (1.0 - CORNER_SHARE) * m.open) * m.beside
    line_up = CORNER_SHARE * (1.0 - m.open) * m.beside
    upper[1] = (JAW_DROP * line_up - LIP_LIFT * m.open) * upper_fall(m)
    lower[1] = JAW_DROP * lower_share(m, line_low)
    narrow = -0.13 * m.x * bump(m.x, 0.0, 0.26) * bump(m.y, 0.03, 0.16)
    hollow = bump(np.abs(m.x), 0.27, 0.10) * bump(m.y, 0.02, 0.15)  # cheeks are drawn in
    upper[0] = lower[0] = narrow - 0.016 * np.sign(m.x) * hollow
    under = bump(m.x, 0.0, 0.17) * bump(m.y, m.chin - 0.01, 0.06)  # the chin turns down
    upper[3] = lower[3] = fold(m, -0.17, 0.06) - 0.09 * hollow - 0.08 * under
    return Layered(upper, lower)


def stick(m: MouthSpace) -> Layered:
    """Holds together, towards the corners, lips that part by as much as jawOpen 1 would.

    Lips part in the middle first, and the opening grows outwards.
    """
    upper, lower = zeros(m), zeros(m)
    held = (JAW_DROP + LIP_LIFT) * m.open * aside(m.u)
    upper[1] = 0.45 * held * upper_fall(m)
    reach = 1.0 - smoothstep(m.lip_lower, m.lip_lower + 0.7 * (m.chin - m.lip_lower), m.below)
    lower[1] = -0.55 * held * reach
    return Layered(upper, lower)


def mouth_close(m: MouthSpace) -> Layered:
    """Undoes the opening of an equal jawOpen: lips meet a little below their place at rest.

    The corners come up with the lower lip, for the line of the lips stays as straight as it was.
    """
    upper, lower = zeros(m), zeros(m)
    gap = (JAW_DROP + LIP_LIFT) * m.open
    corners = -0.6 * CORNER_SHARE * JAW_DROP * (1.0 - m.open) * m.beside
    upper[1] = (0.22 * gap + corners) * upper_fall(m)
    reach = 1.0 - smoothstep(m.lip_lower, m.lip_lower + 0.7 * (m.chin - m.lip_lower), m.below)
    lower[1] = (-0.78 * gap + corners) * reach
    return Layered(upper, lower)


def funnel(m: MouthSpace) -> Layered:
    return summed(gather(m, 0.32), part(m, 0.0, 0.036), thicken(m, 0.014), forward(m, 0.8))


def pucker(m: MouthSpace) -> Layered:
    return summed(gather(m, 0.38), thicken(m, 0.016), part(m, -0.006, 0.006), forward(m, 1.0))


def smile(m: MouthSpace, sign: float) -> Layered:
    dx = 0.042 * sign * bump(m.x, sign * m.half * 1.1, 0.11) * bump(m.y, -0.01, 0.11)
    dy = -0.043 * bump(m.x, sign * m.half * 1.25, 0.095) * bump(m.y, -0.01, 0.11)
    cheek = -0.018 * bump(m.x, sign * 0.26, 0.11) * bump(m.y, -0.20, 0.11)
    field = both(m, dx, dy + cheek)
    fold = bump(m.x, sign * (m.half + 0.065), 0.035) * bump(m.y, -0.06, 0.10)
    apple = bump(m.x, sign * 0.24, 0.09) * bump(m.y, -0.20, 0.08)
    for layer in (field.upper, field.lower):
        layer[3] = -0.13 * fold + 0.05 * apple
    return field


def frown(m: MouthSpace, sign: float) -> Layered:
    dy = 0.045 * bump(m.x, sign * m.half * 1.1, 0.10) * bump(m.y, 0.02, 0.12)
    return both(m, -0.01 * sign * bump(m.x, sign * m.half, 0.12) * bump(m.y, 0.0, 0.1), dy)


def stretch(m: MouthSpace, sign: float) -> Layered:
    dx = 0.060 * sign * bump(m.x, sign * m.half, 0.14) * bump(m.y, 0.02, 0.13)
    dy = 0.012 * bump(m.x, sign * m.half, 0.12) * bump(m.y, 0.0, 0.10)
    return both(m, dx, dy)


def mouth_shift(m: MouthSpace, sign: float) -> Layered:
    return both(m, 0.055 * sign * bump(m.x, 0.0, 0.22) * bump(m.y, 0.0, 0.14))


def jaw_shift(m: MouthSpace, sign: float) -> Layered:
    upper, lower = zeros(m), zeros(m)
    lower[0] = 0.07 * sign * lower_share(m, 0.5 * m.beside)
    upper[0] = 0.035 * sign * m.beside * upper_fall(m)
    return Layered(upper, lower)


def press(m: MouthSpace, sign: float) -> Layered:
    side = smoothstep(-0.6, 0.6, sign * m.u) * m.open
    rolled = roll(m, 0.30, 0.30, side)
    dx = -0.012 * sign * bump(m.x, sign * m.half, 0.12) * bump(m.y, 0.0, 0.1)
    return summed(rolled, both(m, dx))


def cheek_puff(m: MouthSpace) -> Layered:
    dx = np.zeros_like(m.x)
    shade = np.zeros_like(m.x)
    for sign in (-1.0, 1.0):
        blob = bump(m.x, sign * 0.26, 0.13) * bump(m.y, 0.0, 0.15)
        dx += sign * 0.045 * blob
        shade += 0.06 * blob
    field = summed(both(m, dx), gather(m, 0.06))
    field.upper[3] += shade
    field.lower[3] += shade
    return field


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
    "mouthRollLower": lambda m: roll(m, 0.0, 0.6, m.open),
    "mouthRollUpper": lambda m: roll(m, 0.6, 0.0, m.open),
    "mouthPressLeft": lambda m: press(m, 1.0),
    "mouthPressRight": lambda m: press(m, -1.0),
    "mouthLowerDownLeft": lambda m: part(m, 0.0, 0.045, 0.5, 0.62),
    "mouthLowerDownRight": lambda m: part(m, 0.0, 0.045, -0.5, 0.62),
    "mouthUpperUpLeft": lambda m: part(m, 0.040, 0.0, 0.5, 0.62),
    "mouthUpperUpRight": lambda m: part(m, 0.040, 0.0, -0.5, 0.62),
    "cheekPuff": cheek_puff,
    "lipsStick": stick,
}
