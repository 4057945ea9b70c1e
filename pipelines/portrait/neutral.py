"""What of the photo's expression is taken out of the resting face, so that it can speak from there.

A smile or a frown is read off the mesh, against the middle of 122 portraits, and most of what goes
beyond the ordinary is moved back; the rest is the person's own.
"""

from __future__ import annotations

import numpy as np

from pipelines.photo.geometry import BROW, SIDES, Array, Face, bump, single, smoothstep
from pipelines.portrait.lip_line import APART, opening

KEPT = 0.4  # of an expression beyond the ordinary

# Face units. Two in three portraits lie between the ordinary values.
_LIFT = (-0.004, 0.010)  # of the corners over the middle of the lips
_HALF_WIDTH = 0.131  # of the opening of the lips; smiles only, from
_BROW_INNER = (0.104, 0.158)  # inner end over the inner corner of the eye
_BROW_HIGH = 0.006  # that an inner end comes down where all of its brow is high: more is a frown
_MOST = 0.035  # that is moved back: a mesh further off is wrong, or the face is a caricature


def stretched(face: Face) -> float:
    """How much a smile has drawn the lips of parted mouths wide and pale: 0 to 1."""
    parted = smoothstep(APART, 0.05, single(face.mouth.gap))
    wide = smoothstep(_HALF_WIDTH, _HALF_WIDTH + 0.024, single(_half_width(face)))
    return float(parted * wide)


def neutral(face: Face, x: Array, y: Array) -> Array:
    """Displacement of points [P] toward a neutral face, one field for all layers: [4, P].

    Channels are those of the mouth's fields; parted lips are brought together elsewhere.
    """
    field = np.zeros((4, x.size), dtype=np.float32)
    _relax_corners(face, x, y, field)
    for side in SIDES:
        chain = face.points[list(BROW[side]), :2]
        inner = chain[-1]
        eye = face.points[{"Right": 133, "Left": 362}[side], 1]
        back = _back(float(eye - inner[1]), _BROW_INNER)
        worried = max(0.0, float(chain[2, 1] - inner[1]))  # over the brow's middle
        back = max(back, min(-worried, -_BROW_HIGH))
        lids = float(face.eyes[side].upper.min())
        fade = 1.0 - 0.9 * smoothstep(float(inner[1]), lids, y)  # the eyes stay
        field[1] -= back * bump(x, float(inner[0]), 0.08) * bump(y, float(inner[1]), 0.09) * fade
    return field


def _relax_corners(face: Face, x: Array, y: Array, field: Array) -> None:
    rim, half = face.mouth, _half_width(face)
    u = (x - rim.middle) / rim.half_width
    beyond = np.exp(-((np.maximum(np.abs(u) - 1.0, 0.0) / 0.55) ** 2))
    level = float(rim.upper[0] + rim.upper[-1]) / 2
    bow = np.minimum(u**2, 1.0) * beyond * bump(y, level, 0.14)
    field[1] -= _back(corner_lift(face), _LIFT) * bow
    smiles = float(smoothstep(0.006, 0.022, single(corner_lift(face))))
    pull = (1.0 - KEPT) * smiles * max(0.0, 1.0 - _HALF_WIDTH / half)
    wide = np.exp(-((np.abs(x - rim.middle) / (1.75 * half)) ** 3)) * bump(y, -0.02, 0.17)
    field[0] -= pull * (x - rim.middle) * wide


def _half_width(face: Face) -> float:
    left, right = opening(face)
    return (right - left) / 2


def meeting(face: Face) -> float:
    """y at which parted lips meet in their middle."""
    rim = face.mouth
    middle = len(rim.x) // 2
    return 0.7 * float(rim.upper[middle]) + 0.3 * float(rim.lower[middle])


def corner_lift(face: Face) -> float:
    """Height of the corners over the middle of the line at which parted lips would meet."""
    rim = face.mouth
    return meeting(face) - float(rim.upper[0] + rim.upper[-1]) / 2


def _back(found: float, ordinary: tuple[float, float]) -> float:
    """How far to move back up (positive) what lies beyond the ordinary heights."""
    excess = found - float(np.clip(found, *ordinary))
    return float(np.clip(-(1.0 - KEPT) * excess, -_MOST, _MOST))
