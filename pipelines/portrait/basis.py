"""All blendshapes as fields over points of the photo, and the lattices that carry them."""

from __future__ import annotations

import numpy as np

from pipelines.photo.geometry import SIDES, Array, Face, Mask, Side, single, smoothstep
from pipelines.portrait.lids import brow_shapes, lid_shapes, patch_room
from pipelines.portrait.lip_line import opening
from pipelines.portrait.lips_and_lids import Box, LayerFields, LipsOrLids, build
from pipelines.portrait.mouth import SHAPES
from pipelines.portrait.mouth_space import held_together, mouth_space
from pipelines.portrait.neutral import neutral
from pipelines.portrait.rest_closure import rest_closure, seam
from pipelines.portrait.rules import EYE_ITERATIONS, FIELDS, MOUTH_ITERATIONS

_MOUTH_STEP = 3.5  # pixels at 512 between lattice points
_EYE_STEP = 3.0
_BELOW = 0.12  # of the face's height that the mouth's patch reaches below the lower lip's edge
# Of the dark line that parted lips lose, what is made up for: FaceMesh then reads the gaps it read
# while the line was still there (`pipelines.motion.reading`).
_CLOSER = 0.35


def basis(face: Face, x: Array, y: Array, mouth: str, lids: str) -> Array:
    """All of `FIELDS`: [K, 4, P], face units.

    `mouth` and `lids` choose the layer: "upper", "lower", or "auto" by where the point lies.
    """
    space = mouth_space(face, x, y)
    rim = face.mouth
    above = _choose(mouth, y < (rim.upper_at(x) + rim.lower_at(x)) / 2)
    rows = {}
    for name, shape in SHAPES.items():
        layered = shape(space)
        rows[name] = np.where(above, layered.upper, layered.lower)
    rows.update(brow_shapes(face, x, y))
    for side in SIDES:
        eye = face.eyes[side]
        over = _choose(lids, y < (eye.upper_at(x) + eye.lower_at(x)) / 2)
        for name, layered in lid_shapes(face, side, x, y).items():
            rows[name] = np.where(over, layered.upper, layered.lower)
    zero = np.zeros((4, x.size), dtype=np.float32)
    closed = rest_closure(space)
    rows["rest"] = np.where(above, closed.upper, closed.lower) + neutral(face, x, y)
    return single(np.stack([rows.get(name, zero) for name in FIELDS]))


def _choose(layer: str, above: Mask) -> Mask:
    if layer == "auto":
        return above
    return np.full(above.shape, layer == "upper")


def lips_of(face: Face, size: int, line: tuple[float, float]) -> LipsOrLids:
    """The one opening of the lips.

    `line`: how far into the upper and the lower lip the dark line between closed lips reaches, face
    units. Parted lips lose it, for it is no part of their skin, and what is left takes its place.
    """
    rim = face.mouth
    half = 1.22 * rim.half_width + 0.02
    box = (rim.middle - half, -0.13, rim.middle + half, 0.33)

    def layer(name: str, x: Array, y: Array) -> Array:
        field = basis(face, x, y, name, "auto")
        field[-1, 2] = rim.upper_at(x) - y if name == "upper" else y - rim.lower_at(x)
        middle, sides = (FIELDS.index(part) for part in ("middleParted", "sidesParted"))
        field[middle], field[sides] = _without_line(face, name, x, y, line)
        return field

    return build(face, [box], [layer], _MOUTH_STEP, size, MOUTH_ITERATIONS, _apart(size), _BELOW)


def _without_line(
    face: Face, layer: str, x: Array, y: Array, line: tuple[float, float]
) -> tuple[Array, Array]:
    """What takes the dark line off the middle and off the sides of a lip, each [4, P]."""
    rim = face.mouth
    gone = np.zeros((4, x.size), dtype=np.float32)
    if layer == "upper":
        closer = _CLOSER * (1.0 - smoothstep(0.0, -0.8 * face.nose, rim.upper_at(x) - y))
        gone[1], gone[2] = line[0] * closer, -line[0]
    else:
        closer = _CLOSER * (1.0 - smoothstep(0.0, 0.6 * face.chin, y - rim.lower_at(x)))
        gone[1], gone[2] = -line[1] * closer, -line[1]
    drawn = seam(mouth_space(face, x, y))
    gone[3] = -(drawn.upper if layer == "upper" else drawn.lower)[3]
    left, right = opening(face)
    gone *= smoothstep(0.0, 0.03, np.minimum(x - left, right - x))
    aside = held_together(face, x)
    return gone * (1.0 - aside), gone * aside


def lids_of(face: Face, size: int) -> LipsOrLids:
    """The two openings of the lids: right, then left."""
    parts = [_eye(face, side) for side in SIDES]
    boxes, layers = [p[0] for p in parts], [p[1] for p in parts]
    return build(face, boxes, layers, _EYE_STEP, size, EYE_ITERATIONS, _apart(size))


def _apart(size: int) -> int:
    """Pixels between the nodes of a patch that are followed back: 3 of a canvas of 512."""
    return max(2, round(3 * size / 512))


def _eye(face: Face, side: Side) -> tuple[Box, LayerFields]:
    rim = face.eyes[side]
    inner, outer = 1.2 * rim.half_width, 1.5 * rim.half_width  # lashes reach beyond the corner
    left, right = (outer, inner) if side == "Right" else (inner, outer)
    top, bottom = float(rim.upper.min()), float(rim.lower.max())
    room = patch_room(rim)
    box = (rim.middle - left, top - room, rim.middle + right, bottom + room)

    def layer(name: str, x: Array, y: Array) -> Array:
        field = basis(face, x, y, "auto", name)
        field[:, 2] = 0.0  # shapes that roll the lips in do so to the mouth only
        field[-1, 2] = rim.upper_at(x) - y if name == "upper" else y - rim.lower_at(x)
        return field

    return box, layer
