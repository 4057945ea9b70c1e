"""Sounds with known content: clicks and vowels for timing, tones for telling sessions apart."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.media import VOICE_RATE_HZ as RATE_HZ

FORMANTS_HZ = ((730, 90), (1090, 110), (2440, 170))  # an open "ah": frequency, bandwidth


def vowel(seconds: float, pitch_hz: float = 120.0) -> NDArray[np.float32]:
    """An open vowel: a pulse train through three resonators, peak 0.6, at 48 kHz."""
    count = int(seconds * RATE_HZ)
    source = np.zeros(count)
    source[:: int(RATE_HZ / pitch_hz)] = 1.0
    sound = source
    for frequency, bandwidth in FORMANTS_HZ:
        radius = np.exp(-np.pi * bandwidth / RATE_HZ)
        a1, a2 = -2 * radius * np.cos(2 * np.pi * frequency / RATE_HZ), radius**2
        out = np.zeros(count + 2)
        for n in range(count):
            out[n + 2] = sound[n] - a1 * out[n + 1] - a2 * out[n]
        sound = out[2:]
    ramp = np.minimum(1.0, np.arange(count) / (0.005 * RATE_HZ))
    sound = sound * ramp * ramp[::-1]
    return (0.6 * sound / np.abs(sound).max()).astype(np.float32)


def clicks_and_vowels(
    repeats: int, period_s: float = 1.5, vowel_s: float = 0.45, lead_s: float = 0.5
) -> NDArray[np.float32]:
    """Every `period_s`: silence, then a click on which a vowel follows at once."""
    one = np.zeros(int(period_s * RATE_HZ), np.float32)
    start = int(lead_s * RATE_HZ)
    sound = vowel(vowel_s)
    one[start : start + len(sound)] = sound
    one[start : start + 48] += np.float32(0.9) * np.hanning(48).astype(np.float32)
    return np.clip(np.tile(one, repeats), -1, 1)


def tone(frequency_hz: float, seconds: float, level: float = 0.3) -> NDArray[np.float32]:
    """A sine."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (level * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def write_wav(path: Path, samples: NDArray[np.float32], rate_hz: int = RATE_HZ) -> Path:
    """Write float samples in [-1, 1] as 16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
