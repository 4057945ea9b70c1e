"""Sounds that the tests speak."""

import numpy as np

from benchmarks.service.signals import clicks_and_vowels, tone

SILENCE = np.zeros(48_000, np.int16)
SPEECH = (clicks_and_vowels(2) * 20_000).astype(np.int16)


def hum(frequency_hz: float) -> np.ndarray:
    """A loopable second of one tone."""
    return (tone(frequency_hz, 1.0) * 32_767).astype(np.int16)
