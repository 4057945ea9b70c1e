"""An engine's handle that draws what a test can recognise, when the test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import av
import numpy as np

from realtime.avatar_stream import AvatarStream
from realtime.clock import Clock
from realtime.cursor import Cursor
from realtime.engine.handle import StreamFacts
from realtime.errors import VivavoceError
from realtime.media import (
    HOP_S,
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    VOICE_SAMPLES,
    Frame,
    Hop,
    Picture,
    Size,
    Voice,
)
from realtime.sources.source import Playback

STILL = 250
"""Brightness of the picture before any sound."""


def grey(brightness: int, size: Size = (16, 16)) -> av.VideoFrame:
    """A plain picture, yuv420p."""
    width, height = size
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = brightness
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def brightness(picture: av.VideoFrame) -> int:
    """Of the middle of a picture."""
    return int(picture.to_ndarray()[picture.height // 2, picture.width // 2])


@dataclass
class FakeHandle:
    """`StreamHandle` whose pictures are as bright as the number of their frame, below 200.

    A frame is done when its look-ahead was heard: at once, or `latency_s` (which may depend on its
    number; infinite: never) later on `clock`.
    """

    clock: Clock
    latency_s: float | Callable[[int], float] = 0.0
    look_ahead: int = 2 * HOP_SAMPLES
    expected_latency_s: float = 0.010
    size: Size = (16, 16)
    largest: Size = (16, 16)
    draw: Callable[[int], av.VideoFrame | None] | None = None
    """What to draw for a frame's number, instead of grey."""
    on_frame: Callable[[Frame], None] = lambda frame: None
    on_end: Callable[[str], None] = lambda reason: None
    heard: list[Hop] = field(default_factory=list)
    cleared: list[int] = field(default_factory=list)
    """How many hops had been heard at each `clear`."""
    identities: list[str] = field(default_factory=list)
    controls: list[dict[str, float]] = field(default_factory=list)
    refused: VivavoceError | None = None
    """What `set_identity` raises."""
    gate: asyncio.Event | None = None
    """What `set_identity` waits for."""
    closed: bool = False

    def __post_init__(self) -> None:
        self.still = grey(STILL, self.size)
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrivals: dict[int, float] = {}

    def submit(self, hop: Hop) -> None:
        assert not self.heard or hop.start == self.heard[-1].start + HOP_SAMPLES
        self.heard.append(hop)
        self._arrivals[hop.start] = hop.arrived
        start = hop.start - self.look_ahead
        if start < 0:
            return
        late = self.latency_s
        seconds = late(start // HOP_SAMPLES) if callable(late) else late
        if not seconds:
            self._finish(start)
        elif seconds < inf:
            self._later(start, self.clock.now() + seconds)

    def _later(self, start: int, when: float) -> None:
        task = asyncio.get_running_loop().create_task(self._finish_at(start, when))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish_at(self, start: int, when: float) -> None:
        await self.clock.sleep_until(when)
        self._finish(start)

    def _finish(self, start: int) -> None:
        if self.closed:
            return
        number = start // HOP_SAMPLES
        picture = self.draw(number) if self.draw else grey(number % 200, self.size)
        self.on_frame(
            Frame(
                start=start,
                picture=picture,
                motion=np.array([float(number)], np.float32),
                behaviour="speaking" if self.heard[-1].speech else "listening",
                arrived=self._arrivals.pop(start),
                ready=self.clock.now(),
            )
        )

    def clear(self) -> None:
        self.cleared.append(len(self.heard))

    async def set_identity(self, key: str) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.refused is not None:
            raise self.refused
        self.identities.append(key)

    async def set_controls(self, values: Mapping[str, float]) -> None:
        self.controls.append(dict(values))

    def facts(self) -> StreamFacts:
        return StreamFacts(size=self.size, step_s=0.010)

    async def close(self) -> None:
        self.closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class NumberedSource:
    """Hop n sounds like n + 1. Live, it is there when its time is over, or `late(n)` after that;
    else at once."""

    def __init__(
        self,
        *,
        live: bool = True,
        hops: int | None = None,
        late: Callable[[int], float] = lambda n: 0.0,
    ) -> None:
        self.live = live
        self.latency_s = HOP_S if live else 0.0
        self.end = None if hops is None else hops * HOP_SAMPLES
        self.on_ready: Callable[[], None] = lambda: None
        self.t0 = 0.0
        self.pulled = 0
        self._late = late
        self._played = 0

    def start(self, now: float) -> None:
        self.t0 = now

    def next_deadline(self) -> float:
        n = self.pulled
        return self.t0 + (n + 1) * HOP_S + self._late(n) if self.live else self.t0 + n * HOP_S

    def pull(self, now: float) -> Sequence[Hop]:
        hops = []
        while now >= self.next_deadline() - 1e-9 and (self.live or not hops):
            hops.append(self.hop(self.pulled, now))
            self.pulled += 1
        return hops

    def hop(self, n: int, now: float) -> Hop:
        samples = np.zeros(HOP_SAMPLES, np.float32)
        return Hop(n * HOP_SAMPLES, samples, np.full(VOICE_SAMPLES, n + 1, np.int16), False, now)

    def played(self, position: int) -> Sequence[Playback]:
        self._played = position
        return ()

    def clear(self) -> Playback:
        return Playback("cleared", self._played * 1000 // SAMPLE_RATE_HZ)


class Viewer:
    """Reads a stream and notes what left when, in seconds since it was made."""

    def __init__(self, stream: AvatarStream, clock: Clock) -> None:
        self.voice: list[tuple[float, Voice]] = []
        self.pictures: list[tuple[float, Picture]] = []
        self.cursor: Cursor[Voice | Picture] = stream.subscribe(Voice, Picture)
        self._clock, self._begin = clock, clock.now()

    async def read(self) -> None:
        async for item in self.cursor:
            at = self._clock.now() - self._begin
            if isinstance(item, Voice):
                self.voice.append((at, item))
            else:
                self.pictures.append((at, item))

    @property
    def heard(self) -> list[int]:
        """What each 20 ms sounded like."""
        return [int(voice.pcm.flat[-1]) for _, voice in self.voice]

    @property
    def seen(self) -> list[int]:
        """How bright each picture was."""
        return [brightness(picture.image) for _, picture in self.pictures]
