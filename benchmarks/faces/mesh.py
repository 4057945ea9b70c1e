"""MediaPipe FaceMesh on drawn pixels: an instrument that knows nothing of how they were drawn."""

from __future__ import annotations

import cv2
import numpy as np
from mediapipe.python.solutions.face_mesh import FaceMesh
from numpy.typing import NDArray

from benchmarks.faces.studio import Picture

Points = NDArray[np.float64]  # [478, 3], pixels of the picture; z on the same scale, away

_SEEN = 512  # pixels; smaller pictures are enlarged to this before they are looked at


class MeshReader:
    """One detector for many pictures, each read for itself."""

    def __init__(self) -> None:
        self._mesh = FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)

    def read(self, picture: Picture) -> Points | None:
        """The face's points; None where none is seen."""
        height, width = picture.shape[:2]
        scale = max(1.0, _SEEN / min(height, width))
        size = (round(width * scale), round(height * scale))
        seen = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) if scale > 1 else picture
        found = self._mesh.process(np.ascontiguousarray(seen)).multi_face_landmarks
        if not found:
            return None
        points = np.array([(p.x, p.y, p.z) for p in found[0].landmark])
        return np.asarray(points * (width, height, width))

    def close(self) -> None:
        """Free the detector."""
        self._mesh.close()
