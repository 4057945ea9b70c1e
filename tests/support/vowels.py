"""Voices without a synthesiser: harmonics under formants."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
OPEN, CLOSE = (750.0, 1_250.0), (350.0, 2_200.0)
"""First two formants of ah and ee."""


def vowel(seconds: float, formants: tuple[float, float] = OPEN) -> NDArray[np.float32]:
    """Harmonics of 125 Hz, [seconds * 16000] at 16 kHz, RMS 0.1."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = np.zeros_like(times)
    for harmonic in range(1, 40):
        hz = 125.0 * harmonic
        gain = sum(1.0 / (1.0 + ((hz - f) / 90.0) ** 2) for f in formants) + 0.01
        sound += gain * np.sin(2 * math.pi * hz * times + harmonic)
    return (sound * (0.1 / np.sqrt(np.mean(np.square(sound))))).astype(np.float32)


def babble(syllables: int) -> NDArray[np.float32]:
    """Open and close vowels of 0.2 s each, in turn, a pause of 80 ms after each pair."""
    pause = np.zeros(round(0.08 * RATE_HZ), np.float32)
    return np.concatenate([vowel(0.2), vowel(0.2, CLOSE), pause] * syllables)
