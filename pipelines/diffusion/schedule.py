"""Noise levels, and the deterministic step from one to the next.

A noisy motion is alpha * x0 + sigma * noise. AniTalker: 1000 levels of a linear beta schedule
(DDPM, Ho et al. 2020), walked by DDIM (Song et al. 2020, arXiv 2010.02502, eta 0). Flow matching
(Lipman et al. 2022, arXiv 2210.02747): alpha = 1 - t, sigma = t; the same step is then Euler's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pipelines.diffusion.config import Objective
from pipelines.diffusion.generator import Condition, MotionGenerator

DDPM_STEPS = 1000


@dataclass(frozen=True)
class Level:
    """How noisy, and what the network is told of it."""

    alpha: float
    sigma: float
    time: float


CLEAN = Level(1.0, 0.0, 0.0)


def ddpm_alphas() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The cumulative product of 1 - beta, float64 [1000]."""
    return np.cumprod(1.0 - np.linspace(1e-4, 0.02, DDPM_STEPS))


def ddim_levels(steps: int) -> tuple[Level, ...]:
    """Levels from the noisiest down, then `CLEAN`: strides of the published sampler.

    Raises:
        ValueError: no stride gives that many steps.
    """
    for stride in range(1, DDPM_STEPS):
        if len(range(0, DDPM_STEPS, stride)) == steps:
            break
    else:
        counts = {len(range(0, DDPM_STEPS, stride)) for stride in range(1, DDPM_STEPS)}
        near = sorted(counts, key=lambda n: abs(n - steps))[:2]
        raise ValueError(f"{steps} steps cannot be strided evenly; nearest: {sorted(near)}")
    bars = ddpm_alphas()
    times = range(0, DDPM_STEPS, stride)
    noisy = [Level(math.sqrt(bars[t]), math.sqrt(1.0 - bars[t]), float(t)) for t in reversed(times)]
    return (*noisy, CLEAN)


def flow_levels(times: Sequence[float]) -> tuple[Level, ...]:
    """Levels at falling `times` in (0, 1], then `CLEAN`."""
    if not times or any(a <= b for a, b in pairwise((1.0 + 1e-9, *times, 0.0))):
        raise ValueError(f"times must fall from at most 1 to above 0, got {list(times)}")
    return (*(Level(1.0 - t, t, t) for t in times), CLEAN)


def to_sample(noisy: Tensor, out: Tensor, level: Level, objective: Objective) -> Tensor:
    """The clean motion that the network's output stands for, clamped to [-1, 1]."""
    if objective == "epsilon":
        x0 = noisy * (1.0 / level.alpha) - out * (level.sigma / level.alpha)
    elif objective == "velocity":  # d(noisy)/dt = noise - x0
        x0 = (noisy - level.sigma * out) / (level.alpha + level.sigma)
    else:
        x0 = out
    return x0.clamp(-1.0, 1.0)


def less_noisy(
    noisy: Tensor, x0: Tensor, level: Level, following: Level, objective: Objective
) -> Tensor:
    """From one level to the next below, with the noise that made `noisy` of the clean `x0`."""
    if objective != "epsilon":
        noise = (noisy - level.alpha * x0) / level.sigma
        return following.alpha * x0 + following.sigma * noise
    # In the order and the rounding of the published sampler, whose coefficients below come from a
    # float32 alpha^2: the next x0 magnifies an error in the last bit up to 150-fold.
    noise = (noisy * (1.0 / level.alpha) - x0) / (level.sigma / level.alpha)
    bar = np.float32(following.alpha**2)
    return x0 * float(np.sqrt(bar)) + noise * float(np.sqrt(np.float32(1.0) - bar))


@dataclass(frozen=True)
class Known:
    """Frames of a window that are not to be generated.

    motion: [B, T, D]; where: bool [T] or [B, T]; elsewhere `motion` is ignored. hidden: how many
    of its first channels the network is not shown.
    """

    motion: Tensor
    where: Tensor
    hidden: int = 0


def without(motion: Tensor, hidden: int) -> Tensor:
    """`motion` [..., D] with 0 in its first `hidden` channels."""
    if not hidden:
        return motion
    return torch.cat([torch.zeros_like(motion[..., :hidden]), motion[..., hidden:]], -1)


def sample(
    model: MotionGenerator,
    condition: Condition,
    noise: Tensor,
    levels: Sequence[Level],
    known: Known | None = None,
) -> Tensor:
    """Motion codes [B, T, D] in [-1, 1] from `noise` [B, T, D] (unit normal).

    Known frames are written into the noisy window before every step, with their own noise at that
    step's level, or clean and at time 0 where the model was trained so.
    """
    x = noise
    clean = model.config.known_clean
    for level, following in pairwise(levels):
        time = torch.full((1, 1), level.time, dtype=x.dtype, device=x.device)
        if known is not None:
            where = known.where[..., None]
            held = without(known.motion, known.hidden)
            if clean:
                time = torch.where(known.where.view(-1, x.shape[1]), 0.0, time)
            else:
                held = level.alpha * held + level.sigma * noise
            x = torch.where(where, held, x)
        x0 = to_sample(x, model(x, time, condition), level, model.config.objective)
        if following.sigma == 0.0:
            x = x0
        else:
            x = less_noisy(x, x0, level, following, model.config.objective)
    return x if known is None else torch.where(known.where[..., None], known.motion, x)
