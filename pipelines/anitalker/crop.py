"""The square around a face that the renderer sees: found by itself, never asked for.

The published renderer wants a head in the middle of the picture, neither small nor filling it (the
released code aligns 68 landmarks to a template); ours is trained on exactly this square.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.photo.crop import CANVAS, Crop

if TYPE_CHECKING:  # who only pastes needs no detector
    from pipelines.photo.detect import FaceMesh, Points

SIDE = 1.75  # of the square, in face heights (forehead to chin)
CENTRE_Y = 0.04  # of the square above the middle of the face, in face heights
AROUND = 8  # a square's surroundings reach one part in so many of its side beyond it
GRID = 4  # canvas pixels: squares begin on whole, even pixels of every frame size,
_SIDES = GRID * AROUND  # and so do their surroundings


def choose_square(face: FaceMesh) -> Crop:
    """Centre the head with room for hair, chin and turns; the square may leave the picture."""
    middle = (face.points[10, :2] + face.points[152, :2]) / 2
    side = SIDE * face.height
    top = float(middle[1]) - CENTRE_Y * face.height - side / 2
    return Crop(float(middle[0]) - side / 2, top, side)


def square_on_canvas(landmarks: Points) -> Crop:
    """The square in whole pixels of the canvas; landmarks [478, 3] in canvas coordinates."""
    from pipelines.photo.detect import FaceMesh

    pixels = (landmarks + np.array([1.0, 1.0, 0.0], np.float32)) * (CANVAS / 2)
    square = choose_square(FaceMesh(pixels.astype(np.float32)))
    side = _SIDES * round(square.side / _SIDES)
    wider = (side - square.side) / 2
    left, top = (GRID * round((v - wider) / GRID) for v in (square.left, square.top))
    return Crop(float(left), float(top), float(side))


def surroundings(square: Crop) -> Crop:
    """The square and what is around it, which moves as the square's edge does."""
    reach = square.side / AROUND
    return Crop(square.left - reach, square.top - reach, square.side + 2 * reach)


def scaled(crop: Crop, factor: float) -> Crop:
    """The same part of a picture `factor` times as large."""
    return Crop(crop.left * factor, crop.top * factor, crop.side * factor)


def in_photo(square: Crop, canvas: Crop) -> Crop:
    """A square of the canvas, which is itself `canvas` of the photo, in pixels of the photo."""
    part = scaled(square, canvas.side / CANVAS)
    return Crop(canvas.left + part.left, canvas.top + part.top, part.side)
