"""Cuts the person from the background: a matte with hair edges, and what lies behind.

Pictures here are float32 [C, H, W] in [0, 1].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_GUIDE_RADIUS = 9  # pixels at 512
_GUIDE_EPS = 3e-4


def refine_matte(mask: Tensor, picture: Tensor) -> Tensor:
    """Let the edges of a coarse `mask` [1, H, W] follow those of `picture` [3, H, W]."""
    guide = (picture * picture.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, True)
    soft = guided_filter(guide, mask, _GUIDE_RADIUS * mask.shape[-1] // 512, _GUIDE_EPS)
    return ((soft - 0.12) / 0.76).clamp(0.0, 1.0)


def guided_filter(guide: Tensor, mask: Tensor, radius: int, eps: float) -> Tensor:
    """He, Sun, Tang 2010, for one grey guide; all tensors [1, H, W]."""

    def mean(x: Tensor) -> Tensor:
        return box_mean(x, radius)

    mean_g, mean_m = mean(guide), mean(mask)
    cov = mean(guide * mask) - mean_g * mean_m
    var = mean(guide * guide) - mean_g * mean_g
    slope = cov / (var + eps)
    return mean(slope) * guide + mean(mean_m - slope * mean_g)


def box_mean(picture: Tensor, radius: int) -> Tensor:
    """Mean over squares of side 2 `radius` + 1 in [C, H, W], edges replicated, by running sums."""
    side = 2 * radius + 1
    padded = F.pad(picture[None].double(), (radius + 1, radius) * 2, mode="replicate")[0]
    total = padded.cumsum(dim=1).cumsum(dim=2)
    rows = total[:, side:] - total[:, :-side]
    return ((rows[:, :, side:] - rows[:, :, :-side]) / side**2).to(picture.dtype)


def separate(matte: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the final matte [1, H, W] and the background [3, H, W].

    In a band around the person, whatever differs from the background behind is person too: strands
    of hair, and what the mask missed.
    """
    behind = fill_behind(picture, matte)
    reach = max(3, picture.shape[-1] // 48)
    band = blur(dilate((matte > 0.02).to(picture.dtype), reach), 2.0)
    unlike = (picture - behind).abs().amax(dim=0, keepdim=True)
    missed = ((blur(unlike, 0.7) - 0.05) / 0.10).clamp(0.0, 1.0) * band
    return torch.maximum(matte, missed), behind


def fill_behind(picture: Tensor, matte: Tensor) -> Tensor:
    """Paint [3, H, W] over the person with what surrounds them, with no halo of the person."""
    reach = max(3, picture.shape[-1] // 48)
    person = dilate((matte > 0.02).to(picture.dtype), reach)
    filled = push_pull(picture, 1.0 - person)
    soft = blur(filled, picture.shape[-1] / 80)
    inside = blur(dilate(person, 2), 2.0)
    return filled * (1.0 - inside) + soft * inside


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
