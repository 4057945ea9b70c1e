"""Clips with phone times and lips, and an untrained motion network, for benchmarks to measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pipelines.motion.diffusion import network_metadata
from pipelines.motion.network import MotionNetwork, NetworkConfig
from training.speech.phones import RATE_HZ, Phone

TEXT = "AA P IY T AE M AA B OW S AY P AA N AE M EH D AA"


def phones_of(text: str, silence_s: float = 0.8, each_s: float = 0.12) -> tuple[Phone, ...]:
    """Phones of equal length between two silences."""
    said = [
        Phone(p, silence_s + i * each_s, silence_s + (i + 1) * each_s)
        for i, p in enumerate(text.split())
    ]
    end = said[-1].end_s
    return (Phone("SIL", 0.0, silence_s), *said, Phone("SIL", end, end + silence_s))


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Noise in syllables, [S] at 16 kHz, whole hops."""
    size = round(seconds * RATE_HZ) // 640 * 640
    noise = np.random.default_rng(seed).standard_normal(size)
    syllables = np.maximum(np.sin(2.0 * np.pi * 4.0 * np.arange(size) / RATE_HZ), 0.0)
    return np.asarray(0.2 * noise * syllables, np.float32)


def untrained(path: Path) -> Path:
    """Write the weights of a small network that has learnt nothing; returns their file."""
    torch.manual_seed(0)
    network = MotionNetwork(NetworkConfig(dim=32, blocks=1, heads=2, front=16, mouth=16))
    held = {name: value.contiguous() for name, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(held, path, network_metadata(network))
    return path
