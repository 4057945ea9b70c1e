"""What people wear on their faces, drawn onto pictures by their face mesh."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh

Colour = tuple[int, int, int]

_TOP = (234, 117, 118, 101, 126, 196, 197, 419, 355, 330, 347, 346, 454)  # over the nose's bridge
_JAW = (454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
_OTHER_JAW = (148, 176, 149, 150, 136, 172, 58, 132, 93, 234)
_EYES = ((33, 133), (263, 362))  # outer and inner corner
_LENS = (0.275, 0.21)  # half width and height, of the distance of the outer corners
_DOWN = 0.03  # of that distance: lenses reach further below an eye


def with_mask(photo: Image8, face: FaceMesh, colour: Colour) -> Image8:
    """`photo` (uint8 [H, W, 3]) with a mask over nose, mouth and chin."""
    points = face.points[:, :2]
    jaw = points[list(_JAW + _OTHER_JAW)]
    jaw = points[13] + 1.03 * (jaw - points[13])
    cover = _soft(photo, np.concatenate([points[list(_TOP)], jaw]), 0.004 * face.height)
    height, width = photo.shape[:2]
    aside = (np.arange(width) - points[13, 0]) / face.height
    rows = np.arange(height)[:, None] / face.height
    level = 1.0 - aside**2 - 0.04 * (np.sin(60.0 * rows) > 0.8)  # round, with pleats
    cloth = np.clip(np.array(colour) * level[..., None], 0, 255)
    return _mixed(photo, cloth, cover)


def with_glasses(photo: Image8, face: FaceMesh, lens: Colour, dense: float) -> Image8:
    """`photo` (uint8 [H, W, 3]) with spectacles, whose lenses are of a colour and let 1 - `dense`
    of the light through."""
    points = face.points[:, :2]
    across = points[263] - points[33]
    apart = float(np.linalg.norm(across))
    x_axis = across / apart
    y_axis = np.array([-x_axis[1], x_axis[0]])
    worn = photo
    angle = np.linspace(0, 2 * np.pi, 65)[:-1]
    round_x, round_y = (np.sign(f) * np.abs(f) ** 0.7 for f in (np.cos(angle), np.sin(angle)))
    for outer, inner in _EYES:
        centre = 0.55 * points[outer] + 0.45 * points[inner] + _DOWN * apart * y_axis
        across_lens, down_lens = (
            _LENS[0] * apart * round_x[:, None] * x_axis,
            _LENS[1] * apart * round_y[:, None] * y_axis,
        )
        edge = centre + across_lens + down_lens
        inside = centre + 0.92 * (edge - centre)
        frame = _soft(photo, edge, 1.0) - _soft(photo, inside, 1.0)
        worn = _mixed(worn, np.array(lens), dense * _soft(photo, inside, 1.0))
        worn = _mixed(worn, np.array((25, 22, 22)), np.clip(frame, 0.0, 1.0))
    return worn


def _soft(photo: Image8, outline: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """What a closed `outline` [n, 2] covers: [H, W, 1] in 0..1."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    corners = np.round(outline * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], (255,), lineType=cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(mask, (0, 0), sigma).astype(np.float32) / 255
    return np.asarray(soft)[..., None]


def _mixed(photo: Image8, over: NDArray[Any], share: NDArray[np.float32]) -> Image8:
    mixed = photo * (1.0 - share) + over * share
    return np.asarray(mixed.round().clip(0, 255).astype(np.uint8))
