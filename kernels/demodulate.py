"""What follows the convolution of a modulated layer, in one pass over its output."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_flow_warp as reference
from kernels.bounds import Work
from kernels.dispatch import use_triton


def demodulate(y: Tensor, power: Tensor, bias: Tensor, then: Tensor | None = None) -> Tensor:
    """Bring each picture's channels back to the variance they had, add a bias, leaky ReLU.

        leaky(y * sqrt(2 / power) + bias) * then

    `power` is the product of squared styles and the kernel's energies, [n, in] x [in, out]: 0.5
    MFLOP for the widest layer of a face, which cuBLAS does as well as anything. The convolutions
    before it are plain ones, a kernel for all pictures, and so cuDNN's: 30 GFLOP a face for the
    published generator, 0.5 for ours.

    Args:
        y: float32, float16 or bfloat16 [n, C, H, W], best with its channels last in memory.
        power: float32 [n, C].
        bias: [C], times the square root of 2 already.
        then: float32 [n, C], the style of the layer that comes next, if one does.

    Returns:
        As `y`, computed in float32 and rounded once.

    Raises:
        ValueError: shapes that do not go together.
    """
    _check(y, power, bias, then)
    if use_triton(y, power, as_they_lie=(bias,)):
        from kernels.demodulate_triton import demodulate as launch

        return launch(y, None, power, bias, then)
    return reference.demodulate(y, power, bias, then)


def smooth_demodulate(
    y: Tensor, smooth: Tensor, power: Tensor, bias: Tensor, then: Tensor | None = None
) -> Tensor:
    """`demodulate` of what a transposed convolution left, smoothed first.

    That is a convolution of each channel by itself, which libraries do badly where channels come
    last, and which needs no pass of its own.

    Args:
        y: as `demodulate`, but [n, C, H + 1, W + 1].
        smooth: as y, [C, 1, 4, 4].
        power, bias, then: as `demodulate`.

    Returns:
        [n, C, H, W], as `y`, computed in float32 and rounded once.

    Raises:
        ValueError: shapes that do not go together.
    """
    _check(y, power, bias, then)
    if smooth.shape != (y.shape[1], 1, 4, 4) or min(y.shape[2:]) < 2:
        raise ValueError(f"pictures {tuple(y.shape)} are not smoothed by {tuple(smooth.shape)}")
    if use_triton(y, smooth, power, as_they_lie=(bias,)):
        from kernels.demodulate_triton import demodulate as launch

        return launch(y, smooth, power, bias, then)
    return reference.smooth_demodulate(y, smooth, power, bias, then)


def _check(y: Tensor, power: Tensor, bias: Tensor, then: Tensor | None) -> None:
    n, channels = y.shape[:2]
    for name, held in (("power", power), ("then", then)):
        if held is not None and held.shape != (n, channels):
            raise ValueError(f"{name} is {tuple(held.shape)} for pictures {tuple(y.shape)}")
    if bias.shape != (channels,):
        raise ValueError(f"bias is {tuple(bias.shape)} for pictures {tuple(y.shape)}")


def work(faces: int, channels: int, size: int, value_bytes: int, *, smoothed: bool = False) -> Work:
    """Of one layer of `size` x `size` pixels: each value read and written; 5 operations, and 32 to
    smooth."""
    values = faces * channels * size * size
    moved = 2 * values * value_bytes + faces * channels * 8
    return Work(bytes=moved, flops=values * (37 if smoothed else 5))
