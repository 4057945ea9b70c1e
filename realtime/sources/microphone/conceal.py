"""Hiding what the network did to a voice: gaps filled, small surpluses taken out, at 48 kHz mono.

A gap continues the last pitch period and fades to silence; a surplus is removed by overlapping
a stretch of sound with itself one period later. Both work on int16 arrays and know no time.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from realtime.media import VOICE_RATE_HZ

_MIN_LAG = VOICE_RATE_HZ // 400  # 2.5 ms
_MAX_LAG = VOICE_RATE_HZ * 15 // 1000
_COARSE = 6  # the pitch search runs at 8 kHz, then is refined
_HISTORY = 3 * _MAX_LAG
_HOLD = VOICE_RATE_HZ * 15 // 1000  # full level this long into a gap
_FADED = VOICE_RATE_HZ * 60 // 1000  # silent from here on
_JOIN = VOICE_RATE_HZ * 4 // 1000  # cross-fade back to real sound
_OVERLAP = VOICE_RATE_HZ * 5 // 2000  # cross-fade of a compression, 2.5 ms

Pcm = NDArray[np.int16]


def best_lag(x: NDArray[np.float32], low: int, high: int, window: int) -> tuple[int, float]:
    """Lag in [low, high] at which the last `window` samples of `x` repeat best, and how well.

    `x` float32 [n], n >= high + window. Returns (samples, normalised correlation in [-1, 1]).
    """
    target = x[len(x) - window :]
    past = x[len(x) - window - high : len(x) - low]
    products = np.correlate(past, target, mode="valid")  # index i is lag high - i
    energy = np.convolve(past * past, np.ones(window, np.float32), mode="valid")
    scores = products / np.sqrt(energy * float(target @ target) + 1.0)
    best = int(np.argmax(scores))
    return high - best, float(scores[best])


def pitch_lag(history: NDArray[np.float32]) -> int:
    """Pitch period at the end of `history` (float32, 48 kHz), in samples."""
    coarse = history[len(history) % _COARSE :].reshape(-1, _COARSE).mean(axis=1)
    lag, _ = best_lag(coarse, _MIN_LAG // _COARSE, _MAX_LAG // _COARSE, _MAX_LAG // _COARSE)
    centre = lag * _COARSE
    low = max(_MIN_LAG, centre - _COARSE)
    return best_lag(history, low, min(_MAX_LAG, centre + _COARSE), _MAX_LAG)[0]


def compress(pcm: Pcm, surplus: int, *, at_pitch: bool) -> tuple[Pcm, int]:
    """Shorten `pcm` (int16 [n]) by up to `surplus` samples -> (int16 [n - cut], cut).

    `at_pitch` cuts whole pitch periods only, so it may run through speech; otherwise the cut is
    exact, for pauses. Returns a cut of 0 when nothing fitting can be cut.
    """
    x = pcm.astype(np.float32)
    longest = min(surplus, len(pcm) - _OVERLAP)
    if at_pitch:
        longest = min(longest, len(pcm) // 2)
        if longest < _MIN_LAG:
            return pcm, 0
        lag, score = best_lag(x, _MIN_LAG, longest, len(pcm) - longest)
        if score < 0.5:
            return pcm, 0
        longest = lag
    if longest <= 0:
        return pcm, 0
    fade = np.linspace(0.0, 1.0, _OVERLAP, endpoint=False, dtype=np.float32)
    joint = x[:_OVERLAP] * (1.0 - fade) + x[longest : longest + _OVERLAP] * fade
    shorter = np.concatenate([joint.round().astype(np.int16), pcm[longest + _OVERLAP :]])
    return shorter, longest


class Concealer:
    """Turns a stretch of sound with holes into one without; keeps state from call to call."""

    def __init__(self) -> None:
        self._history = np.zeros(_HISTORY, np.float32)
        self._period: NDArray[np.float32] | None = None  # being repeated while in a gap
        self._gap = _FADED  # samples since the last real one, up to _FADED

    def __call__(self, pcm: Pcm, present: NDArray[np.bool_]) -> Pcm:
        """`pcm` int16 [n], `present` bool [n] -> int16 [n] without holes."""
        if self._gap == 0 and bool(present.all()):
            self._remember(pcm.astype(np.float32))
            return pcm.copy()
        out = np.empty(len(pcm), np.float32)
        edges = [0, *(np.flatnonzero(np.diff(present)) + 1).tolist(), len(pcm)]
        for start, stop in itertools.pairwise(edges):
            if present[start]:
                out[start:stop] = self._join(pcm[start:stop].astype(np.float32))
            else:
                out[start:stop] = self._continue(stop - start)
            self._remember(out[start:stop])
        return out.round().astype(np.int16)

    def _remember(self, x: NDArray[np.float32]) -> None:
        self._history = np.concatenate([self._history, x])[-_HISTORY:]

    def _continue(self, count: int) -> NDArray[np.float32]:
        """The next `count` samples of a gap."""
        if self._gap >= _FADED:
            return np.zeros(count, np.float32)
        if self._period is None:
            lag = pitch_lag(self._history)
            self._period = self._history[len(self._history) - lag :]
        index = np.arange(self._gap, self._gap + count)
        gain = np.clip((_FADED - index) / (_FADED - _HOLD), 0.0, 1.0).astype(np.float32)
        self._gap = min(_FADED, self._gap + count)
        repeated: NDArray[np.float32] = self._period[index % len(self._period)] * gain
        return repeated

    def _join(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Real sound again: fade over from the continuation, or in from silence."""
        if self._gap > 0:
            count = min(_JOIN, len(x))
            fade = np.linspace(0.0, 1.0, count, endpoint=False, dtype=np.float32)
            x = x.copy()
            x[:count] = x[:count] * fade + self._continue(count) * (1.0 - fade)
        self._gap = 0
        self._period = None
        return x
