"""Drawn faces back into whole frames, in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.reference import BT601, OFFSET, mean_of_four, wide


class Behind(NamedTuple):
    """What moved squares are pasted into: a row for each slot, whatever its picture's size.

    A row holds a picture of width x height as its first values; what comes after them is anything.
    """

    planes: Tensor
    """uint8 [slots, pixels * 3 / 2], the picture itself, I420."""
    mask: Tensor
    """uint8 [slots, pixels], how much of a pixel is drawn; 255 is all of it."""
    fixed: Tensor
    """uint8 [slots, 3 * pixels], RGB of the picture times what the mask leaves of it."""
    detail: Tensor
    """float16 [slots, 3, side, side], added to what is drawn; `kept` of its rows and columns are
    the square's."""
    places: Tensor
    """int32 [slots, 4]: left and top of the square in the picture, its side there, and `kept`."""


def paste_back(
    drawn: Tensor, rows: Tensor, behind: Behind, size: tuple[int, int], reach: int, out: Tensor
) -> None:
    """See `kernels.paste_back.paste_back`."""
    (width, height), kind = size, wide(drawn)
    left, top, side, kept = (v[:, None].to(kind) for v in behind.places[rows].unbind(1))
    across, down = (  # [n, W] and [n, H], pixels of the square
        torch.arange(length, dtype=kind, device=drawn.device) + 0.5 - first
        for length, first in ((width, left), (height, top))
    )
    inner = drawn.shape[-1]
    step = (inner + 2 * reach) / side
    x, y = across * step - (0.5 + reach), down * step - (0.5 + reach)
    found = sampled(drawn, *_lattice(x, y))
    moved = found[:, 3:5] * (side * 0.5)[:, None, None]
    scale = (kept / side)[:, None]
    sought = torch.stack(_lattice(across, down), 1) + moved
    sought = (sought * scale[..., None] - 0.5).clamp_min(0.0)
    sought = torch.minimum(sought, kept[:, None, None] - 1.0)
    detail = sampled(behind.detail[rows].to(kind), *sought.unbind(1))
    pixels = width * height
    share = behind.mask[rows, :pixels].view(-1, 1, height, width).to(kind) / 255.0
    fixed = behind.fixed[rows, : 3 * pixels].view(-1, 3, height, width).to(kind) / 255.0
    whole = torch.addcmul(found[:, :3], detail, found[:, 5:])
    made = i420_of(torch.addcmul(fixed, whole, share).clamp(0.0, 1.0))
    changed = share > 0.0
    half = F.max_pool2d(changed.to(kind), 2).flatten(1) > 0.0
    changed = torch.cat([changed.flatten(1), half, half], 1)
    out.copy_(torch.where(changed, made, behind.planes[rows, : pixels * 3 // 2]))


def _lattice(across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """x [n, W] and y [n, H] of every pixel, [n, H, W]."""
    n, height, width = len(across), down.shape[1], across.shape[1]
    shape = (n, height, width)
    return across[:, None, :].expand(shape), down[:, :, None].expand(shape)


def sampled(pictures: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Pictures [n, C, h, w] at x and y [n, H, W] in pixels, 0 the middle of the first: bilinearly,
    edges extended."""
    height, width = pictures.shape[2:]
    grid = torch.stack([(2.0 * x + 1.0) / width - 1.0, (2.0 * y + 1.0) / height - 1.0], -1)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def i420_of(rgb: Tensor) -> Tensor:
    """`reference.rgb_to_i420`, uint8 [n, H * W * 3 / 2], with no constant that lies on the host."""
    parts = [_plane(rgb, 0), *(_plane(mean_of_four(rgb), row) for row in (1, 2))]
    return torch.cat(parts, 1).byte()


def _plane(rgb: Tensor, row: int) -> Tensor:
    """Y, Cb or Cr in [0, 255], to be cut off: [n, H * W]."""
    red, green, blue = BT601[row]
    held = rgb[:, 0] * red + rgb[:, 1] * green + rgb[:, 2] * blue
    return (held + (OFFSET[row] + 0.5)).clamp(0.0, 255.0).flatten(1)
