"""How eye and brow shapes move the skin around the eyes: the upper and the lower lid as layers.

Channels are those of the mouth's fields: dx, dy, advancing edge, shading.
"""

from __future__ import annotations

import numpy as np

from pipelines.photo.geometry import BROW, SIDES, Array, Face, Rim, Side, bump, single, smoothstep
from pipelines.portrait.layered import Layered
from pipelines.portrait.rules import SUNK

_LAP = 0.05  # of the opening: how far it rises above that line, to lie under the upper lid's edge
_FLAT = 0.20  # of a lower rim's depth: closed lids meet so much higher, in a flatter line

_TALL = 0.55  # of half the width: an eye that opens less has lashes and a crease of that size


def lid_height(rim: Rim) -> float:
    """Of an eye, for its lashes and crease: its opening, unless that is narrow; face units."""
    return max(rim.gap, _TALL * rim.half_width)


def patch_room(rim: Rim) -> float:
    """How far above and below the opening an eye's patch of the frame goes, face units."""
    return 0.8 * lid_height(rim) + 0.012


def meeting_line(rim: Rim, x: Array) -> Array:
    """y of the line in which closed lids meet, over `x`; face units."""
    chord = np.interp(x, [rim.left, rim.right], [rim.lower[0], rim.lower[-1]])
    lower = rim.lower_at(x)
    deep = np.maximum(lower - chord, 0.0)
    low = np.maximum(lower - rim.upper_at(x), 0.0)
    return single(lower - np.minimum(_FLAT * deep, 0.35 * low))


def lid_shapes(face: Face, side: Side, x: Array, y: Array) -> dict[str, Layered]:
    """Fields of the shapes of one eye at points (x, y) in face units."""
    rim = face.eyes[side]
    brow = float(face.points[list(BROW[side]), 1].mean())
    upper_fall, lower_fall, inside = _falls(rim, brow, x, y)
    gap = np.maximum(rim.lower_at(x) - rim.upper_at(x), 0.0) * inside
    size = rim.gap

    def layered(up: Array, low: Array) -> Layered:
        upper = np.zeros((4, x.size), dtype=np.float32)
        lower = np.zeros((4, x.size), dtype=np.float32)
        upper[1], lower[1] = up * upper_fall, low * lower_fall
        return Layered(upper, lower)

    risen = (rim.lower_at(x) - meeting_line(rim, x) + _LAP * gap) * inside
    blink = layered(gap, -risen / SUNK)  # weighed by `eye_composite.sunk`; the rest: `closed_lid`
    arch = np.sqrt(np.clip(gap / max(size, 1e-4), 0.0, 1.0))
    return {
        f"eyeBlink{side}": blink,
        f"eyeSquint{side}": layered(0.16 * gap, -0.30 * gap),
        f"eyeWide{side}": layered(-0.22 * size * arch, 0.04 * size * arch),
    }


def _falls(rim: Rim, brow: float, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Weights 1 at the rim: upward to the brow, downward to the cheek, and across the corners."""
    top = float(rim.upper.min())
    reach = min(0.85 * (top - brow), 0.85 * rim.gap)  # the lid's skin, not a brow or spectacles
    room = np.maximum(reach + (rim.upper_at(x) - top), 0.03)
    above = np.maximum(rim.upper_at(x) - y, 0.0)
    below = np.maximum(y - rim.lower_at(x), 0.0)
    u = (x - rim.middle) / rim.half_width
    inside = 1.0 - smoothstep(0.9, 1.15, np.abs(u))
    return 1.0 - smoothstep(0.0, room, above), 1.0 - smoothstep(0.0, 0.07, below), inside


def brow_shapes(face: Face, x: Array, y: Array) -> dict[str, Array]:
    """Fields of brow and cheek shapes, the same for both lid layers, each [4, P]."""
    shapes: dict[str, Array] = {"browInnerUp": np.zeros((4, x.size), dtype=np.float32)}
    for side in SIDES:
        sign = -1.0 if side == "Right" else 1.0
        chain = face.points[list(BROW[side]), :2]
        outer, inner, mid = chain[0], chain[-1], chain[2]
        level = 1.0 - 0.85 * smoothstep(float(mid[1]), float(face.eyes[side].upper.min()), y)

        def lift(at: Array, wide: float, tall: float, level: Array = level) -> Array:
            return bump(x, float(at[0]), wide) * bump(y, float(at[1]), tall) * level

        down = np.zeros((4, x.size), dtype=np.float32)
        down[1] = 0.035 * lift(inner, 0.10, 0.09) + 0.022 * lift(mid, 0.12, 0.09)
        down[0] = -0.014 * sign * lift(inner, 0.09, 0.08)
        frown = bump(x, float(inner[0]) * 0.45, 0.018) * bump(y, float(inner[1]), 0.05)
        down[3] = -0.12 * frown
        outer_up = np.zeros((4, x.size), dtype=np.float32)
        outer_up[1] = -0.045 * lift((outer + mid) / 2, 0.11, 0.11)
        squint = np.zeros((4, x.size), dtype=np.float32)
        eye = face.eyes[side]
        squint[1] = (
            -0.022
            * bump(x, eye.middle + sign * 0.03, 0.12)
            * bump(y, float(eye.lower.max()) + 0.09, 0.075)
        )
        shapes[f"browDown{side}"] = down
        shapes[f"browOuterUp{side}"] = outer_up
        shapes[f"cheekSquint{side}"] = squint
        shapes["browInnerUp"][1] += -0.042 * lift(inner, 0.11, 0.11)
    return shapes
