"""Normalisations of convolutional networks, and the swish x / (1 + exp(-x)) that follows them."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_norm_swish as reference
from kernels.bounds import Work
from kernels.dispatch import use_triton


def group_norm_swish(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """Bring groups of channels of each picture to mean 0 and spread 1, scale, shift, swish.

    Args:
        x: float32, float16 or bfloat16 [n, C, H, W].
        weight, bias: [C].
        groups: that C is parted into, of neighbouring channels.
        eps: added to a variance.

    Returns:
        As `x`, computed in float32 and rounded once.

    Raises:
        ValueError: shapes that do not go together.
    """
    _check(x, weight, bias)
    if x.shape[1] % groups:
        raise ValueError(f"{x.shape[1]} channels cannot be parted into {groups} groups")
    if use_triton(x, as_they_lie=(weight, bias)):
        from kernels.norm_swish_triton import group_norm_swish as launch

        return launch(x, weight, bias, groups, eps)
    return reference.group_norm_swish(x, weight, bias, groups, eps)


def pixel_norm_swish(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Bring the root mean square over the channels of each cell to 1, scale, shift, swish.

    Takes and gives what `group_norm_swish` does, but for groups.
    """
    _check(x, weight, bias)
    if use_triton(x, as_they_lie=(weight, bias)):
        from kernels.norm_swish_triton import pixel_norm_swish as launch

        return launch(x, weight, bias, eps)
    return reference.pixel_norm_swish(x, weight, bias, eps)


def _check(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    if x.dim() != 4 or weight.shape != x.shape[1:2] or bias.shape != x.shape[1:2]:
        raise ValueError(
            f"maps {tuple(x.shape)} cannot be scaled by {tuple(weight.shape)} and shifted by "
            f"{tuple(bias.shape)}"
        )


def work(faces: int, values: int, value_bytes: int) -> Work:
    """Of either, over so many values of a face: each read and written once, 12 operations."""
    return Work(bytes=2 * faces * values * value_bytes, flops=faces * values * 12)
