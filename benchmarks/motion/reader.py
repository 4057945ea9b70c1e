"""Reading how a face moves from pixels: head angles, lips and lids by MediaPipe FaceMesh.

Angles come from landmark geometry: eye corners for yaw and roll, forehead to chin for pitch, in the
directions of `pipelines.motion.space`. They hold the landmarks' noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from mediapipe.python.solutions.face_mesh import FaceMesh
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EYES = (33, 263)  # outer corners, of the picture's left and right eye
_FOREHEAD, _CHIN = 10, 152
_LIPS, _MOUTH = (13, 14), (61, 291)
# Upper lid, lower lid, corners of either eye.
_LIDS = ((159, 145, 33, 133), (386, 374, 362, 263))


@dataclass(frozen=True)
class Reading:
    """One video; rows of frames without a face are NaN."""

    angles_deg: Array  # [frames, 3] yaw, pitch, roll
    gap: Array  # [frames] inner lips over face height
    width: Array  # [frames] mouth over face height
    lids: Array  # [frames] openness over eye width, mean of both eyes


class MotionReader:
    """Follows one face through a video; frames must come in order."""

    def __init__(self) -> None:
        self._mesh = FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)
        self._rows: list[tuple[float, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._mesh.close()

    def add(self, i420: NDArray[np.uint8]) -> None:
        """Read the next frame, I420 planes uint8 [size * 3 // 2, size]."""
        rgb = cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)
        faces = self._mesh.process(rgb).multi_face_landmarks
        if not faces:
            self._rows.append((float("nan"),) * 6)
            return
        points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark])
        self._rows.append((*head_angles(points), *_features(points)))

    def reading(self) -> Reading:
        """All frames so far."""
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 6)
        return Reading(rows[:, :3], rows[:, 3], rows[:, 4], rows[:, 5])


def head_angles(points: Array) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of landmarks [N, 3] (x right, y down, z away)."""
    across = points[_EYES[1]] - points[_EYES[0]]
    down = points[_CHIN] - points[_FOREHEAD]
    yaw = np.arctan2(across[2], across[0])
    pitch = np.arctan2(down[2], down[1])
    roll = np.arctan2(across[1], across[0])
    yaw_deg, pitch_deg, roll_deg = np.degrees((yaw, -pitch, roll))
    return float(yaw_deg), float(pitch_deg), float(roll_deg)


def _features(points: Array) -> tuple[float, float, float]:
    height = _distance(points, _FOREHEAD, _CHIN)
    lids = [_distance(points, up, low) / _distance(points, a, b) for up, low, a, b in _LIDS]
    gap, width = _distance(points, *_LIPS), _distance(points, *_MOUTH)
    return gap / height, width / height, sum(lids) / len(lids)


def _distance(points: Array, a: int, b: int) -> float:
    return float(np.linalg.norm(points[a] - points[b]))
