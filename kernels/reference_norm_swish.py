"""Normalisations, and the swish that follows them, in plain PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def group_norm_swish(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """See `kernels.norm_swish.group_norm_swish`."""
    return F.silu(F.group_norm(x.float(), groups, weight.float(), bias.float(), eps)).to(x.dtype)


def pixel_norm_swish(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """See `kernels.norm_swish.pixel_norm_swish`."""
    return F.silu(pixel_norm(x.float(), weight.float(), bias.float(), eps)).to(x.dtype)


def pixel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Root mean square over the channels of each cell of x [n, C, H, W] brought to 1, then scaled
    and shifted by channel."""
    size = torch.linalg.vector_norm(x, dim=1, keepdim=True).square() / x.shape[1]
    scale: Tensor = (size + eps).rsqrt()
    return x * scale * weight[:, None, None] + bias[:, None, None]
