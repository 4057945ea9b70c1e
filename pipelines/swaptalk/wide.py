"""16:9 of a clip of any shape: as much of it as fits, the face in the middle, never cut too close.

    wider than 16:9, or as wide   its whole height
    narrower                      its whole width, or else as high as head and shoulders; what is
                                  then missing beside goes on as it does beside a photo

What goes on beside stands still; the clip fades into it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.photo.crop import Crop
from pipelines.photo.decode import Image8
from pipelines.photo.framing import FRAMES, WIDE, even, wide_left
from pipelines.photo.surroundings import jpeg, widened
from pipelines.pipeline import Size

_WIDE, _TALL = FRAMES[WIDE].sizes[-1]


def placed(size: Size, canvas: NDArray[np.float64]) -> NDArray[np.float64]:
    """`surroundings` of frames of `size`, see `pipelines.photo.framing`: float64 [2, 5].

    canvas: left, top and side of head and shoulders in the frame.
    """
    square, left = _window(size, canvas)
    scale = _TALL / square.side
    wide = ((canvas[0] - left) * scale, (canvas[1] - square.top) * scale, canvas[2] * scale)
    return np.array([(*size, *canvas), (_WIDE, _TALL, *wide)], np.float64)


def beside(picture: Image8, canvas: NDArray[np.float64]) -> NDArray[np.uint8] | None:
    """What goes on beside frames like `picture` [H, W, 3], as a JPEG file, uint8 [bytes]; None
    where they fill 16:9."""
    height, width = picture.shape[:2]
    square, left = _window((width, height), canvas)
    if left >= -1.0 and left + square.side * _WIDE / _TALL <= width + 1.0:
        return None
    top, first, side = (int(v) for v in (square.top, square.left, square.side))
    inner = picture[top : top + side, first : first + side]
    return jpeg(widened(picture, square, np.ascontiguousarray(inner), _middle(canvas))[0])


def _window(size: Size, canvas: NDArray[np.float64]) -> tuple[Crop, float]:
    """What 16:9 shows: a square as high as it, inside the frame, and where it begins on the left,
    perhaps beside the frame."""
    width, height = size
    _, top, side = (float(v) for v in canvas)
    tall = float(even(max(side, min(height, width * _TALL / _WIDE))))
    tall = min(tall, width, height)
    first = min(max(_middle(canvas) - tall / 2, 0.0), width - tall)
    above = min(max(top + (side - tall) / 2, 0.0), height - tall)
    square = Crop(float(int(first)), float(int(above)), tall)
    return square, wide_left(_middle(canvas), square, width)


def _middle(canvas: NDArray[np.float64]) -> float:
    return float(canvas[0] + canvas[2] / 2)
