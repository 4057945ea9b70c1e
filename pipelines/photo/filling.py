"""Small filters on pictures: float32 [C, H, W], masks [1, H, W]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def push_pull(picture: Tensor, known: Tensor) -> Tensor:
    """Fill `picture` [C, H, W] where `known` [1, H, W] is 0, smoothly from all around."""
    height, width = picture.shape[-2:]
    if min(height, width) <= 2:
        weight = known.sum().clamp_min(1e-6)
        mean = (picture * known).sum(dim=(1, 2), keepdim=True) / weight
        return picture * known + mean * (1.0 - known)
    pooled = F.avg_pool2d((picture * known)[None], 2, ceil_mode=True, count_include_pad=False)[0]
    weight = F.avg_pool2d(known[None], 2, ceil_mode=True, count_include_pad=False)[0]
    small = push_pull(pooled / weight.clamp_min(1e-4), (weight * 4.0).clamp_max(1.0))
    large = F.interpolate(small[None], (height, width), mode="bilinear", align_corners=False)[0]
    return picture * known + large * (1.0 - known)


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Grow the ones in `mask` [1, H, W] by `radius` pixels (square)."""
    side = 2 * radius + 1
    rows = F.max_pool2d(mask[None], (side, 1), stride=1, padding=(radius, 0))
    return F.max_pool2d(rows, (1, side), stride=1, padding=(0, radius))[0]


def blur(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [C, H, W], edges replicated; `sigma` in pixels."""
    radius = max(1, round(2.5 * sigma))
    x = torch.arange(-radius, radius + 1, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    channels = picture[:, None]  # [C, 1, H, W]
    padded = F.pad(channels, (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, kernel[..., None, :])
    return F.conv2d(rows, kernel[..., :, None])[:, 0]
