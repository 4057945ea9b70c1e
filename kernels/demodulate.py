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
    n, channels = y.shape[:2]
    for name, held in (("power", power), ("then", then)):
        if held is not None and held.shape != (n, channels):
            raise ValueError(f"{name} is {tuple(held.shape)} for pictures {tuple(y.shape)}")
    if bias.shape != (channels,):
        raise ValueError(f"bias is {tuple(bias.shape)} for pictures {tuple(y.shape)}")
    if use_triton(y, power, bias):
        from kernels.demodulate_triton import demodulate as launch

        return launch(y, power, bias, then)
    return reference.demodulate(y, power, bias, then)


def work(faces: int, channels: int, size: int, value_bytes: int) -> Work:
    """Of one layer of `size` x `size` pixels: each value read and written; 5 operations."""
    values = faces * channels * size * size
    return Work(bytes=2 * values * value_bytes + faces * channels * 8, flops=values * 5)
