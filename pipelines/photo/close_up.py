"""A face cut out of its photo, at one scale for all photos, so that pixels can be compared."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh

Pixels = npt.NDArray[np.float32]

FACE_PX = 192  # forehead to chin


def close_up(photo: Image8, face: FaceMesh, mode: Literal["L", "RGB"]) -> tuple[Pixels, Pixels]:
    """The face of `photo` (uint8 [H, W, 3]) in grey or in colour, float32 [h, w] or [h, w, 3] in
    0 to 255, with the face `FACE_PX` high, and the mesh upon it, float32 [478, 2]."""
    points = face.points[:, :2]
    margin = 0.1 * face.height
    left, top = (max(0, int(v)) for v in points.min(axis=0) - margin)
    right, bottom = (int(v) for v in points.max(axis=0) + margin)
    image = Image.fromarray(photo[top : bottom + 1, left : right + 1]).convert(mode)
    scale = FACE_PX / face.height
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
    return pixels, ((points - (left, top)) * scale).astype(np.float32)
