"""A sound file as a source: all there at once, cut into hops of 40 ms.

The clip keeps the channels of the file. The face hears one: their mean, unless they would cancel
each other or one of them is silent (`choose_mix`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import VoiceActivity
from realtime.media import HOP_SAMPLES, SAMPLE_RATE_HZ, VOICE_SAMPLES, Hop
from realtime.sources.resample import Decimator
from realtime.sources.sound_file import Damage, decode, unreadable
from realtime.sources.source import Playback

SILENT = 1e-4
"""A channel of this share of the other's power (-40 dB) says nothing."""
INAUDIBLE = 4
"""Of 32768; a file that never reaches it (-78 dB) is silent, dither included."""
CANCEL = 0.5
"""Channels of which the mean has this share of the power that unrelated ones would leave it."""


class Mix(Enum):
    """How two channels become the one that the face hears."""

    MEAN = "the mean of both channels"
    LEFT = "the left channel"
    RIGHT = "the right channel"

    def __call__(self, voice: NDArray[np.int16]) -> NDArray[np.int16]:
        """int16 [n] or [n, 2] -> int16 [n]."""
        if voice.ndim == 1:
            return voice
        if self is Mix.MEAN:
            total = voice.astype(np.int32).sum(axis=1)
            mean: NDArray[np.int16] = ((total + 1) >> 1).astype(np.int16)
            return mean
        return voice[:, 1 if self is Mix.RIGHT else 0]


def choose_mix(left: float, right: float, mean: float) -> tuple[Mix, str]:
    """Choose by the power of either channel and of their mean; with a warning, or "" for none."""
    louder = Mix.LEFT if left >= right else Mix.RIGHT
    quieter = Mix.RIGHT if louder is Mix.LEFT else Mix.LEFT
    if min(left, right) <= SILENT * max(left, right):
        return louder, f"{quieter.value} is silent: the face hears {louder.value} alone"
    if mean < CANCEL * (left + right) / 4:
        return louder, f"the channels cancel each other: the face hears {louder.value} alone"
    return Mix.MEAN, ""


@dataclass(frozen=True)
class Sound:
    """A sound file that was heard through once."""

    path: Path
    samples: int
    """Length at 48 kHz."""
    channels: int
    """1 or 2."""
    mix: Mix
    warnings: tuple[str, ...]
    """Sentences on what is odd about it."""

    @property
    def hops(self) -> int:
        """Length in hops; the last is filled up with silence."""
        return -(-self.samples // VOICE_SAMPLES)

    def chunks(self) -> Iterator[NDArray[np.int16]]:
        """Decode it: int16 [n, C] at 48 kHz."""
        return decode(self.path, Damage())


def survey(path: Path) -> Sound:
    """Decode a sound file once, for its length, its channels and what is wrong with it.

    Raises:
        ValueError: it cannot be read, or holds no sound; the message says what to do.
    """
    damage = Damage()
    samples, channels, loudest = 0, 1, 0
    left = right = mean = 0.0
    for chunk in decode(path, damage):
        samples += len(chunk)
        channels = chunk.shape[1]
        loudest = max(loudest, int(np.abs(chunk.astype(np.int32)).max(initial=0)))
        if channels == 2:
            both = chunk.astype(np.float64)
            left += float((both[:, 0] ** 2).sum())
            right += float((both[:, 1] ** 2).sum())
            mean += float((both.mean(axis=1) ** 2).sum())
    if samples == 0:
        raise ValueError(unreadable(path))
    mix, warning = Mix.MEAN, ""
    if loudest < INAUDIBLE:
        warning = "it is silent throughout: the face will not speak"
    elif channels == 2:
        mix, warning = choose_mix(left, right, mean)
    warnings = tuple(f"{path}: {said}" for said in (*damage.describe(), warning) if said)
    return Sound(path, samples, channels, mix, warnings)


class FileSource:
    """Hops of a sound that is there already; whoever listens sets the pace.

    Args:
        chunks: int16 [n, C] at 48 kHz, cut anyhow: the cuts do not change the hops.
        mix: what the face hears of it.
    """

    live = False
    latency_s = 0.0

    def __init__(self, chunks: Iterable[NDArray[np.int16]], mix: Mix = Mix.MEAN) -> None:
        self.end: int | None = None
        self.on_ready: Callable[[], None] = lambda: None
        self.t0 = 0.0
        self._voices = _hops(chunks)
        self._mix = mix
        self._decimate, self._vad = Decimator(), VoiceActivity()
        self._next = 0  # start of the next hop
        self._played = 0
        self._silence = np.zeros(VOICE_SAMPLES, np.int16)

    def start(self, now: float) -> None:
        """Media time begins at local time `now`."""
        self.t0 = now

    def pull(self, now: float) -> tuple[Hop]:
        """The next hop; silence after the end.

        Raises:
            ValueError: the file cannot be read any more.
        """
        voice = next(self._voices, None) if self.end is None else None
        if voice is None:
            self.end = self._next if self.end is None else self.end
            voice = self._silence
        self._silence = np.zeros_like(voice)
        samples = self._decimate(self._mix(voice))
        edges = self._vad(samples)
        start, self._next = self._next, self._next + HOP_SAMPLES
        return (Hop(start, samples, voice, self._vad.speech, arrived=now, edges=edges),)

    def next_deadline(self) -> float:
        """There is always a hop."""
        return self.t0

    def played(self, position: int) -> tuple[Playback, ...]:
        """Note what was heard: a file is one utterance, of which nothing need be told."""
        self._played = position
        return ()

    def clear(self) -> Playback:
        """The rest of the file is not wanted any more."""
        self.end = self._next if self.end is None else self.end
        return Playback("cleared", self._played * 1000 // SAMPLE_RATE_HZ)


def _hops(chunks: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
    """Cut chunks, int16 [n, C], into voices of 40 ms; the last is filled up with silence.

    Mono voices are [1920], others [1920, C].
    """
    held: NDArray[np.int16] | None = None
    for chunk in chunks:
        chunk = chunk[:, 0] if chunk.shape[1] == 1 else chunk
        held = chunk if held is None else np.concatenate([held, chunk])
        while len(held) >= VOICE_SAMPLES:
            yield held[:VOICE_SAMPLES]
            held = held[VOICE_SAMPLES:]
    if held is not None and len(held):
        missing = VOICE_SAMPLES - len(held)
        yield np.concatenate([held, np.zeros((missing, *held.shape[1:]), np.int16)])
