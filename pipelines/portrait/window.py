"""Affine maps between a patch of the frame and pictures on rigid pieces of the head."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.portrait.lips_and_lids import Patch

Affine = list[list[float]]
"""2 x 3: from a patch to a picture, both -1..1 from edge to edge."""


def inverse(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Of a 2 x 2 matrix."""
    (a, b), (c, d) = rows
    det = a * d - b * c
    return [[d / det, -b / det], [-c / det, a / det]]


def from_window(
    matrix: Sequence[Sequence[float]], centre: tuple[float, float], patch: Patch
) -> Affine:
    """Compose `matrix` (canvas offset from `centre` -> anything) with the patch's own map."""
    height, width = patch.cover.shape
    canvas = patch.placement
    sx, sy = width / canvas.side, height / canvas.side
    ox = (2 * (patch.left - canvas.left) + width) / canvas.side - 1 - centre[0]
    oy = (2 * (patch.top - canvas.top) + height) / canvas.side - 1 - centre[1]
    return [[row[0] * sx, row[1] * sy, row[0] * ox + row[1] * oy] for row in matrix]
