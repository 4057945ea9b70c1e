"""What a voice does beside phones: loudness, pitch, and the accents a speaker moves to.

Times are video frames of 25 fps unless named otherwise. All levels are relative to the stretch
itself, so nothing depends on a microphone's gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from training.motion.articulation import FPS
from training.speech.phones import RATE_HZ, VOWELS, Phone

Array = NDArray[np.float64]

_HOP = RATE_HZ // FPS
_PAUSE_S = 0.30  # a silence this long ends a phrase (Goldman-Eisler 1968 counts from 250 ms)
_PITCH_HZ = (60.0, 400.0)
_PITCH_RATE = RATE_HZ // 2
_PITCH_WINDOW = 400  # samples at _PITCH_RATE: 50 ms, three periods of 60 Hz
_VOICED = 0.45  # autocorrelation at the lag, over that at none
_APART_S = 0.38  # accents come at most this often
_PROMINENT = 0.55  # standard deviations above the stretch's mean vowel


@dataclass(frozen=True)
class Prosody:
    loudness: Array  # [frames] dB over the mean of the spoken frames; 0 where nothing is said
    talking: Array  # [frames] 1 within phrases, 0 in silences, not smoothed
    accents: Array  # [N, 2] middle in seconds, strength in [0, 1]
    phrase_ends: Array  # [M] seconds


def read_prosody(phones: Sequence[Phone], samples: NDArray[np.float32], frames: int) -> Prosody:
    """Prosody of `samples` (float32 [S] at 16 kHz, clean) spoken as `phones` (without gaps)."""
    level = _levels(samples, frames)
    spoken = _spoken(phones, frames)
    mean = float(level[spoken].mean()) if spoken.any() else 0.0
    loudness = np.where(spoken, level - mean, 0.0)
    return Prosody(
        loudness=loudness,
        talking=_talking(phones, frames),
        accents=_accents(phones, loudness, _pitch(samples, frames), frames),
        phrase_ends=np.array([end for _, end in phrases(phones)]),
    )


def phrases(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """(start, end) in seconds of what is said between pauses."""
    found: list[tuple[float, float]] = []
    for phone in phones:
        if phone.label == "SIL":
            continue
        if found and phone.start_s - found[-1][1] < _PAUSE_S:
            found[-1] = (found[-1][0], phone.end_s)
        else:
            found.append((phone.start_s, phone.end_s))
    return found


def _levels(samples: NDArray[np.float32], frames: int) -> Array:
    """Level per frame in dB, [frames]."""
    held = np.zeros(frames * _HOP, np.float32)
    size = min(len(samples), len(held))
    held[:size] = samples[:size]
    power = np.square(held.reshape(frames, _HOP), dtype=np.float64).mean(1)
    return np.asarray(10.0 * np.log10(power + 1e-8))


def _spoken(phones: Sequence[Phone], frames: int) -> NDArray[np.bool_]:
    middles = (np.arange(frames) + 0.5) / FPS
    starts = np.array([phone.start_s for phone in phones])
    index = np.clip(np.searchsorted(starts, middles, side="right") - 1, 0, len(phones) - 1)
    voiced = np.array([phone.label != "SIL" for phone in phones])
    return np.asarray(voiced[index])


def _talking(phones: Sequence[Phone], frames: int) -> Array:
    talking = np.zeros(frames)
    for start, end in phrases(phones):
        talking[int(start * FPS) : int(np.ceil(end * FPS))] = 1.0
    return talking


def _pitch(samples: NDArray[np.float32], frames: int) -> Array:
    """log2 of the pitch in Hz per frame by autocorrelation, [frames]; NaN where unvoiced."""
    halved = uniform_filter1d(samples, 2)[::2] if len(samples) else np.zeros(2, np.float32)
    hop = _PITCH_RATE // FPS
    padded = np.zeros(frames * hop + _PITCH_WINDOW, np.float32)
    size = min(len(halved), frames * hop)
    padded[_PITCH_WINDOW // 2 - hop // 2 :][:size] = halved[:size]
    windows = np.lib.stride_tricks.sliding_window_view(padded, _PITCH_WINDOW)[::hop][:frames]
    spectrum = np.fft.rfft(windows * np.hanning(_PITCH_WINDOW), 2 * _PITCH_WINDOW)
    power = spectrum.real**2 + spectrum.imag**2
    correlation = np.fft.irfft(power)
    shortest, longest = (int(_PITCH_RATE / hz) for hz in reversed(_PITCH_HZ))
    lags = np.arange(shortest, longest + 1)
    # The window tapers the correlation; a touch of that back, and short periods win ties.
    found = correlation[:, lags] / np.maximum(correlation[:, :1], 1e-9)
    best = found.argmax(1)
    pitch = np.log2(_PITCH_RATE / lags[best])
    return np.where(found.max(1) > _VOICED, pitch, np.nan)


def _accents(phones: Sequence[Phone], loudness: Array, pitch: Array, frames: int) -> Array:
    """Vowels that stand out by loudness, length and pitch: [N, 2]."""
    vowels = [phone for phone in phones if phone.label in VOWELS and phone.middle_s * FPS < frames]
    if len(vowels) < 2:
        return np.zeros((0, 2))
    spans = [(int(v.start_s * FPS), max(int(v.end_s * FPS), int(v.start_s * FPS) + 1))
             for v in vowels]  # fmt: skip
    loud = np.array([loudness[a:b].max() if a < frames else 0.0 for a, b in spans])
    high = np.array([_highest(pitch[a:b]) for a, b in spans])
    known = np.isfinite(high)
    high = np.where(known, high, high[known].mean() if known.any() else 0.0)
    long = np.log(np.array([vowel.length_s for vowel in vowels]))
    score = (0.4 * _standard(loud) + 0.3 * _standard(long) + 0.45 * _standard(high)) / 0.67
    chosen: list[tuple[float, float]] = []
    for index in np.argsort(-score):
        if score[index] < _PROMINENT:
            break
        at = vowels[index].middle_s
        if all(abs(at - other) >= _APART_S for other, _ in chosen):
            chosen.append((at, float(np.clip(score[index] / 2.2, 0.0, 1.0))))
    return np.array(sorted(chosen)).reshape(-1, 2)


def _highest(pitch: Array) -> float:
    known = pitch[np.isfinite(pitch)]
    return float(known.max()) if len(known) else float("nan")


def _standard(values: Array) -> Array:
    return np.asarray((values - values.mean()) / (values.std() + 1e-6))


def smooth(values: Array, sd_s: float) -> Array:
    """A Gaussian of `sd_s` seconds over values per frame."""
    return np.asarray(gaussian_filter1d(values, sd_s * FPS, mode="nearest"))
