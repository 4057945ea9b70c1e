"""All blendshapes as fields over points of the photo, and the lattices that carry them."""

from __future__ import annotations

import numpy as np

from pipelines.motion.space import BLENDSHAPES
from pipelines.photo.geometry import SIDES, Array, Face, Mask, Side, single
from pipelines.portrait.lids import brow_shapes, lid_shapes
from pipelines.portrait.lips_and_lids import Box, LayerFields, LipsOrLids, build
from pipelines.portrait.mouth import SHAPES, mouth_space, rest_closure

_MOUTH_STEP = 3.0  # pixels at 512 between lattice points
_EYE_STEP = 2.5


def basis(face: Face, x: Array, y: Array, mouth: str, lids: str) -> Array:
    """Fields of every blendshape, then of the resting face: [K + 1, 4, P], face units.

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
    rest = np.where(above, closed.upper, closed.lower)
    return single(np.stack([rows.get(n, zero) for n in BLENDSHAPES] + [rest]))


def _choose(layer: str, above: Mask) -> Mask:
    if layer == "auto":
        return above
    return np.full(above.shape, layer == "upper")


def lips_of(face: Face, size: int) -> LipsOrLids:
    """The one opening of the lips."""
    rim = face.mouth
    half = 1.22 * rim.half_width + 0.02
    box = (rim.middle - half, -0.13, rim.middle + half, 0.33)

    def layer(name: str, x: Array, y: Array) -> Array:
        field = basis(face, x, y, name, "auto")
        field[-1, 2] = rim.upper_at(x) - y if name == "upper" else y - rim.lower_at(x)
        return field

    return build(face, [box], [layer], _MOUTH_STEP, size, 5, 3 if size > 256 else 2)


def lids_of(face: Face, size: int) -> LipsOrLids:
    """The two openings of the lids: right, then left."""
    parts = [_eye(face, side) for side in SIDES]
    return build(face, [p[0] for p in parts], [p[1] for p in parts], _EYE_STEP, size, 3, 2)


def _eye(face: Face, side: Side) -> tuple[Box, LayerFields]:
    rim = face.eyes[side]
    half = 1.3 * rim.half_width
    top, bottom = float(rim.upper.min()), float(rim.lower.max())
    room = 0.8 * (bottom - top) + 0.012
    box = (rim.middle - half, top - room, rim.middle + half, bottom + room)

    def layer(name: str, x: Array, y: Array) -> Array:
        field = basis(face, x, y, "auto", name)
        field[:, 2] = 0.0  # shapes that roll the lips in do so to the mouth only
        field[-1, 2] = rim.upper_at(x) - y if name == "upper" else y - rim.lower_at(x)
        return field

    return box, layer
