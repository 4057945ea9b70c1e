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
    field = displacement.new_empty(displacement.shape[0], 4, rows, columns)
    field[:, :2] = displacement
    slope = field[:, 2:]
    slope.fill_(1.0)
    x, y = displacement[:, 0], displacement[:, 1]
    slope[:, 0, :, 1:-1].add_(x[:, :, 2:] - x[:, :, :-2], alpha=(columns - 1) / 4)
    slope[:, 1, 1:-1].add_(y[:, 2:] - y[:, :-2], alpha=(rows - 1) / 4)
    slope.clamp_(min=_LEAST_SLOPE).reciprocal_()
    target = points.permute(0, 3, 1, 2)
    where = start.permute(0, 3, 1, 2)
    for _ in range(iterations):
        found = sample(field, where.permute(0, 2, 3, 1))
        miss = found[:, :2].add_(where).sub_(target)
        where = torch.addcmul(where, miss, found[:, 2:], value=-1.0)
    return where.permute(0, 2, 3, 1)


def affine_grid(maps: Tensor, height: int, width: int) -> Tensor:
    """Where `maps` [N, 2, 3] put the pixels of a window (-1..1 edge to edge): [N, H, W, 2]."""
    x = (2 * torch.arange(width, dtype=maps.dtype, device=maps.device) + 1) / width - 1
    y = (2 * torch.arange(height, dtype=maps.dtype, device=maps.device) + 1) / height - 1
    across = maps[:, :, 0, None] * x  # [N, 2, W]
    down = torch.addcmul(maps[:, :, 2, None], maps[:, :, 1, None], y)  # [N, 2, H]
    return (across[:, :, None] + down[..., None]).permute(0, 2, 3, 1)
