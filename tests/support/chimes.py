"""A source and a sink as somebody else would add them: nothing of the product knows either."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipelines.audio.vad import VoiceActivity
from realtime.avatar_stream import AvatarStream
from realtime.media import (
    HOP_S,
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    VOICE_RATE_HZ,
    VOICE_SAMPLES,
    Hop,
    Picture,
    Voice,
)
from realtime.sources.resample import Decimator
from realtime.sources.source import Playback


class Chimes:
    """A live source that sounds one tone for ever. See `realtime.sources.source.Source`."""

    live = True
    latency_s = HOP_S
    end: int | None = None

    def __init__(self, tone_hz: float) -> None:
        self.on_ready: Callable[[], None] = lambda: None
        self.t0 = 0.0
        self._tone_hz = tone_hz
        self._next = 0
        self._decimate, self._vad = Decimator(), VoiceActivity()

    def start(self, now: float) -> None:
        self.t0 = now

    def next_deadline(self) -> float:
        return self.t0 + (self._next + HOP_SAMPLES) / SAMPLE_RATE_HZ

    def pull(self, now: float) -> Sequence[Hop]:
        hops = []
        while self.next_deadline() <= now:
            begin = self._next * VOICE_SAMPLES // HOP_SAMPLES
            phase = 2 * np.pi * self._tone_hz / VOICE_RATE_HZ
            wave = 8_000 * np.sin(phase * np.arange(begin, begin + VOICE_SAMPLES))
            voice = wave.astype(np.int16)
            samples = self._decimate(voice)
            edges = self._vad(samples)
            hops.append(Hop(self._next, samples, voice, self._vad.speech, now, edges))
            self._next += HOP_SAMPLES
        return hops

    def played(self, position: int) -> Sequence[Playback]:
        return ()

    def clear(self) -> Playback:
        return Playback("cleared", 0)


class Notebook:
    """A sink that writes down what it was given."""

    def __init__(self, stream: AvatarStream) -> None:
        self.voices: list[Voice] = []
        self.pictures: list[Picture] = []
        self._cursor = stream.subscribe(Voice, Picture)

    async def run(self) -> None:
        async for item in self._cursor:
            (self.voices if isinstance(item, Voice) else self.pictures).append(item)

    def close(self) -> None:
        self._cursor.close()
