"""A stream at work on a clock turned by hand, and somebody who watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray

from realtime.avatar_stream import MARGIN_S, AvatarStream
from realtime.media import HOP_S, Picture, Voice
from realtime.sources.source import Playback, Source
from tests.support.fakes import ManualClock
from tests.support.streams import FakeHandle, NumberedSource, Viewer

DELAY_S = HOP_S + 2 * HOP_S + 0.010 + MARGIN_S
"""Of a live source that gives hops when they are over."""


class Bench:
    """A stream at work, and somebody who watches it."""

    def __init__(self, source: Source | None = None, **handle: object) -> None:
        self.clock = ManualClock()
        self.source = source or NumberedSource()
        self.handle = FakeHandle(self.clock, **handle)  # type: ignore[arg-type]
        self.stream = AvatarStream(self.source, self.handle, self.clock)
        self.viewer = Viewer(self.stream, self.clock)
        self.playbacks: list[tuple[float, Playback]] = []
        self.begin = self.clock.now()
        self.stream.on_playback = lambda playback: self.playbacks.append((self.now, playback))

    @property
    def now(self) -> float:
        return self.clock.now() - self.begin


@asynccontextmanager
async def running(source: Source | None = None, **handle: object) -> AsyncIterator[Bench]:
    bench = Bench(source, **handle)
    bench.stream.start()
    tasks = [asyncio.create_task(bench.stream.run()), asyncio.create_task(bench.viewer.read())]
    try:
        yield bench
    finally:
        bench.stream.close()
        await bench.handle.close()
        await asyncio.gather(*tasks)


def lateness(media: list[tuple[float, Voice]] | list[tuple[float, Picture]]) -> NDArray[np.float64]:
    return np.array([left - item.start / 16_000 - DELAY_S for left, item in media])
