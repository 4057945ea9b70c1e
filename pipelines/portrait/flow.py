"""Turning where skin goes into where a pixel comes from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST_SLOPE = 0.35  # of the map being inverted; keeps a step finite where it nearly folds


def sample(field: Tensor, where: Tensor) -> Tensor:
    """Read `field` [N, C, h, w] at `where` [N, H, W, 2], -1..1 between its outer points."""
    return F.grid_sample(field, where, padding_mode="border", align_corners=True)


def invert(displacement: Tensor, points: Tensor, start: Tensor, iterations: int) -> Tensor:
    """Find q with q + displacement(q) = `points`, by Newton steps with a diagonal Jacobian.

    `displacement` is [N, 2, h, w] in the units of `points` and `start`, [N, H, W, 2]; the result
    has their shape.
    """
    rows, columns = displacement.shape[-2:]
    field = torch.empty(
        displacement.shape[0], 4, rows, columns, dtype=displacement.dtype, device=points.device
    )
    field[:, :2] = displacement
    slope = field[:, 2:]
    slope.fill_(1.0)
    x, y = displacement[:, 0], displacement[:, 1]
    slope[:, 0, :, 1:-1].add_(x[:, :, 2:] - x[:, :, :-2], alpha=(columns - 1) / 4)
    slope[:, 1, 1:-1].add_(y[:, 2:] - y[:, :-2], alpha=(rows - 1) / 4)
    slope.clamp_(min=_LEAST_SLOPE)
    target = points.permute(0, 3, 1, 2)
    where = start.permute(0, 3, 1, 2)
    for _ in range(iterations):
        found = sample(field, where.permute(0, 2, 3, 1))
        where = where - (where + found[:, :2] - target) / found[:, 2:]
    return where.permute(0, 2, 3, 1)
