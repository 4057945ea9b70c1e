"""Reading lips from pixels with an instrument that is not ours: MediaPipe FaceMesh."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.photo.curves import read_face
from pipelines.photo.follow import FaceFollower


class LipReader:
    """Follows one face through a video; frames must come in order."""

    def __init__(self) -> None:
        self._follower = FaceFollower()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._follower.close()

    def read(self, i420: NDArray[np.uint8]) -> tuple[float, float]:
        """Gap over face height and mouth width over eye distance of one I420 frame; NaN if lost."""
        points = self._follower.read(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420))
        if points is None:
            return float("nan"), float("nan")
        read = read_face(points)
        return read.gap, read.width
