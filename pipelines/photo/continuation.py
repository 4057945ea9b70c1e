"""Goes on where a picture is not known: behind a person, or beyond the edge of a photo.

Pictures are float32 [C, H, W] in [0, 1], masks [1, H, W].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.filling import blur, push_pull
from pipelines.photo.geometry import Array, Mask, single

_NEAR = 0.10  # of the picture's longer side: so far the mirror image is seen
_GRAIN = 0.03  # its texture is no stronger: an object's outline must not come back as a ghost


def continued(picture: Tensor, known: Tensor, mirror: bool = True) -> Tensor:
    """Fill `picture` [3, H, W] where `known` [1, H, W] is 0, and leave it alone where it is 1.

    Next to what is known its mirror image goes on, if `mirror`; further away that becomes the
    smooth mean of all around. The mirror's fine texture lies on all of it. Mirror along straight
    edges only: around an outline, what is near it comes back as a second outline.
    """
    side = max(picture.shape[-2:])
    smooth = push_pull(picture, known)
    smooth = torch.lerp(blur(smooth, side / 80), smooth, known)
    image, valid, distance = _mirrored(picture, known[0].numpy() > 0.5)
    image = torch.lerp(smooth, image, valid)
    texture = (image - blur(image, side / 340)).clamp(-_GRAIN, _GRAIN) * valid
    filled = smooth + texture
    if mirror:
        near = valid * torch.exp(-((distance / (_NEAR * side)) ** 2))
        filled = torch.lerp(filled, image, near)
    return torch.lerp(filled.clamp(0.0, 1.0), picture, known)


def _mirrored(picture: Tensor, known: Mask) -> tuple[Tensor, Tensor, Tensor]:
    """Reflect what is known at the nearest edge in the row or the column.

    Returns the picture, where it could be had [1, H, W], and the distance of the edge in pixels.
    """
    height, width = known.shape
    rows, columns = np.mgrid[:height, :width]
    best = np.full(known.shape, np.inf, np.float32)
    nearest = np.full(known.shape, float(height + width), np.float32)
    row, column = rows.copy(), columns.copy()
    for axis in (0, 1):
        at = (rows, columns)[axis]
        for edge in _edges(known, axis):
            away = single(np.abs(edge - at))
            nearest = np.minimum(nearest, away)
            there = np.clip(2 * edge - at, 0, known.shape[axis] - 1)
            r, c = (there, columns) if axis == 0 else (rows, there)
            better = known[r, c] & (2 * edge - at == there) & (away < best)
            best = np.where(better, away, best)
            row, column = np.where(better, r, row), np.where(better, c, column)
    valid = torch.from_numpy(single(np.isfinite(best)))[None]
    return (
        picture[:, torch.from_numpy(row), torch.from_numpy(column)],
        valid,
        torch.from_numpy(np.where(np.isfinite(best), best, nearest))[None],
    )


def _edges(known: Mask, axis: int) -> tuple[Array, Array]:
    """Index of the nearest known pixel before and after each one; far outside if there is none."""
    length = known.shape[axis]
    far = 4 * length
    at = np.arange(length).reshape((-1, 1) if axis == 0 else (1, -1))
    before = np.maximum.accumulate(np.where(known, at, -far), axis=axis)
    after = np.where(known, at, far)
    after = np.flip(np.minimum.accumulate(np.flip(after, axis), axis=axis), axis)
    return before, after
