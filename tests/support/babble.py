"""Somebody who talks without words: vowels, pitch and loudness change, and there are pauses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000


def babble(seconds: float, seed: int, pitch_hz: float = 120.0) -> NDArray[np.float64]:
    """float64 [n] at 48 kHz, of RMS 1 where there is a voice; seeds are different speakers."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(round(seconds * RATE_HZ))
    at = 0
    while at < len(sound):
        for _ in range(rng.integers(4, 9)):
            syllable = _syllable(rng, pitch_hz)
            part = sound[at : at + len(syllable)]
            part += syllable[: len(part)]
            at += len(syllable)
        at += round(rng.uniform(0.2, 0.6) * RATE_HZ)
    loud = sound[np.abs(sound) > 0.05 * np.abs(sound).max()]
    return np.asarray(sound / np.sqrt(np.mean(loud**2)))


def _syllable(rng: np.random.Generator, pitch_hz: float) -> NDArray[np.float64]:
    n = round(rng.uniform(0.1, 0.25) * RATE_HZ)
    bend = rng.uniform(-0.2, 0.2)
    pitch = pitch_hz * rng.uniform(0.85, 1.2) * (1 + bend * np.linspace(-1, 1, n))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    formants = rng.uniform((250, 800, 2_200), (850, 2_100, 3_200))
    voice = np.zeros(n)
    for harmonic in range(1, int(4_500 / pitch_hz)):
        gain = sum(
            1 / (1 + ((harmonic * pitch_hz - f) / (60 + 0.06 * f)) ** 2) / (1 + k)
            for k, f in enumerate(formants)
        )
        voice += gain * np.sin(harmonic * phase)
    hiss = rng.standard_normal(n) * np.exp(-np.arange(n) / (0.02 * RATE_HZ)) * rng.uniform(0, 0.5)
    shape = np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.025 * RATE_HZ))
    return np.asarray((voice + hiss) * shape * rng.uniform(0.5, 1.2))
