"""Closed lips of a picture, parted by a known amount, with teeth or dark between them."""

from __future__ import annotations

import numpy as np

from pipelines.photo.decode import Image8
from pipelines.photo.geometry import Array

TOOTH = (232, 222, 205)  # RGB of the brighter bars


def part_lips(photo: Image8, line: Array, gap: float, behind: str) -> tuple[Image8, Array]:
    """Move what lies below the lip `line` [n, 2] down by up to `gap` pixels; and where to, [n].

    Between the lips teeth are painted, of two shades in bars, with dark below, or dark alone.
    """
    height, width = photo.shape[:2]
    column, row = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    seam = np.interp(column, line[:, 0], line[:, 1])
    half = (line[-1, 0] - line[0, 0]) / 2
    u = np.clip((column - line[0, 0]) / half - 1, -1, 1)
    drop = gap * (1 - u**2) ** 0.7
    below = np.clip(row - seam - drop, 0, None)
    shift = np.where(row > seam, drop * np.exp(-((below / 60) ** 2)), 0)
    at = np.clip(row - 0.5 - shift, 0, height - 1.001)
    low, share = np.floor(at).astype(int), (at % 1)[..., None]
    columns = np.arange(width)
    moved = photo[low, columns] * (1 - share) + photo[low + 1, columns] * share
    teeth = np.where((column[:, None] // 9) % 2 == 0, TOOTH, [214, 204, 186])
    dark = np.array([45.0, 16, 16])
    is_tooth = np.clip(seam + 0.6 * drop - row + 0.5, 0, 1)[..., None] * (behind == "teeth")
    inside = teeth * is_tooth + dark * (1 - is_tooth)
    cover = np.clip(np.minimum(row - seam, seam + drop - row) + 0.5, 0, np.minimum(drop, 1))[
        ..., None
    ]
    picture = moved * (1 - cover) + inside * cover
    true = line[:, 1] + np.interp(line[:, 0], column, drop)
    return picture.round().astype(np.uint8), true.astype(np.float32)
