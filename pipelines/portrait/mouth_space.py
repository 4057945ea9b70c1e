"""The coordinates that mouth fields are written in: along the lips, and away from their rims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.photo.geometry import Array, Face, single, smoothstep
from pipelines.portrait.lip_line import corners, opening
from pipelines.portrait.neutral import stretched

_ENDS = 0.96  # of half the width: the corners themselves never part, so that no slit runs out there


@dataclass(frozen=True)
class MouthSpace:
    """Points [P] in the coordinates that mouth fields are written in."""

    x: Array
    y: Array
    u: Array  # -1 and 1 at the corners of the opening
    line: Array  # of the lips: 1 in its middle, fading to 0 in their corners
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
    u = _across(x, opening(face))
    inside = np.clip(np.abs(u), 0.0, 1.0)
    beyond = np.maximum(np.abs(u) - 1.0, 0.0) * half
    upper, lower = rim.upper_at(x), rim.lower_at(x)
    middle = len(rim.x) // 2
    return MouthSpace(
        x=x,
        y=y,
        u=u,
        line=1.0 - smoothstep(0.50, 1.0, np.abs(_across(x, corners(face)))),
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


def held_together(face: Face, x: Array) -> Array:
    """1 towards the corners, where lips stick together longest, 0 in the middle."""
    return aside(_across(x, opening(face)))


def aside(u: Array) -> Array:
    return smoothstep(0.25, 0.80, np.abs(u))


def _across(x: Array, ends: tuple[float, float]) -> Array:
    left, right = ends
    return single(np.where(x < 0, x / -left, x / right))


def _rounded(rise: Array) -> Array:
    """The root of `rise`, but with a finite slope at 0: corners are round, not blunt."""
    least = 0.03
    return single((np.sqrt(rise + least) - least**0.5) / ((1.0 + least) ** 0.5 - least**0.5))
