"""What the frames of pictures show of a clip's: head and shoulders, all of it, or 16:9 of it.

16:9 is as much as fits of a clip of any shape, the face in the middle, but no less high than head
and shoulders. Where the clip is too narrow for that it goes on beside as a photo does; what is
there stands still, and the clip fades into it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.photo.crop import FACE_CENTRE_Y, FACE_SHARE, Crop, choose_crop
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh
from pipelines.photo.framing import FRAMES, WIDE, even, wide_left
from pipelines.photo.surroundings import jpeg, widened
from pipelines.pipeline import Size

_WIDE, _TALL = FRAMES[WIDE].sizes[-1]


def placed(points: NDArray[np.floating[Any]], size: Size) -> NDArray[np.float64]:
    """`surroundings` of frames of `size`, see `pipelines.photo.framing`, float64 [2, 5]: of the
    face's usual mesh [478, 3] in them."""
    face = FaceMesh(points.astype(np.float32))
    left, top, side = canvas = _square(face, size)
    square = _window(face, size, side)
    scale = _TALL / square.side
    begin = wide_left(square.left + square.side / 2, square, size[0])
    wide = (left - begin) * scale, (top - square.top) * scale, side * scale
    return np.array([(*size, *canvas), (_WIDE, _TALL, *wide)], np.float64)


def beside(picture: Image8, surroundings: NDArray[np.float64]) -> NDArray[np.uint8] | None:
    """What goes on beside frames like `picture` [H, W, 3], as a JPEG file, uint8 [bytes]; None
    where they fill 16:9."""
    width = picture.shape[1]
    (_, _, *canvas), (_, _, left, top, side) = surroundings
    step = canvas[2] / side  # of the frame's pixels in one of 16:9
    begin, tall = canvas[0] - left * step, _TALL * step
    if begin >= -1.0 and begin + _WIDE * step <= width + 1.0:
        return None
    middle = begin + _WIDE * step / 2
    square = Crop(middle - tall / 2, canvas[1] - top * step, tall)
    return jpeg(widened(picture, square, None, middle)[0])


def _square(face: FaceMesh, size: Size) -> tuple[float, float, float]:
    """Left, top and side of head and shoulders, as of a photo, but never beyond the frame."""
    crop = choose_crop(face, *size)
    side = float(2 * int(min(crop.side, *size) / 2))
    left, top = (
        2.0 * round(min(max(start + (crop.side - side) / 2, 0.0), length - side) / 2)
        for start, length in zip((crop.left, crop.top), size, strict=True)
    )
    return left, top, side


def _window(face: FaceMesh, size: Size, side: float) -> Crop:
    """The square as high as what 16:9 shows; it may be wider than the frame."""
    width, height = size
    wanted = max(side, face.height / FACE_SHARE, width * _TALL / _WIDE)
    tall = float(min(even(wanted), height))
    middle = (face.points[10, :2] + face.points[152, :2]) / 2
    top = min(max(float(middle[1]) - tall * FACE_CENTRE_Y, 0.0), height - tall)
    return Crop(float(middle[0]) - tall / 2, float(int(top)), tall)
