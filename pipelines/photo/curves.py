"""What is read from a face mesh: lips, lids and head angles. Knows no detector.

Points are float32 or float64 [478, 3] as FaceMesh has them: x right, y down, z away, on one scale.
Angles have the directions of `pipelines.motion.space` and hold the landmarks' noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating[Any]]
Curve = NDArray[np.float32]

_LIPS = (13, 14)  # inner, upper and lower
_CORNERS = (61, 291)  # of the mouth
_FACE = (10, 152)  # forehead top and chin
_EYES = (33, 263)  # outer corners, of the picture's left and right eye
_LIDS = ((159, 145, 33, 133), (386, 374, 362, 263))  # upper, lower, corners of either eye


@dataclass(frozen=True)
class FaceReading:
    """One face.

    gap: inner lips apart, over the face height.
    width: of the mouth, over the distance of the outer eye corners.
    yaw_deg, pitch_deg, roll_deg: of the head.
    lids: openness over eye width, mean of both eyes.
    height: forehead to chin, on the points' scale.
    """

    gap: float
    width: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    lids: float
    height: float


@dataclass(frozen=True)
class Curves:
    """Readings over time at 25 fps, each float32 [frames], NaN where there was no face; names and
    units are those of `FaceReading`."""

    gap: Curve
    width: Curve
    yaw_deg: Curve
    pitch_deg: Curve
    roll_deg: Curve
    lids: Curve
    height: Curve

    @classmethod
    def of(cls, readings: Iterable[FaceReading | None]) -> Curves:
        """From the readings of frames in order, None for a frame without a face."""
        names = [field.name for field in fields(cls)]
        unread = (float("nan"),) * len(names)
        rows = [unread if r is None else tuple(getattr(r, n) for n in names) for r in readings]
        columns = np.array(rows, np.float32).reshape(-1, len(names)).T
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.gap)


def read_face(points: Points) -> FaceReading:
    """All figures of one mesh."""
    yaw, pitch, roll = head_angles(points)
    return FaceReading(
        gap=lip_gap(points),
        width=distance(points, *_CORNERS) / distance(points, *_EYES),
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        lids=lid_opening(points),
        height=face_height(points),
    )


def lip_gap(points: Points) -> float:
    """Distance of the inner lips over the face height."""
    return distance(points, *_LIPS) / face_height(points)


def mouth_width(points: Points) -> float:
    """Distance of the mouth's corners, on the points' scale."""
    return distance(points, *_CORNERS)


def lid_opening(points: Points) -> float:
    """Lids apart over the eye's width, mean of both eyes."""
    return sum(distance(points, a, b) / distance(points, c, d) for a, b, c, d in _LIDS) / len(_LIDS)


def face_height(points: Points) -> float:
    """Forehead to chin, on the points' scale."""
    return distance(points, *_FACE)


def head_angles(points: Points) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees."""
    across = points[_EYES[1]] - points[_EYES[0]]
    down = points[_FACE[1]] - points[_FACE[0]]
    yaw = np.arctan2(across[2], across[0])
    pitch = np.arctan2(down[2], down[1])
    roll = np.arctan2(across[1], across[0])
    yaw_deg, pitch_deg, roll_deg = np.degrees((yaw, -pitch, roll))
    return float(yaw_deg), float(pitch_deg), float(roll_deg)


def distance(points: Points, a: int, b: int) -> float:
    """Between two landmarks, in space."""
    return float(np.linalg.norm(points[a] - points[b]))
