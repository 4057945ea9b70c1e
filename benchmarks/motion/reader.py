"""Reading how a face moves from pixels: head angles, lips and lids by MediaPipe FaceMesh."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.photo.curves import face_height, head_angles, lid_opening, lip_gap, mouth_width
from pipelines.photo.follow import FaceFollower

Array = NDArray[np.float64]


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
        self._follower = FaceFollower()
        self._rows: list[tuple[float, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._follower.close()

    def add(self, i420: NDArray[np.uint8]) -> None:
        """Read the next frame, I420 planes uint8 [size * 3 // 2, size]."""
        points = self._follower.read(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420))
        if points is None:
            self._rows.append((float("nan"),) * 6)
            return
        width = mouth_width(points) / face_height(points)
        lips_and_lids = (lip_gap(points), width, lid_opening(points))
        self._rows.append((*head_angles(points), *lips_and_lids))

    def reading(self) -> Reading:
        """All frames so far."""
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 6)
        return Reading(rows[:, :3], rows[:, 3], rows[:, 4], rows[:, 5])
