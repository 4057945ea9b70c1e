"""Parameters and inputs of the parity fixtures, each a pure function of its name.

A tensor's values are normal draws seeded by the CRC-32 of its key, scaled and shifted by what kind
of parameter it is. So no weights need to be kept: an implementation with the published key layout
fills itself and must compute the numbers in `tests/fixtures`.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FIXTURES = Path(__file__).parents[1] / "fixtures"

Entry = tuple[str, tuple[int, ...], float]  # kind, shape, gain


def normal(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard-normal float64 array, fixed by its name."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return np.asarray(generator.standard_normal(shape), dtype=np.float64)


def keys_of(model: str, folder: str = "anitalker") -> dict[str, Entry]:
    """Published key -> what it is, in published order."""
    table = json.loads((FIXTURES / folder / "keys.json").read_text())[model]
    return {
        key: (kind, tuple(shape), gain[0] if gain else 1.0)
        for key, (kind, shape, *gain) in table.items()
    }


def filled(key: str, entry: Entry) -> Tensor:
    """The tensor of one key: float32, or an int64 zero for a counter."""
    kind, shape, gain = entry
    if kind == "counter":
        return torch.zeros(shape, dtype=torch.int64)
    draw = normal(key, shape)
    values: dict[str, Callable[[], np.ndarray]] = {
        "weight": lambda: gain / math.sqrt(math.prod(shape[1:])) * draw,
        "eq_weight": lambda: gain * draw,  # scaled by its layer
        "logits": lambda: gain * draw,
        "buffer": lambda: gain * np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64.0,
        "norm_weight": lambda: 1.0 + 0.1 * gain * draw,
        "bias": lambda: 0.1 * gain * draw,
        "running_mean": lambda: 0.1 * gain * draw,
        "running_var": lambda: 1.0 + 0.1 * gain * np.abs(draw),
    }
    return torch.from_numpy(np.asarray(values[kind]()).astype(np.float32))


def fill(model: str, folder: str = "anitalker") -> dict[str, Tensor]:
    """The state of one published network under the fixture formula."""
    return {key: filled(key, entry) for key, entry in keys_of(model, folder).items()}


def stage2_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a published stage-2 file holds: two branches, of which `ema_model` counts, and noise.

    The other branch is filled with a constant, so reading the wrong one shows.
    """
    checkpoint = {f"model.{key}": torch.full_like(value, 3) for key, value in state.items()}
    checkpoint |= {f"ema_model.{key}": value for key, value in state.items()}
    checkpoint["x_T"] = torch.zeros(32, 3, 256, 256)
    return checkpoint


def wave(name: str, samples: int, rate_hz: int = 16_000) -> np.ndarray:
    """Like speech, float32 [samples]: a gliding buzz, 4 Hz syllables, a gap of exact zeros."""
    times = np.arange(samples, dtype=np.float64) / rate_hz
    pitch_hz = 120 + 30 * np.sin(2 * np.pi * 0.7 * times)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    sound = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 13))
    sound = sound * 0.12 * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * times - 1.0))
    sound += 0.01 * normal(name, (samples,))
    middle = samples // 2
    sound[middle - 800 : middle + 800] = 0.0
    return np.clip(sound, -0.999, 0.999).astype(np.float32)


def fixture(name: str, folder: str = "anitalker") -> dict[str, np.ndarray]:
    """The arrays of one fixture file."""
    with np.load(FIXTURES / folder / f"{name}.npz") as arrays:
        return dict(arrays)


def relative_error(found: Tensor | np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest magnitude expected; shapes must agree."""
    values = found.detach().cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
    if values.shape != expected.shape:
        raise AssertionError(f"shape {values.shape}, expected {expected.shape}")
    difference = np.abs(values.astype(np.float64) - expected.astype(np.float64)).max()
    return float(difference / np.abs(expected).max())
