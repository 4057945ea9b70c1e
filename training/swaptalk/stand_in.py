"""A VQGAN's place held by a cosine transform: to train and test what works on latents without one.

A cell of 16 x 16 pixels becomes its lowest frequencies. That is linear, needs no training, and
decodes to a picture that can be looked at.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELL = 16  # pixels along a side


def waves(count: int, cell: int = CELL) -> Tensor:
    """The `count` lowest orthonormal cosine waves over a cell, [count, cell, cell]."""
    place = (torch.arange(cell) + 0.5) * (math.pi / cell)
    lines = torch.cos(torch.arange(cell)[:, None] * place) * math.sqrt(2.0 / cell)
    lines[0] /= math.sqrt(2.0)
    order = sorted((y + x, y, x) for y in range(cell) for x in range(cell))[:count]
    return torch.stack([lines[y][:, None] * lines[x] for _, y, x in order])


class StandIn(nn.Module):
    """Pictures to maps and back; `dim` is a multiple of 3."""

    def __init__(self, dim: int = 30) -> None:
        super().__init__()
        self.dim = dim
        self.waves: Tensor
        self.register_buffer("waves", waves(dim // 3)[:, None])

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [-1, 1] -> maps [B, dim, H / 16, W / 16]."""
        count, _, height, width = pictures.shape
        found = F.conv2d(pictures.reshape(-1, 1, height, width), self.waves, stride=CELL)
        return found.reshape(count, self.dim, height // CELL, width // CELL)

    def decode(self, maps: Tensor) -> Tensor:
        """Maps [B, dim, h, w] -> pictures [B, 3, 16 h, 16 w]."""
        count, _, rows, columns = maps.shape
        parted = maps.reshape(3 * count, self.dim // 3, rows, columns)
        made = F.conv_transpose2d(parted, self.waves, stride=CELL)
        return made.reshape(count, 3, CELL * rows, CELL * columns)
