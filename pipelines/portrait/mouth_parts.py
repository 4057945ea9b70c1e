"""What the shapes of the mouth are put together from: falls, folds, and moves of single lips."""

from __future__ import annotations

import numpy as np

from pipelines.photo.geometry import Array, bump, single, smoothstep
from pipelines.portrait.layered import Layered
from pipelines.portrait.mouth_space import MouthSpace


def zeros(m: MouthSpace) -> Array:
    return np.zeros((4, m.x.size), dtype=np.float32)


def both(m: MouthSpace, dx: Array | float = 0.0, dy: Array | float = 0.0) -> Layered:
    field = zeros(m)
    field[0], field[1] = dx, dy
    return Layered(field, field.copy())


def upper_fall(m: MouthSpace) -> Array:
    """1 at the line, 0 at the nose base; reaches higher in the cheeks."""
    reach = m.nose * (1.05 + 0.6 * smoothstep(0.7, 1.6, np.abs(m.u)))
    return 1.0 - smoothstep(0.0, reach, m.above)


def lower_share(m: MouthSpace, line: Array) -> Array:
    """From `line` at the lower rim to the jaw's own travel at the chin."""
    t = smoothstep(0.35 * m.lip_lower, m.lip_lower + 0.6 * (m.chin - m.lip_lower), m.below)
    return single(line * (1.0 - t) + _jaw_weight(m) * t)


def _jaw_weight(m: MouthSpace) -> Array:
    """Share of the jaw's travel below the lips: rigid at the chin, none at the hinge and neck."""
    across = np.exp(-((np.abs(m.x) / 0.315) ** 3.4))
    neck = 1.0 - smoothstep(m.chin - 0.01, m.chin + 0.28, m.y)
    return single(0.86 * across * neck)


def fold(m: MouthSpace, crease: float, cheek: float) -> Array:
    """Shading of the nasolabial folds: `crease` along them, `cheek` beside them."""
    side = np.abs(m.x)
    down = (m.y + 0.75 * m.nose) / (0.05 + 0.75 * m.nose)  # 0 at the nose's wings, 1 below corners
    line = 0.105 + (m.half + 0.035 - 0.105) * np.clip(down, 0.0, 1.2)
    along = smoothstep(-0.15, 0.30, down) * (1.0 - smoothstep(0.9, 1.5, down))
    near = crease * np.exp(-(((side - line) / 0.020) ** 2))
    return single(along * (near + cheek * np.exp(-(((side - line - 0.055) / 0.035) ** 2))))


def gather(m: MouthSpace, pull: float) -> Layered:
    """Draw the corners toward the midline."""
    dx = -pull * m.x * np.exp(-((np.abs(m.x) / 0.27) ** 2.5)) * bump(m.y, 0.0, 0.17)
    return both(m, dx)


def thicken(m: MouthSpace, amount: float) -> Layered:
    """Swell the red of the lips away from the line."""
    upper, lower = zeros(m), zeros(m)
    top = smoothstep(0.0, m.lip_upper, m.above) * (1 - smoothstep(m.lip_upper, m.nose, m.above))
    reach = m.lip_lower + 0.12
    low = smoothstep(0.0, m.lip_lower, m.below) * (1 - smoothstep(m.lip_lower, reach, m.below))
    lobes = 0.75 * bump(m.u, 0.0, 0.8) + 0.6 * bump(np.abs(m.u), 0.6, 0.36)
    upper[1], lower[1] = -amount * top * lobes, amount * low * lobes
    return Layered(upper, lower)


def part(m: MouthSpace, up: float, down: float, centre: float = 0.0, width: float = 9.0) -> Layered:
    """Part the lips by `up` and `down` around `centre` (in half mouth widths)."""
    upper, lower = zeros(m), zeros(m)
    where = m.open * bump(m.u, centre, width)
    upper[1] = -up * where * upper_fall(m)
    reach = 1.0 - smoothstep(m.lip_lower, m.lip_lower + 0.75 * (m.chin - m.lip_lower), m.below)
    lower[1] = down * where * reach
    return Layered(upper, lower)


def roll(m: MouthSpace, upper_share: float, lower_share: float, where: Array) -> Layered:
    """Roll the lips in: their edge recedes into the red, and the rest follows to close up."""
    upper, lower = zeros(m), zeros(m)
    up, low = upper_share * m.lip_upper * where, lower_share * m.lip_lower * where
    upper[2], lower[2] = -up, -low
    # A little further than they recede: nothing shows between lips that are pressed together.
    upper[1] = 1.1 * up * (1.0 - smoothstep(0.5 * m.lip_upper, m.nose, m.above))
    lower[1] = -1.1 * low * (1.0 - smoothstep(0.5 * m.lip_lower, 0.8 * m.chin, m.below))
    return Layered(upper, lower)


def forward(m: MouthSpace, amount: float) -> Layered:
    """Shade lips that come forward: light on their middle, shadow beside and below them."""
    field = both(m)
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
