"""Drawn lower faces back into the frames of clips, in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.reference import mean_of_four, wide
from kernels.reference_paste import i420_of


class Clips(NamedTuple):
    """Frames of clips that lower faces are pasted into, all of one size: a row for each frame."""

    planes: Tensor
    """uint8 [rows, at least width * height * 3 / 2], I420."""
    masks: Tensor
    """uint8 [rows, mask rows, mask columns], over the lower half of the face's square; 255 is all
    drawn, and beyond it is 0."""
    places: Tensor
    """float32 [rows, 6]: from pixels of the frame to the square: the matrix u over (x, y), v over
    (x, y), to be applied after its middle's x and y, which come last, were taken away. The lower
    half lies at u in [-1, 1] and v in [0, 1]."""
    boxes: Tensor
    """int32 [rows, 5]: top, left, bottom, right of the pixels that may change, even; and how many
    drawn pixels, along a side, are averaged before they are looked up, so that none is left out."""


def paste_lower(
    lower: Tensor, colours: Tensor, rows: Tensor, clips: Clips, size: tuple[int, int], out: Tensor
) -> None:
    """See `kernels.paste_lower.paste_lower`."""
    (width, height), kind = size, wide(lower)
    u, v = _looks(clips.places[rows], width, height)
    v = 2.0 * v - 1.0
    top, left, bottom, right, averaged = clips.boxes[rows].unbind(1)
    drawn = _averaged(lower, averaged.long(), u, v)
    parts = colours[..., None, None].unbind(1)
    drawn = drawn + parts[0] + parts[1] * u[:, None] + parts[2] * v[:, None]
    made = i420_of(drawn.clamp(0.0, 1.0)).to(kind)
    masks = clips.masks[rows].to(kind)[:, None] / 255.0
    share = F.grid_sample(masks, torch.stack([u, v], -1), align_corners=False)
    x, y = (torch.arange(length, device=lower.device) for length in size)
    beside = (x < left[:, None]) | (x >= right[:, None])
    above = (y < top[:, None]) | (y >= bottom[:, None])
    share = share.masked_fill((above[:, :, None] | beside[:, None, :])[:, None], 0.0)
    half = mean_of_four(share).flatten(1)
    shares = torch.cat([share.flatten(1), half, half], 1)
    before = clips.planes[rows, : width * height * 3 // 2].to(kind)
    out.copy_((before + shares * (made - before) + 0.5).floor())


def _looks(places: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Where the pixels of frames lie in their squares: u and v, [n, H, W]."""
    a, b, c, d, middle_x, middle_y = places[:, :, None, None].unbind(1)
    x, y = (
        torch.arange(length, dtype=places.dtype, device=places.device) + 0.5
        for length in (width, height)
    )
    x, y = x - middle_x, y[:, None] - middle_y
    return a * x + b * y, c * x + d * y


def _averaged(pictures: Tensor, by: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Pictures [n, C, h, w], averaged over squares of `by` (int64 [n]) pixels and then looked up at
    u and v in [-1, 1], bilinearly, edges extended: [n, C, H, W].

    Averages are differences of sums over all that lies above and to the left.
    """
    n, channels, height, width = pictures.shape
    sums = F.pad(pictures.double().cumsum(2).cumsum(3), (1, 0, 1, 0)).flatten(2)
    by = by[:, None, None]
    lines = []
    for at, length in ((u, width), (v, height)):
        cells = length // by
        place = (at + 1.0) * cells * 0.5 - 0.5
        place = torch.minimum(place.clamp_min(0.0), cells - 1.0)
        first = place.floor()
        lines.append((first.long(), torch.minimum(first.long() + 1, cells - 1), place - first))
    (x0, x1, right), (y0, y1, down) = lines

    def cell(x: Tensor, y: Tensor) -> Tensor:
        def corner(x: Tensor, y: Tensor) -> Tensor:
            at = (y * (width + 1) + x).flatten(1)[:, None].expand(-1, channels, -1)
            return sums.gather(2, at).view(n, channels, *u.shape[1:])

        x, y = x * by, y * by
        total = corner(x + by, y + by) - corner(x, y + by) - corner(x + by, y) + corner(x, y)
        return total / by[:, None] ** 2

    right, down = right[:, None], down[:, None]
    above = torch.lerp(cell(x0, y0), cell(x1, y0), right.double())
    below = torch.lerp(cell(x0, y1), cell(x1, y1), right.double())
    return torch.lerp(above, below, down.double()).to(pictures.dtype)
