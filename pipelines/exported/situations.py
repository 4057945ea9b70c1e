"""What models are tried with: made-up talk in a few slots that pause, restart and are cut off.

Two models of one kind (PyTorch's and a graph of it) are stepped side by side over it, to see that
they agree and how long each takes.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pipelines.motion.controls import CONTROLS
from pipelines.motion.model import MotionModel
from pipelines.pipeline import HOP_SAMPLES, SAMPLE_RATE_HZ
from pipelines.streaming import named_tensors

_LEVELS = (0.0, 0.002, 0.05, 0.2)  # of the sound; each lasts for `_LASTS` hops
_LASTS = 7


class Situation(NamedTuple):
    """One hop of all slots. Resets and clears come before the step."""

    features: Tensor  # as of the model's `features`
    speech: Tensor  # bool [B]
    controls: Tensor  # float32 [B, controls]
    active: Tensor  # bool [B]
    reset: Tensor  # bool [B]
    clear: Tensor  # bool [B]


def situations(
    model: MotionModel, slots: int, hops: int, device: torch.device | str = "cpu", seed: int = 0
) -> Iterator[Situation]:
    """Hops of talk, pauses and noise, a fifth of them inactive, some after a reset or a clear."""
    chance = torch.Generator().manual_seed(seed)
    features = model.features()
    state = features.init_state(slots, device)
    level = torch.zeros(slots, 1)
    pitch = 90.0 + 130.0 * torch.rand(slots, 1, generator=chance)
    for hop in range(hops):
        if hop % _LASTS == 0:
            picked = torch.randint(len(_LEVELS), (slots, 1), generator=chance)
            level = torch.tensor(_LEVELS)[picked]
        flags = torch.rand(5, slots, generator=chance)
        active = (flags[0] < 0.8).to(device)
        sound = level * _voiced(pitch, hop, chance)
        yield Situation(
            features.step(sound.to(device), state, active),
            ((level[:, 0] > 0.01) & (flags[1] < 0.9)).to(device),
            (2.0 * torch.rand(slots, len(CONTROLS), generator=chance)).to(device),
            active,
            (flags[2] < 0.005).to(device),
            (flags[3] < 0.02).to(device),
        )


def _voiced(pitch: Tensor, hop: int, chance: torch.Generator) -> Tensor:
    """Harmonics and breath, float32 [B, 640]."""
    t = (torch.arange(HOP_SAMPLES) + hop * HOP_SAMPLES) / SAMPLE_RATE_HZ
    tones = sum(torch.sin(2.0 * math.pi * pitch * k * t) / k for k in range(1, 12))
    return 0.3 * tones + 0.05 * torch.randn(len(pitch), HOP_SAMPLES, generator=chance)


@dataclass(frozen=True)
class Difference:
    """How far two models were apart over all hops."""

    motion: float
    """The largest absolute difference of active slots, in units of the motion; infinite if one
    was no number."""
    state: str
    """The first integer or flag of the states that differed at all, by name; else empty. Seeds,
    frame numbers and positions are such: the noise hangs on them."""


@torch.inference_mode()
def compare(
    model: MotionModel,
    other: MotionModel,
    hops: int,
    *,
    slots: int = 3,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Difference:
    """Step two models of one kind side by side, each on a state of its own."""
    held, state = model.init_state(slots, device), other.init_state(slots, device)
    largest, differs = torch.zeros((), device=device), ""
    for n, now in enumerate(situations(model, slots, hops, device, seed)):
        motion = []
        for each, of_its_own in ((model, held), (other, state)):
            of_its_own.clear(now.clear)
            if now.reset.any():
                each.set_seed(of_its_own, now.reset, torch.full((slots,), n, device=device))
                of_its_own.reset(now.reset)
            motion.append(each.step(now.features, now.speech, now.controls, of_its_own, now.active))
        apart = (motion[0] - motion[1]).abs().nan_to_num(nan=torch.inf)
        largest = torch.maximum(largest, apart.masked_fill(~now.active[:, None], 0.0).max())
        ours, theirs = named_tensors(held), named_tensors(state)
        ours["behaviour"], theirs["behaviour"] = model.behaviour(held), other.behaviour(state)
        for name, value in ours.items():
            if not value.is_floating_point() and not torch.equal(value, theirs[name]):
                differs = differs or name
    return Difference(float(largest), differs)


@torch.inference_mode()
def time_steps(
    models: Mapping[str, MotionModel], hops: int, *, slots: int, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """Milliseconds of a step of each model, medians, one hop of each in turn.

    On a CPU the time of this thread alone, which computes everything: other work does not count.
    On a GPU wall time.
    """
    first = next(iter(models.values()))
    states = {name: model.init_state(slots, device) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    on_cpu = torch.device(device).type == "cpu"
    clock = time.thread_time if on_cpu else time.perf_counter
    active = torch.ones(slots, dtype=torch.bool, device=device)
    for now in situations(first, slots, hops, device):
        for name, model in models.items():
            begin = clock()
            model.step(now.features, now.speech, now.controls, states[name], active)
            if not on_cpu:
                torch.cuda.synchronize(device)
            times[name].append((clock() - begin) * 1000.0)
    # The first pay for allocations and caches.
    return {name: statistics.median(found[len(found) // 5 :]) for name, found in times.items()}
