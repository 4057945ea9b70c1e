"""Streaming 48 kHz -> 16 kHz, the model's rate. Knows nothing of time or packets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.media import VOICE_FACTOR, VOICE_RATE_HZ

_HALF_WIDTH = 48  # taps each side of the centre, at 48 kHz
DELAY_SAMPLES = _HALF_WIDTH // VOICE_FACTOR
"""How much later a sound is in the output than in the input: 16 samples at 16 kHz, 1 ms."""


def _low_pass() -> NDArray[np.float32]:
    """Kaiser-windowed sinc, 97 taps: flat to 6.8 kHz, -60 dB from 8.6 kHz on."""
    n = np.arange(-_HALF_WIDTH, _HALF_WIDTH + 1)
    cutoff = 7_700 / VOICE_RATE_HZ
    taps = 2 * cutoff * np.sinc(2 * cutoff * n) * np.kaiser(len(n), 6.0)
    normalised: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return normalised


class Decimator:
    """Three samples in, one out; chunked equals whole."""

    def __init__(self) -> None:
        self._taps = _low_pass()
        self._tail = np.zeros(2 * _HALF_WIDTH, np.float32)

    def __call__(self, pcm48: NDArray[np.int16]) -> NDArray[np.float32]:
        """`pcm48` int16 [3 n] at 48 kHz -> float32 [n] at 16 kHz in [-1, 1]."""
        if len(pcm48) % VOICE_FACTOR:
            raise ValueError(f"{len(pcm48)} samples are not a multiple of {VOICE_FACTOR}")
        x = np.concatenate([self._tail, pcm48.astype(np.float32) / 32768.0])
        self._tail = x[len(x) - len(self._tail) :]
        windows = np.lib.stride_tricks.sliding_window_view(x, len(self._taps))
        y: NDArray[np.float32] = windows[::VOICE_FACTOR] @ self._taps
        return np.clip(y, -1.0, 1.0)
