"""Turning where skin goes into where a pixel comes from, on small lattices.

Places are counted in cells of a lattice, x and y from its first node. OpenCV samples them to 1/32
of a cell; of the skin's motion that is under a tenth of a pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.photo.geometry import Array

_LEAST_SLOPE = 0.35  # of the map being inverted; keeps a step finite where it nearly folds


def sample(lattices: Array, where: Array) -> Array:
    """Read each of `lattices` [N, h, w, C] at its `where` [2, N, H, W]: [C, N, H, W]."""
    count, rows, columns, channels = lattices.shape
    x, y = where
    if count > 1:  # One below the other they are read at once; none may reach into the next.
        y = np.maximum(y, 0.0)
        np.minimum(y, rows - 1.0, out=y)
        y += np.arange(0, count * rows, rows, dtype=np.float32)[:, None, None]
    found = cv2.remap(
        lattices.reshape(count * rows, columns, -1),
        x.reshape(-1, x.shape[-1]),
        y.reshape(-1, x.shape[-1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    planes = np.empty((channels, *x.shape), np.float32)
    cv2.split(found, [*planes.reshape(channels, -1, x.shape[-1])])
    return planes


def invert(displacement: Array, points: Array, start: Array, iterations: int) -> Array:
    """Find q with q + displacement(q) = `points`, by Newton steps with a diagonal Jacobian.

    `displacement` is [2, N, h, w]; `points`, `start` and what is found are [2, N, H, W].
    """
    slope = np.ones_like(displacement)
    slope[0, ..., 1:-1] += 0.5 * (displacement[0, ..., 2:] - displacement[0, ..., :-2])
    slope[1, :, 1:-1] += 0.5 * (displacement[1, :, 2:] - displacement[1, :, :-2])
    np.maximum(slope, _LEAST_SLOPE, out=slope)
    field = stacked(*displacement, *np.reciprocal(slope, out=slope))
    where = start.copy()
    for _ in range(iterations):
        found = sample(field, where)
        miss, share = found[:2], found[2:]
        miss += where
        miss -= points
        miss *= share
        where -= miss
    return where


def stacked(*planes: Array) -> Array:
    """Planes [N, h, w] as channels [N, h, w, C]."""
    count, rows, columns = planes[0].shape
    whole = cv2.merge([plane.reshape(count * rows, columns) for plane in planes])
    return np.asarray(whole, np.float32).reshape(count, rows, columns, -1)
