r"""The user's voice told apart from the avatar's own, which a loudspeaker brings back. Sans I/O.

    what was played --\                          predicted echo
                       +--> 20 ms bands --> delay, coupling --> is there more than that?
    microphone -------/

Browsers cancel echo, most of the time and most of it; what comes through is distorted, so that no
linear filter predicts its samples. Its level in each band hardly exceeds what was played times a
coupling: that of the last seconds in which nobody else was heard. Until it is known, nothing much
quieter than what was played counts as the user.
"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import SpeechEdge
from realtime.media import PACKET_SAMPLES, VOICE_RATE_HZ, Hop

Bands = NDArray[np.float64]

_FRAME = VOICE_RATE_HZ // 50  # samples of 20 ms
_EDGES_HZ = (200, 400, 650, 950, 1_350, 1_900, 2_600, 3_500, 4_800)
_REACH = 50
"""Frames until a sound played is back at the latest, over the network both ways: 1 s."""
_KEPT = 100
"""Frames looked back on for the delay, besides the reach: 2 s."""
_NEEDED = 40  # frames of sound that a delay is trusted from
_EVERY = 25  # frames between two looks for the delay
_ALIKE = 0.6
"""Correlation of the levels of microphone and played sound at which a delay is believed."""
_TAIL = 6  # frames that an echo lasts: 120 ms
_FLOOR = 10.0  # mean square of int16, -80 dB below full scale: nothing
_LOUD = 30.0 * _FLOOR  # 15 dB more: what is worth to learn from
_MEAN = 5  # frames whose mean is compared: 100 ms, syllables stand out, pitch periods do not
_MARGIN_DB = 5.0  # more than the echo mostly is: somebody else
_DOUBT_DB = 8.0  # more, divided by how often the coupling was learnt
_MOSTLY = 90  # per cent of the frames that were not the user's
_SHARE = 0.5  # of the energy, that nobody else explains
_SURE = 0.75  # likeness at which all is echo, even if it looked like the user
_LOOK = 8  # frames that decide: 160 ms
_ENOUGH = 5  # of them show the user
_HANGOVER = 20  # frames without the user that end his turn: 400 ms


def _filters() -> Bands:
    bins = np.fft.rfftfreq(_FRAME, 1 / VOICE_RATE_HZ)
    edges = np.array(_EDGES_HZ)
    return np.array([(bins >= a) & (bins < b) for a, b in itertools.pairwise(edges)]).T


class Levels:
    """Mean square of each band in 20 ms frames, float64 [n, 8]."""

    _window = np.hanning(_FRAME)
    _filters = _filters().astype(np.float64)
    count = len(_EDGES_HZ) - 1

    @classmethod
    def of(cls, voice: NDArray[np.int16]) -> Bands:
        """int16 [n * 960] or [n * 960, C] at 48 kHz -> [n, 8]."""
        if voice.ndim == 2:
            voice = voice.mean(1)
        frames = voice.reshape(-1, _FRAME) * cls._window
        power = np.abs(np.fft.rfft(frames)) ** 2
        return np.asarray(power @ cls._filters * (2 / _FRAME / np.sum(cls._window**2)))


class EchoGate:
    """Feed it what was `played` and each hop `heard`; it tells when the user speaks."""

    def __init__(self) -> None:
        self.speech = False
        """The user speaks."""
        self._played = np.zeros((_KEPT + 2 * _REACH, Levels.count))  # the newest last
        self._end = 0  # frame after the newest one, on the timeline of what is played
        self._heard = np.zeros((_KEPT, Levels.count))
        self._users = np.zeros(_KEPT, np.bool_)  # frames that looked like the user
        self._delay: int | None = None  # frames
        self._coupling = np.zeros(Levels.count)  # dB
        self._learnt = 0  # times
        self._sounds_until = -1  # frame in which the last sound played may still be heard
        self._shown = np.zeros(_LOOK, np.bool_)
        self._silent = 0  # frames since the user was heard

    def played(self, position: int, voice: NDArray[np.int16]) -> None:
        """20 ms at `position` left, int16 [960] or [960, C] at 48 kHz."""
        frame = position // PACKET_SAMPLES
        gap = min(frame - self._end, len(self._played) - 1)
        levels = np.zeros((max(0, gap) + 1, Levels.count))
        if voice.any():
            levels[-1] = Levels.of(voice)[0]
            self._sounds_until = frame + _REACH
        self._played = np.concatenate([self._played[len(levels) :], levels])
        self._end = frame + 1

    def heard(self, hop: Hop, position: int) -> tuple[SpeechEdge, ...]:
        """The microphone's next hop, whose first sample came in when `position` was played; the
        edges of the user's speech in it."""
        edges = []
        for n, levels in enumerate(Levels.of(hop.voice)):
            now = position // PACKET_SAMPLES + n
            self._users = np.append(self._users[1:], self._is_user(levels, now))
            self._shown = np.append(self._shown[1:], self._users[-1] and hop.speech)
            kind = self._turn(hop.speech)
            if kind is not None:
                at = hop.start + n * PACKET_SAMPLES
                edges.append(SpeechEdge(kind, at - self._silent * PACKET_SAMPLES))
        return tuple(edges)

    def _turn(self, voice: bool) -> Literal["started", "stopped"] | None:
        self._silent = 0 if self._shown[-1] else self._silent + 1
        if not self.speech and self._shown.sum() >= _ENOUGH:
            self.speech = True
            return "started"
        if self.speech and (self._silent >= _HANGOVER or not (voice or self._shown.any())):
            self.speech = False
            return "stopped"
        return None

    def _is_user(self, levels: Bands, now: int) -> bool:
        self._heard = np.concatenate([self._heard[1:], levels[None]])
        heard = self._heard[-_MEAN:].mean(0)
        if now > self._sounds_until:
            return bool(heard.sum() > _FLOOR)
        if now % _EVERY == 0:
            self._seek(now)
        margin = _MARGIN_DB + _DOUBT_DB / max(1, self._learnt)
        echo = self._echoes(now, 1)[0] * 10 ** ((self._coupling + margin) / 10)
        rest = np.maximum(heard - echo, 0.0).sum()
        return bool(rest > _SHARE * heard.sum() and rest > _FLOOR)

    def _echoes(self, now: int, count: int) -> Bands:
        """What was played and may be heard in the last `count` frames, were the coupling 0 dB: the
        loudest stretch in reach of each. [count, 8]."""
        first, last = (0, _REACH) if self._delay is None else (self._delay - 1, self._delay + _TAIL)
        means = _means(self._between(now - count - last - _MEAN + 2, now - first + 1))
        windows = np.lib.stride_tricks.sliding_window_view(means, last - first + 1, 0)
        return np.asarray(windows.max(2))

    def _between(self, first: int, end: int) -> Bands:
        """Levels of the played frames [first, end), silence where none are known."""
        begin = self._end - len(self._played)
        rows = np.arange(first, end) - begin
        known = (rows >= 0) & (rows < len(self._played))
        return np.where(known[:, None], self._played[rows.clip(0, len(self._played) - 1)], 0.0)

    def _seek(self, now: int) -> None:
        """Find the delay at which the microphone's levels follow what was played."""
        played = self._between(now - _KEPT - _REACH + 1, now + 1)
        if (played.sum(1) > _LOUD).sum() < _NEEDED:
            return
        windows = np.lib.stride_tricks.sliding_window_view(_shape(played), _KEPT, 0)
        heard = _shape(self._heard).T
        heard = heard - heard.mean(1, keepdims=True)  # [8, kept]; of one mean 0 is enough
        spread = windows.std(2) * heard.std(1) * _KEPT  # [delays, 8]
        alike = (np.einsum("dbk,bk->db", windows, heard) / (spread + 1e-6)).mean(1)[::-1]
        delay = int(np.argmax(alike))
        if alike[delay] > _ALIKE:
            self._delay = delay
        self._learn(now, sure=float(alike[delay]) > _SURE)

    def _learn(self, now: int, *, sure: bool) -> None:
        """How much of what is played comes back mostly."""
        count = _KEPT - _MEAN + 1
        echo, heard = self._echoes(now, count), _means(self._heard)
        usable = (echo.sum(1) > _LOUD) & ~self._users[-count:]
        if sure and usable.sum() < _NEEDED:
            usable = echo.sum(1) > _LOUD
        if usable.sum() >= _NEEDED:
            ratio = 10 * np.log10((heard[usable] + 1e-3) / (echo[usable] + 1e-3))
            self._learnt += 1
            self._coupling = np.percentile(ratio, _MOSTLY, axis=0)


def _means(levels: Bands) -> Bands:
    """Of each `_MEAN` frames in a row: [n, 8] -> [n - _MEAN + 1, 8]."""
    sums = np.cumsum(np.concatenate([np.zeros((1, Levels.count)), levels]), 0)
    return np.asarray((sums[_MEAN:] - sums[:-_MEAN]) / _MEAN)


def _shape(levels: Bands) -> Bands:
    """Levels in dB above a floor; how they change is what can be compared."""
    return np.asarray(10 * np.log10(levels + _FLOOR))
