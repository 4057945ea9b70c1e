"""Turning where skin goes into where a pixel comes from, on small lattices."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.reference_flow import LEAST_SLOPE
from pipelines.photo.geometry import Array


def invert(
    displacement: Array, carried: Array, points: Array, start: Array, iterations: int
) -> tuple[Array, Array]:
    """Find q with q + displacement(q) = `points` by Newton steps with a diagonal Jacobian, from
    `start`, and what is `carried` there.

    Places are counted in cells of a lattice, x and y from its first node; edges are extended.

    Args:
        displacement, carried: float32 [2, N, h, w] and [C, N, h, w], at the nodes of N lattices.
        points, start: float32 [2, N, H, W].

    Returns:
        Places [2, N, H, W] and what is carried there, [C, N, H, W].
    """
    slope = np.ones_like(displacement)
    slope[0, ..., 1:-1] += 0.5 * (displacement[0, ..., 2:] - displacement[0, ..., :-2])
    slope[1, :, 1:-1] += 0.5 * (displacement[1, :, 2:] - displacement[1, :, :-2])
    np.maximum(slope, LEAST_SLOPE, out=slope)
    rows, columns = displacement.shape[2:]
    # `grid_sample` counts from -1 to 1 across a lattice, and so do `aim` and `where`.
    cell = np.array([2 / (columns - 1), 2 / (rows - 1)], np.float32)[:, None, None, None]
    field = np.concatenate([displacement * cell, np.reciprocal(slope, out=slope)])
    aim, where = points * cell, start * cell
    aim -= 1.0
    where -= 1.0
    lattices, grid = _by_lattice(field), _by_lattice(where).permute(0, 2, 3, 1)  # views
    for _ in range(iterations):
        found = _read(lattices, grid)
        miss, share = found[:2], found[2:]
        miss += where
        miss -= aim
        miss *= share
        where -= miss
    found = _read(_by_lattice(carried), grid)
    where += 1.0
    where /= cell
    return where, found


def _by_lattice(planes: Array) -> Tensor:
    """[C, N, h, w] as [N, C, h, w]."""
    return torch.from_numpy(planes).transpose(0, 1)


def _read(lattices: Tensor, grid: Tensor) -> Array:
    """`lattices` [N, C, h, w] at places [N, H, W, 2]: [C, N, H, W].

    OpenCV takes as long and reads at 1/32 of a cell, which is a third of a pixel at 720 lines.
    """
    found = F.grid_sample(lattices, grid, padding_mode="border", align_corners=True)
    planes: Array = found.numpy().swapaxes(0, 1)
    return planes
