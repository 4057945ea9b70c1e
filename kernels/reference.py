"""Every op in plain PyTorch: the specification that faster kernels must match.

What is given in float64 is computed in float64 throughout, everything else in float32: so a kernel
can be compared with its twin run in float64, and a kernel's error told from its twin's.

Pictures are float32 [N, C, H, W] in [0, 1]. Coordinates are those of
`torch.nn.functional.grid_sample` with `align_corners=False`: -1 and 1 are the picture's edges.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# BT.601, limited range (16..235, 16..240): what WebRTC stacks assume for VP8 and H.264 without
# colour tags. Rows Y, Cb, Cr over R, G, B in [0, 1]; offsets in 8-bit steps.
BT601 = (
    (65.481, 128.553, 24.966),
    (-37.797, -74.203, 112.0),
    (112.0, -93.786, -18.214),
)
OFFSET = (16.0, 128.0, 128.0)


def wide(x: Tensor) -> torch.dtype:
    """What numbers like `x` are computed in."""
    return torch.float64 if x.dtype is torch.float64 else torch.float32


def warp(picture: Tensor, grid: Tensor) -> Tensor:
    """Sample `picture` [N, C, H, W] at `grid` [N, h, w, 2] bilinearly, edges extended."""
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


def composite(layer: Tensor, behind: Tensor, out: Tensor | None = None) -> Tensor:
    """Put premultiplied RGBA `layer` [N, 4, H, W] over opaque `behind` [N, 3, H, W]."""
    return torch.addcmul(layer[:, :3], behind, 1.0 - layer[:, 3:], out=out)


def rgb_to_i420(rgb: Tensor) -> Tensor:
    """Convert [N, 3, H, W] in [0, 1], H and W even, to I420 planes uint8 [N, H * 3 / 2, W].

    Chroma is the mean of 2 x 2 pixels (sited at their centre, as in MPEG-1 and JPEG).
    """
    n, _, height, width = rgb.shape
    planes = torch.empty(n, height * 3 // 2, width, dtype=torch.uint8, device=rgb.device)
    write_i420(rgb, planes, 0)
    return planes


def write_i420(rgb: Tensor, planes: Tensor, top: int, left: int = 0) -> None:
    """Write a box of I420 `planes` [N, H * 3 / 2, W] from `rgb` [N, 3, h, w]."""
    n, _, rows, columns = rgb.shape
    height, width = planes.shape[1] * 2 // 3, planes.shape[2]
    matrix = rgb.new_tensor(BT601)
    luma = (matrix[:1] @ rgb.reshape(n, 3, -1)).add_(OFFSET[0] + 0.5).clamp_(0.0, 255.0)
    planes[:, top : top + rows, left : left + columns] = luma.view(n, rows, columns)
    small = mean_of_four(rgb).view(n, 3, -1)
    chroma = (matrix[1:] @ small).add_(OFFSET[1] + 0.5).clamp_(0.0, 255.0)
    held = planes.view(n, -1)[:, height * width :].view(n, 2, height // 2, width // 2)
    held = held[:, :, top // 2 : (top + rows) // 2, left // 2 : (left + columns) // 2]
    held.copy_(chroma.view(n, 2, rows // 2, columns // 2))


def mean_of_four(picture: Tensor) -> Tensor:
    """Halve [N, C, H, W] in both directions by the mean of 2 x 2 pixels."""
    n, c, height, width = picture.shape
    rows = picture.view(n, c, height // 2, 2, width)
    summed = rows[:, :, :, 0] + rows[:, :, :, 1]
    return (summed[..., ::2] + summed[..., 1::2]) * 0.25


def log_mel(sound: Tensor, window: Tensor, weights: Tensor, *, step: int, floor: float) -> Tensor:
    """Natural log of mel band power: sound [B, W + (n - 1) * step], window [W], weights [F, bands]
    -> [B, n, bands]. Windows are padded with zeros to 2 * (F - 1) samples."""
    frames = sound.unfold(1, len(window), step) * window
    spectrum = torch.view_as_real(torch.fft.rfft(frames, n=2 * (len(weights) - 1)))
    return torch.log(spectrum.square().sum(-1) @ weights + floor)
