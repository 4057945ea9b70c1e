"""Goes on where a picture is not known: behind a person.

Pictures are float32 [C, H, W] in [0, 1], masks [1, H, W].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.filling import blur, push_pull
from pipelines.photo.geometry import Array, Mask, single

_GRAIN = 0.03  # its texture is no stronger: an object's outline must not come back as a ghost


def continued(picture: Tensor, known: Tensor) -> Tensor:
    """Fill `picture` [3, H, W] where `known` [1, H, W] is 0, and leave it alone where it is 1.

    What fills it is the smooth mean of all around, with the fine texture of its mirror image: no
    more, or what is near an outline would come back as a second outline.
    """
    side = max(picture.shape[-2:])
    smooth = push_pull(picture, known)
    smooth = torch.lerp(blur(smooth, side / 80), smooth, known)
    image, valid = _mirrored(picture, known[0].numpy() > 0.5)
    image = torch.lerp(smooth, image, valid)
    texture = (image - blur(image, side / 340)).clamp(-_GRAIN, _GRAIN) * valid
    return torch.lerp((smooth + texture).clamp(0.0, 1.0), picture, known)


def _mirrored(picture: Tensor, known: Mask) -> tuple[Tensor, Tensor]:
    """Reflect what is known at the nearest edge in the row or the column.

    Returns the picture, and where it could be had [1, H, W].
    """
    height, width = known.shape
    rows, columns = np.mgrid[:height, :width]
    best = np.full(known.shape, np.inf, np.float32)
    row, column = rows.copy(), columns.copy()
    for axis in (0, 1):
        at = (rows, columns)[axis]
        for edge in _edges(known, axis):
            away = single(np.abs(edge - at))
            there = np.clip(2 * edge - at, 0, known.shape[axis] - 1)
            r, c = (there, columns) if axis == 0 else (rows, there)
            better = known[r, c] & (2 * edge - at == there) & (away < best)
            best = np.where(better, away, best)
            row, column = np.where(better, r, row), np.where(better, c, column)
    valid = torch.from_numpy(single(np.isfinite(best)))[None]
    return picture[:, torch.from_numpy(row), torch.from_numpy(column)], valid


def _edges(known: Mask, axis: int) -> tuple[Array, Array]:
    """Index of the nearest known pixel before and after each one; far outside if there is none."""
    length = known.shape[axis]
    far = 4 * length
    at = np.arange(length).reshape((-1, 1) if axis == 0 else (1, -1))
    before = np.maximum.accumulate(np.where(known, at, -far), axis=axis)
    after = np.where(known, at, far)
    after = np.flip(np.minimum.accumulate(np.flip(after, axis), axis=axis), axis)
    return before, after
