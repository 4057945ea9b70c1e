"""RGB to the planar YUV that video encoders take."""

from __future__ import annotations

from torch import Tensor

from kernels import reference


def rgb_to_i420(rgb: Tensor) -> Tensor:
    """Convert RGB float32 [N, 3, H, W] in [0, 1] to I420 uint8 [N, H * 3 / 2, W] (BT.601)."""
    if rgb.dim() != 4 or rgb.shape[1] != 3:
        raise ValueError(f"rgb must be [N, 3, H, W], got {tuple(rgb.shape)}")
    if rgb.shape[2] % 2 or rgb.shape[3] % 2:
        raise ValueError(f"I420 needs an even height and width, got {tuple(rgb.shape[2:])}")
    return reference.rgb_to_i420(rgb)
