"""Which square of a picture is the face, and where its halves meet.

The halves meet at 0.55 of the way from the eyes to the mouth, above all that speech moves, the
upper lip at its highest included; the square ends a tenth below where a chin is when the mouth is
wide open. It is turned with the eyes.
"""

from __future__ import annotations

import torch
from torch import Tensor

SEAM = 0.55  # of the distance from the eyes to the mouth, below the eyes
HALF = 1.5  # half the edge of the square, in that distance
EYES = 0.87  # distance of the eyes, in that distance, of a face seen from the front


def face_square(points: Tensor) -> Tensor:
    """Where the square of a face is.

    points: float [N, 3, 2], centres of mouth, subject's right eye, left eye, x right and y down, in
    pixels or any unit that is the same both ways. The size of a face is the mean of what its two
    distances say: turned aside it is narrower, nodding it is lower, but seldom both.

    Returns:
        [N, 2, 3]: places in the square, (u, v, 1) with u and v in [-1, 1], to places in the
        picture. What `affine_grid` takes, if the unit is half an edge of a square picture. The
        halves meet at v = 0.
    """
    mouth, right, left = points.unbind(1)
    eyes, across = (right + left) / 2.0, left - right
    apart = across.norm(dim=1, keepdim=True)
    x_axis = across / apart
    y_axis = torch.stack([-x_axis[:, 1], x_axis[:, 0]], 1)
    fall = ((mouth - eyes) * y_axis).sum(1, keepdim=True)
    aside = ((mouth - eyes) * x_axis).sum(1, keepdim=True)
    size = (fall + apart / EYES) / 2.0
    centre = eyes + SEAM * size * y_axis + 0.5 * aside * x_axis
    return torch.stack([HALF * size * x_axis, HALF * size * y_axis, centre], 2)
