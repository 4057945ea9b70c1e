"""The square around a face that the flow-warp renderer is trained on."""

from __future__ import annotations

from pipelines.portrait.canvas import Crop
from pipelines.portrait.detect import FaceMesh

SIDE = 1.75  # of the square, in face heights (forehead to chin)
CENTRE_Y = 0.04  # of the square above the middle of the face, in face heights


def choose_square(face: FaceMesh) -> Crop:
    """Centre the head with room for hair, chin and turns; the square may leave the picture."""
    middle = (face.points[10, :2] + face.points[152, :2]) / 2
    side = SIDE * face.height
    top = float(middle[1]) - CENTRE_Y * face.height - side / 2
    return Crop(float(middle[0]) - side / 2, top, side)
