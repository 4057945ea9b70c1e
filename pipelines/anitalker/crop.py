"""The square around a face that the renderer sees: found by itself, never asked for.

The published renderer wants a head in the middle of the picture, neither small nor filling it (the
released code aligns 68 landmarks to a template); ours is trained on exactly this square.
"""

from __future__ import annotations

import numpy as np

from pipelines.portrait.canvas import CANVAS, Crop
from pipelines.portrait.detect import FaceMesh, Points

SIDE = 1.75  # of the square, in face heights (forehead to chin)
CENTRE_Y = 0.04  # of the square above the middle of the face, in face heights
GRID = 4  # canvas pixels: the square begins and ends on whole, even pixels of every frame size


def choose_square(face: FaceMesh) -> Crop:
    """Centre the head with room for hair, chin and turns; the square may leave the picture."""
    middle = (face.points[10, :2] + face.points[152, :2]) / 2
    side = SIDE * face.height
    top = float(middle[1]) - CENTRE_Y * face.height - side / 2
    return Crop(float(middle[0]) - side / 2, top, side)


def square_on_canvas(landmarks: Points) -> Crop:
    """The square in pixels of the canvas, on `GRID`; landmarks [478, 3] in canvas coordinates."""
    pixels = (landmarks + np.array([1.0, 1.0, 0.0], np.float32)) * (CANVAS / 2)
    square = choose_square(FaceMesh(pixels.astype(np.float32)))
    left, top, side = (GRID * round(v / GRID) for v in (square.left, square.top, square.side))
    return Crop(float(left), float(top), float(side))


def in_photo(square: Crop, canvas: Crop) -> Crop:
    """A square of the canvas, which is itself `canvas` of the photo, in pixels of the photo."""
    scale = canvas.side / CANVAS
    return Crop(
        canvas.left + square.left * scale, canvas.top + square.top * scale, square.side * scale
    )
