"""Randomness that is a function of (seed, channel, counter), and smooth noise made of it.

Nothing is drawn from a generator, so a stream's motion does not depend on its neighbours in the
batch, on how its audio was cut, or on what ran before.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFF_FFFF

# Rows: powers 0..3 of the fraction; columns: the four lattice points. Uniform cubic B-spline.
_SPLINE = torch.tensor(
    [[1.0, 4.0, 1.0, 0.0], [-3.0, 0.0, 3.0, 0.0], [3.0, -6.0, 3.0, 0.0], [-1.0, 3.0, -3.0, 1.0]]
).div(6.0)
_SPLINE_SD = (151.0 / 315.0 / 12.0) ** 0.5  # of a spline over uniform draws in [0, 1)


def mix(x: Tensor) -> Tensor:
    """Scramble int64 values into [0, 2^32): the `lowbias32` finaliser of Chris Wellons."""
    x = x & _MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


def seed_keys(seeds: Tensor) -> Tensor:
    """Keys for `uniform`, int64 of the same shape, from any int64 seeds."""
    return mix(mix(seeds) ^ mix(seeds >> 32) + 0x9E3779B9)


def uniform(keys: Tensor, channels: Tensor, counters: Tensor) -> Tensor:
    """Draws in [0, 1), float32 [B, N].

    keys int64 [B], channels int64 [N] (a scrambled number per column), counters int64 [B, N].
    """
    x = mix((keys[:, None] ^ channels) + counters * 0x9E3779B1)
    return (x >> 8).float() * 2.0**-24


def spline(draws: Tensor, fraction: Tensor, powers: Tensor, basis: Tensor) -> Tensor:
    """Noise of zero mean and unit deviation between lattice points, float32 [B, C].

    draws [B, C, 4] in [0, 1) at the lattice points around, fraction [B, C] in [0, 1) between the
    second and third; powers and basis from `spline_tables`.
    """
    weights = (fraction[..., None] ** powers) @ basis
    return (draws * weights).sum(-1) - 0.5 / _SPLINE_SD


def spline_tables(device: torch.device | str) -> tuple[Tensor, Tensor]:
    """The exponents [4] and the scaled basis [4, 4] that `spline` takes."""
    powers = torch.arange(4, dtype=torch.float32, device=device)
    return powers, (_SPLINE / _SPLINE_SD).to(device)
