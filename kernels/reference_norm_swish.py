"""Normalisations, and the swish that follows them, in plain PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.reference import wide


def group_norm_swish(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """See `kernels.norm_swish.group_norm_swish`."""
    given = x.to(wide(x))
    weight, bias = weight.to(given.dtype), bias.to(given.dtype)
    return F.silu(F.group_norm(given, groups, weight, bias, eps)).to(x.dtype)


def pixel_norm_swish(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """See `kernels.norm_swish.pixel_norm_swish`."""
    given = x.to(wide(x))
    weight, bias = weight.to(given.dtype), bias.to(given.dtype)
    return F.silu(pixel_norm(given, weight, bias, eps)).to(x.dtype)


def pixel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Root mean square over the channels of each cell of x [n, C, H, W] brought to 1, then scaled
    and shifted by channel."""
    size = torch.linalg.vector_norm(x, dim=1, keepdim=True).square() / x.shape[1]
    scale: Tensor = (size + eps).rsqrt()
    return x * scale * weight[:, None, None] + bias[:, None, None]
