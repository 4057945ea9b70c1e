"""Follows one face through pictures with MediaPipe FaceMesh, an optional extra."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np

from pipelines.photo.decode import Image8
from pipelines.photo.detect import Points
from pipelines.photo.detector import mediapipe_package


class FaceFollower:
    """Finds the face anew only where it was lost; pictures must come in order."""

    def __init__(self) -> None:
        self._mesh = mediapipe_package().solutions.face_mesh.FaceMesh(
            static_image_mode=False, max_num_faces=1, refine_landmarks=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the detector."""
        self._mesh.close()

    def read(self, picture: Image8) -> Points | None:
        """The mesh in the next picture, RGB uint8 [H, W, 3]: float32 [478, 3] in its pixels, all
        axes on one scale; None where no face is seen."""
        found = self._mesh.process(picture).multi_face_landmarks
        if not found:
            return None
        height, width = picture.shape[:2]
        points = np.array([(p.x, p.y, p.z) for p in found[0].landmark], np.float32)
        return points * np.array([width, height, width], np.float32)
