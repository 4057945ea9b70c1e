"""Sound as another mouth, room and microphone would give it: random changes of windows of rows.

On log-mel rows as `Hearing` makes them, 20 dB to the unit, 80 bands; one draw for each window. Many
voices are what a network needs to follow one that it never heard, and few can be had.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.motion.hearing import LOWEST

_WARP = 0.15  # of the band axis: other vocal tracts (Jaitly and Hinton 2013)
_BEND = 0.008  # of it, twice: parts of the tract that differ
_COLOUR = 0.1  # 2 dB: deviation of each of the terms of a frequency response
_TERMS = 4
_CONTRAST = 0.08  # of the distance from the loudest
_BLUR = 5  # bands
_NOISE = 2.6  # above the lowest: the loudest steady noise
_MASKED = (14, 14)  # bands hidden at most, twice, and rows, once (SpecAugment, Park et al. 2019)
_MASKED_ROWS = 4
_POWER = 2.0 * math.log(10.0)  # natural log of power to the unit


class Variation:
    """Draws by `chance`; rows float32 [B, T, bands] in, the same out."""

    def __init__(self, chance: np.random.Generator) -> None:
        self.chance = chance

    def __call__(self, rows: Tensor) -> Tensor:
        changes = (self._tract, self._colour, self._sharpness, self._noise, self._hide)
        for change in changes:
            rows = change(rows)
        return rows.clamp_min(LOWEST)

    def _draw(self, *shape: int) -> Tensor:
        """Uniform in [0, 1)."""
        return torch.from_numpy(self.chance.random(shape, np.float32))

    def _tract(self, rows: Tensor) -> Tensor:
        """Stretch the band axis, each part of it a little differently."""
        count, _, bands = rows.shape
        place = _axis(bands)
        warp, low, high = 2.0 * self._draw(3, count, 1) - 1.0
        bend = low * torch.sin(math.pi * place) + high * torch.sin(2.0 * math.pi * place)
        source = (place * (1.0 + _WARP * warp) + _BEND * bend) * bands
        source = source.clamp(0.0, bands - 1.001)
        left = source.long()[:, None].expand(-1, rows.shape[1], -1)
        share = (source - source.floor())[:, None]
        return torch.lerp(rows.gather(2, left), rows.gather(2, left + 1), share)

    def _colour(self, rows: Tensor) -> Tensor:
        """Another frequency response, and more or less contrast."""
        count, _, bands = rows.shape
        terms = torch.arange(1, _TERMS + 1, dtype=torch.float32)
        shapes = torch.cos(terms[:, None] * math.pi * _axis(bands)) / terms.sqrt()[:, None]
        heights = torch.from_numpy(self.chance.normal(0.0, _COLOUR, (count, _TERMS)))
        contrast = 1.0 + _CONTRAST * (2.0 * self._draw(count, 1, 1) - 1.0)
        return 1.0 - (1.0 - rows) * contrast + (heights.float() @ shapes)[:, None]

    def _sharpness(self, rows: Tensor) -> Tensor:
        """Blur the harmonics of some: a higher or a breathier voice."""
        blurred = F.avg_pool1d(rows, _BLUR, 1, _BLUR // 2, count_include_pad=False)
        return torch.lerp(rows, blurred, (1.5 * self._draw(len(rows), 1, 1) - 0.5).clamp_min(0.0))

    def _noise(self, rows: Tensor) -> Tensor:
        """A steady noise of some colour below more than half of them."""
        level, slope = self._draw(2, len(rows), 1)
        floor = LOWEST + _NOISE * (1.6 * level - 0.6)
        floor = floor + (2.0 * slope - 1.0) * (_axis(rows.shape[2]) - 0.5)
        return torch.logaddexp(rows * _POWER, (floor * _POWER)[:, None]) / _POWER

    def _hide(self, rows: Tensor) -> Tensor:
        """Hide groups of bands and a few rows."""
        count, length, bands = rows.shape
        for most in _MASKED:
            rows = torch.where(self._group(count, bands, most)[:, None], LOWEST, rows)
        return torch.where(self._group(count, length, _MASKED_ROWS)[..., None], LOWEST, rows)

    def _group(self, count: int, size: int, most: int) -> Tensor:
        """Neighbours on an axis, none in half of the windows: bool [B, size]."""
        low, width = self._draw(2, count, 1)
        place = torch.arange(size, dtype=torch.float32)
        first = low * size
        hidden: Tensor = (place >= first) & (place < first + (2.0 * width - 1.0) * most)
        return hidden


def _axis(bands: int) -> Tensor:
    return torch.arange(bands, dtype=torch.float32) / bands
