"""A program takes a stretch of one picture's values, channels last, so that gains come from caches,
and so do the neighbours of those that are smoothed.

All 13 layers of the published generator have 16 million outputs, half of them smoothed: for a face
of 256 px, the size it is drawn at whatever the frame's, 64 MB in bfloat16 and 0.34 GFLOP: 13 us on
an H200, 19 us on an H100. Of ours 2.0 million: 7.9 MB and 42 MFLOP, 1.7 us and 2.4 us. Done by
PyTorch it is three passes and a convolution, of which `torch.compile` would fuse the passes; but
then its guards and a compiler would be part of a start.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Values: 8 for each thread of 4 warps, which are 16 bytes of a half precision. With the 16
# neighbours of each that is smoothed these were all of a thread's 255 registers; 8 warps take 109.
_BLOCK = 1024


@triton.jit  # type: ignore[untyped-decorator]
def _demodulate_kernel(  # type: ignore[no-untyped-def]
    y,  # [n, H, W, channels], or if SMOOTHED [n, H + 1, W + 1, channels]
    smooth,  # as y, [channels, 4, 4], if SMOOTHED
    power,  # float32 [n, channels]
    bias,  # [channels]
    then,  # float32 [n, channels], if SCALED
    out,  # as y
    values,  # H * W * channels
    channels,
    height,
    width,
    SMOOTHED: tl.constexpr,
    SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    n = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    held = at < values
    channel = at % channels
    energy = tl.load(power + n * channels + channel, held, 1.0)
    gain = tl.rsqrt(energy + 1e-8) * 1.4142135623730951
    if SMOOTHED:
        row, column = at // channels // width - 1, at // channels % width - 1
        above = y + n * (height + 1) * (width + 1) * channels + channel
        value = tl.zeros((BLOCK,), tl.float32)
        for tap in tl.static_range(16):
            i, j = row + tap // 4, column + tap % 4
            there = held & (i >= 0) & (i <= height) & (j >= 0) & (j <= width)
            near = tl.load(above + (i * (width + 1) + j) * channels, there, 0.0).to(tl.float32)
            value += near * tl.load(smooth + channel * 16 + tap, held, 0.0).to(tl.float32)
    else:
        value = tl.load(y + n * values + at, held, 0.0).to(tl.float32)
    value = value * gain + tl.load(bias + channel, held, 0.0).to(tl.float32)
    value = tl.where(value > 0.0, value, value * 0.2)
    if SCALED:
        value *= tl.load(then + n * channels + channel, held, 0.0)
    tl.store(out + n * values + at, value.to(out.dtype.element_ty), held)


def demodulate(
    y: Tensor, smooth: Tensor | None, power: Tensor, bias: Tensor, then: Tensor | None
) -> Tensor:
    """See `kernels.demodulate.smooth_demodulate`, and `demodulate` where nothing smooths."""
    less = 0 if smooth is None else 1
    n, channels, height, width = y.shape[0], y.shape[1], y.shape[2] - less, y.shape[3] - less
    y = y.contiguous(memory_format=torch.channels_last)
    out = torch.empty(
        (n, channels, height, width),
        dtype=y.dtype,
        device=y.device,
        memory_format=torch.channels_last,
    )
    values = channels * height * width
    _demodulate_kernel[(triton.cdiv(values, _BLOCK), n)](
        y,
        y if smooth is None else smooth.contiguous(),
        power.contiguous(),
        bias,
        power if then is None else then.contiguous(),
        out,
        values,
        channels,
        height,
        width,
        SMOOTHED=smooth is not None,
        SCALED=then is not None,
        BLOCK=_BLOCK,
        num_warps=4 if smooth is None else 8,
    )
    return out
