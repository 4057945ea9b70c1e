"""The square picture that an avatar lives on: head and shoulders cut out of the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.photo.geometry import Mask

if TYPE_CHECKING:  # who only asks for sizes needs no decoder and no detector
    from pipelines.photo.decode import Image8
    from pipelines.photo.detect import FaceMesh, Points

CANVAS = 512  # pixels, side of the stored canvas, at least,
MAX_CANVAS = 768  # and at most: where the photo has them, 720 lines are sharp
_CANVAS_STEP = 64
FACE_SHARE = 0.46  # forehead to chin, of the canvas height, where the photo allows
MAX_FACE_SHARE = 0.8  # beyond this the photo is extended at its edges
FACE_CENTRE_Y = 0.47  # where the face's middle goes, of the canvas height


@dataclass(frozen=True)
class Crop:
    """A square of the photo, in photo pixels; it may reach beyond the photo's edges."""

    left: float
    top: float
    side: float


def choose_crop(face: FaceMesh, width: int, height: int) -> Crop:
    """Frame head and shoulders, staying inside a photo of `width` x `height` where possible."""
    ideal, smallest = face.height / FACE_SHARE, face.height / MAX_FACE_SHARE
    side = max(smallest, min(ideal, float(min(width, height))))
    middle = (face.points[10, :2] + face.points[152, :2]) / 2
    left = float(middle[0]) - side / 2
    top = float(middle[1]) - side * FACE_CENTRE_Y
    return Crop(_kept_inside(left, side, width), _kept_inside(top, side, height), side)


def _kept_inside(start: float, side: float, length: int) -> float:
    if side > length:  # too close a face: spread what is missing over both sides
        return (length - side) / 2
    return min(max(start, 0.0), length - side)


def canvas_side(crop: Crop) -> int:
    """Pixels of a canvas's side that hold what the photo has to show in `crop`."""
    whole = _CANVAS_STEP * round(crop.side / _CANVAS_STEP)
    return min(max(CANVAS, whole), MAX_CANVAS)


def cut(photo: Image8, crop: Crop, size: int = CANVAS) -> Image8:
    """Resample `crop` of `photo` to uint8 [size, size, 3]; edges are extended if need be."""
    from PIL import Image

    height, width = photo.shape[:2]
    before = max(0, int(np.ceil(-min(crop.left, crop.top))))
    after = max(0, int(np.ceil(max(crop.left + crop.side - width, crop.top + crop.side - height))))
    pad = max(before, after)
    if pad:
        photo = np.pad(photo, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    box = (crop.left + pad, crop.top + pad)
    image = Image.fromarray(photo).resize(
        (size, size),
        Image.Resampling.LANCZOS,
        box=(box[0], box[1], box[0] + crop.side, box[1] + crop.side),
    )
    return np.asarray(image)


def inside(crop: Crop, width: int, height: int, size: int = CANVAS) -> Mask:
    """Which pixels of the canvas show the photo of `width` x `height`: bool [size, size]."""
    step = crop.side / size
    middles = (np.arange(size) + 0.5) * step
    across = (crop.left + middles > step) & (crop.left + middles < width - step)
    down = (crop.top + middles > step) & (crop.top + middles < height - step)
    across |= (crop.left >= 0.0) & (crop.left + crop.side <= width)
    down |= (crop.top >= 0.0) & (crop.top + crop.side <= height)
    return np.asarray(down[:, None] & across[None, :])


def to_canvas(points: Points, crop: Crop) -> Points:
    """Map photo pixels to canvas coordinates: x, y in [-1, 1] edge to edge, z on that scale."""
    offset = np.array([crop.left, crop.top, 0.0], dtype=np.float32)
    centre = np.array([1.0, 1.0, 0.0], dtype=np.float32)
    return ((points - offset) * (2.0 / crop.side) - centre).astype(np.float32)
