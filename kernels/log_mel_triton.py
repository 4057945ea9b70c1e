"""A program takes 16 windows and 16 bands: the spectrum in the bins that those bands hear, its
power, and the bands' sums, without a pass through memory.

The transform is a sum over samples, not a fast one: of a window of 400 samples only the bins that
are heard, 32 at a time, in products that a multiprocessor computes at its full rate. For 64 slots
with 4 windows each that is 116 MFLOP and 1.2 MB, most of it tables: 1.7 us on an H100 or an
H200 by their float32 rate, and the highest 16 bands, with half of all bins, take a program about
6 us. What it saves is launches: PyTorch takes seven, and a plan for the fast transform.
"""

from __future__ import annotations

import math
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.log_mel import BANDS_AT_ONCE

_WINDOWS = 16  # the least that a product takes, as are the bands
_BINS = 32
_SAMPLES = 32


@triton.jit  # type: ignore[untyped-decorator]
def _log_mel_kernel(  # type: ignore[no-untyped-def]
    sound,  # [B, samples]
    window,  # [size]
    waves,  # [size, 2, count]: cosines and sines
    weights,  # [count, bands]
    bins,  # int32 [groups, 2]
    out,  # [B, each, bands]
    floor,
    windows,  # B * each
    each,
    samples,
    step,
    size,
    count,
    bands,
    WINDOWS: tl.constexpr,
    BANDS: tl.constexpr,
    BINS: tl.constexpr,
    SAMPLES: tl.constexpr,
):
    number = tl.program_id(0) * WINDOWS + tl.arange(0, WINDOWS)
    band = tl.program_id(1) * BANDS + tl.arange(0, BANDS)
    begin = (number // each).to(tl.int64) * samples + (number % each) * step
    total = tl.zeros((WINDOWS, BANDS), tl.float32)
    last = tl.load(bins + 2 * tl.program_id(1) + 1)
    for first in range(tl.load(bins + 2 * tl.program_id(1)), last, BINS):
        bin = first + tl.arange(0, BINS)
        real = tl.zeros((WINDOWS, BINS), tl.float32)
        imaginary = tl.zeros((WINDOWS, BINS), tl.float32)
        for start in range(0, size, SAMPLES):
            at = start + tl.arange(0, SAMPLES)
            inside = (number < windows)[:, None] & (at < size)[None, :]
            x = tl.load(sound + begin[:, None] + at[None, :], inside, 0.0)
            x *= tl.load(window + at, at < size, 0.0)[None, :]
            wave = waves + at[:, None] * (2 * count) + bin[None, :]
            wanted = (at < size)[:, None] & (bin < last)[None, :]
            real = tl.dot(x, tl.load(wave, wanted, 0.0), real, input_precision="ieee")
            sine = tl.load(wave + count, wanted, 0.0)
            imaginary = tl.dot(x, sine, imaginary, input_precision="ieee")
        power = real * real + imaginary * imaginary
        heard = (bin < last)[:, None] & (band < bands)[None, :]
        weight = tl.load(weights + bin[:, None] * bands + band[None, :], heard, 0.0)
        total = tl.dot(power, weight, total, input_precision="ieee")
    place = number.to(tl.int64)[:, None] * bands + band[None, :]
    held = (number < windows)[:, None] & (band < bands)[None, :]
    tl.store(out + place, tl.log(total + floor), held)


def log_mel(
    sound: Tensor, window: Tensor, weights: Tensor, bins: Tensor, *, step: int, floor: float
) -> Tensor:
    """See `kernels.log_mel.log_mel`."""
    slots, samples = sound.shape
    size, (count, bands) = len(window), weights.shape
    each = (samples - size) // step + 1
    out = sound.new_empty(slots, each, bands)
    grid = (triton.cdiv(slots * each, _WINDOWS), len(bins))
    _log_mel_kernel[grid](
        sound.contiguous(),
        window,
        _waves(size, count, sound.device),
        weights.contiguous(),
        bins,
        out,
        floor,
        slots * each,
        each,
        samples,
        step,
        size,
        count,
        bands,
        WINDOWS=_WINDOWS,
        BANDS=BANDS_AT_ONCE,
        BINS=_BINS,
        SAMPLES=_SAMPLES,
        num_warps=4,
    )
    return out


@cache
def _waves(size: int, count: int, device: torch.device) -> Tensor:
    """Cosines and sines of `count` bins, float32 [size, 2, count]; made once, before a capture."""
    with torch.inference_mode(False):
        turns = torch.arange(size, dtype=torch.float64)[:, None] * torch.arange(count)
        angle = turns.remainder(2 * (count - 1)) * (math.pi / (count - 1))
        return torch.stack([angle.cos(), angle.sin()], 1).float().to(device)
