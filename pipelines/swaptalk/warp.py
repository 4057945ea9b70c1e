"""Brings the lower half of a reference into the pose of a target, which both upper halves tell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.swaptalk.unet import UNet


def moved(maps: Tensor, offsets: Tensor) -> Tensor:
    """Look up maps [B, C, h, w] beside each cell, by offsets [B, 2, h, w] of (x, y) in cells.

    Between cells bilinearly; beyond the border there is the border.
    """
    rows, columns = maps.shape[2:]
    x = torch.arange(columns, device=maps.device, dtype=maps.dtype) + 0.5
    y = torch.arange(rows, device=maps.device, dtype=maps.dtype)[:, None] + 0.5
    grid = torch.stack(
        [(x + offsets[:, 0]) * (2.0 / columns) - 1.0, (y + offsets[:, 1]) * (2.0 / rows) - 1.0], 3
    )
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)


class FaceWarp(nn.Module):
    """An hourglass looks at each upper half; their difference says where cells move.

    The target's lower half is never seen. Before training nothing moves.
    """

    def __init__(self, dim: int, widths: tuple[int, int, int], halves: int = 1) -> None:
        """halves: that are to be moved: the lower one, or first the upper and then the lower."""
        super().__init__()
        self.halves = halves
        self.hourglass = UNet(dim, widths, widths[0])
        self.offsets = UNet(widths[0], widths, 2 * halves, starts_silent=True)

    def forward(self, target_upper: Tensor, reference_upper: Tensor) -> tuple[Tensor, Tensor]:
        """Upper halves [B, dim, h, w] -> how the poses differ, [B, widths[0], h, w], and offsets
        [B, 2, halves x h, w], in cells."""
        target, reference = self.hourglass(torch.cat([target_upper, reference_upper])).chunk(2)
        turn = target - reference
        return turn, torch.cat(self.offsets(turn).chunk(self.halves, 1), 2)
