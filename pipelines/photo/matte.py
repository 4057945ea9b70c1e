"""Cuts the person from the background: a matte with hair edges, and what lies behind.

Pictures here are float32 [C, H, W] in [0, 1].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.continuation import continued
from pipelines.photo.filling import blur, dilate, push_pull

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
    reach = max(3, picture.shape[-1] // 48)
    person = dilate((matte > 0.02).to(picture.dtype), reach)
    smooth = push_pull(picture, 1.0 - person)
    band = blur(person, 2.0)
    unlike = (picture - smooth).abs().amax(dim=0, keepdim=True)
    missed = ((blur(unlike, 0.7) - 0.05) / 0.10).clamp(0.0, 1.0) * band
    return torch.maximum(matte, missed), continued(picture, 1.0 - blur(dilate(person, 3), 1.5))
