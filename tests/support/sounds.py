"""Sounds that the tests speak."""

import numpy as np

from benchmarks.service.signals import clicks_and_vowels, tone

SILENCE = np.zeros(48_000, np.int16)
SPEECH = (clicks_and_vowels(2) * 20_000).astype(np.int16)


def hum(frequency_hz: float) -> np.ndarray:
    """A loopable second of one tone."""
    return (tone(frequency_hz, 1.0) * 32_767).astype(np.int16)


def buzz(packets: int) -> np.ndarray:
    """What Opus takes for speech, int16 [packets * 960] at 48 kHz."""
    t = np.arange(packets * 960) / 48_000
    phase = np.cumsum(120 + 20 * np.sin(2 * np.pi * 2 * t)) / 48_000
    x = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 20))
    return (4_000 * x * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))).astype(np.int16)
