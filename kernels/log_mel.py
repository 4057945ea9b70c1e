"""Log-mel energies of windows of sound."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels import reference
from kernels.bounds import Work
from kernels.dispatch import use_triton

BANDS_AT_ONCE = 16
"""Bands that share a stretch of bins."""


def log_mel(
    sound: Tensor, window: Tensor, weights: Tensor, bins: Tensor, *, step: int, floor: float
) -> Tensor:
    """Natural log of the mel band power of every window that fits, one each `step` samples.

    Args:
        sound: float32 [B, W + (n - 1) * step].
        window: float32 [W], W at most 2 * (F - 1): shorter windows are padded with zeros.
        weights: float32 [F, bands], of the F bins of a spectrum.
        bins: int32 [groups, 2] of `mel_bins`.
        floor: power that is added before the logarithm.

    Returns:
        float32 [B, n, bands].
    """
    size, (count, bands) = len(window), weights.shape
    if sound.dim() != 2 or sound.shape[1] < size or (sound.shape[1] - size) % step:
        raise ValueError(
            f"sound must be [B, {size} + n * {step}], whole steps, got {tuple(sound.shape)}"
        )
    if size > 2 * (count - 1):
        raise ValueError(f"a window of {size} samples does not fit spectra of {count} bins")
    groups = -(-bands // BANDS_AT_ONCE)
    if bins.shape != (groups, 2):
        raise ValueError(f"bins must be [{groups}, 2] for {bands} bands, got {tuple(bins.shape)}")
    if use_triton(sound, weights, as_they_lie=(window, bins)):
        from kernels.log_mel_triton import log_mel as launch

        return launch(sound, window, weights, bins, step=step, floor=floor)
    return reference.log_mel(sound, window, weights, step=step, floor=floor)


def mel_bins(weights: Tensor) -> Tensor:
    """The first bin, and the one after the last, that each 16 bands of `weights` [F, bands] hear
    anything of: int32 [groups, 2]. Reads values: call it once, outside of a step."""
    found = []
    for band in range(0, weights.shape[1], BANDS_AT_ONCE):
        heard = weights[:, band : band + BANDS_AT_ONCE].any(1).nonzero()[:, 0]
        found.append([int(heard[0]), int(heard[-1]) + 1] if len(heard) else [0, 0])
    return torch.tensor(found, dtype=torch.int32, device=weights.device)


def work(
    slots: int, *, windows: int = 4, size: int = 400, bins: int = 257, bands: int = 80
) -> Work:
    """Of a hop of `slots`, by the sums of a discrete Fourier transform as the kernel takes them."""
    sound = slots * (size + (windows - 1) * 160)
    tables = 2 * size * bins + bins * bands + size
    written = slots * windows * bands
    flops = slots * windows * (4 * size * bins + 3 * bins + 2 * bins * bands)
    return Work(4 * (sound + tables + written), flops)
