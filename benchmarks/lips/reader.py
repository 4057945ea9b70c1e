"""Reading lips from pixels with an instrument that is not ours: MediaPipe FaceMesh."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import cv2
import numpy as np
from mediapipe.python.solutions.face_mesh import FaceMesh
from numpy.typing import NDArray

# FaceMesh landmarks: inner lips, forehead top and chin, mouth corners, outer eye corners.
_UPPER_LIP, _LOWER_LIP = 13, 14
_FOREHEAD, _CHIN = 10, 152
_CORNERS = (61, 291)
_EYES = (33, 263)


class LipReader:
    """Follows one face through a video; frames must come in order."""

    def __init__(self) -> None:
        self._mesh = FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._mesh.close()

    def read(self, i420: NDArray[np.uint8]) -> tuple[float, float]:
        """Gap over face height and mouth width over eye distance of one I420 frame; NaN if lost."""
        rgb = cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)
        faces = self._mesh.process(rgb).multi_face_landmarks
        if not faces:
            return float("nan"), float("nan")
        # Landmarks are relative to width and height, which are equal here.
        points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark])
        height = _distance(points, _FOREHEAD, _CHIN)
        gap = _distance(points, _UPPER_LIP, _LOWER_LIP) / height
        return gap, _distance(points, *_CORNERS) / _distance(points, *_EYES)


def _distance(points: NDArray[np.float64], a: int, b: int) -> float:
    return float(np.linalg.norm(points[a] - points[b]))
