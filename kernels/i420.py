"""RGB to the planar YUV that video encoders take."""

from __future__ import annotations

from torch import Tensor

from kernels import reference


def rgb_to_i420(rgb: Tensor) -> Tensor:
    """Convert RGB float32 [N, 3, H, W] in [0, 1] to I420 uint8 [N, H * 3 / 2, W] (BT.601)."""
    _check(rgb)
    return reference.rgb_to_i420(rgb)


def write_i420(rgb: Tensor, planes: Tensor, top: int, left: int = 0) -> None:
    """Convert a box of a frame, RGB float32 [N, 3, h, w], into I420 `planes` at (`top`, `left`).

    `planes` is uint8 [N, H * 3 / 2, W], contiguous; `top`, `left`, h and w even.
    """
    _check(rgb)
    rows, columns = rgb.shape[2:]
    height, width = planes.shape[1] * 2 // 3, planes.shape[2]
    if planes.shape[0] != rgb.shape[0] or top % 2 or left % 2:
        raise ValueError(f"{tuple(rgb.shape)} at {top, left} does not fit {tuple(planes.shape)}")
    if not (0 <= top <= height - rows and 0 <= left <= width - columns):
        raise ValueError(
            f"a box of {rows} x {columns} at {top, left} leaves a frame of {height} x {width}"
        )
    reference.write_i420(rgb, planes, top, left)


def _check(rgb: Tensor) -> None:
    if rgb.dim() != 4 or rgb.shape[1] != 3:
        raise ValueError(f"rgb must be [N, 3, H, W], got {tuple(rgb.shape)}")
    if rgb.shape[2] % 2 or rgb.shape[3] % 2:
        raise ValueError(f"I420 needs an even height and width, got {tuple(rgb.shape[2:])}")
