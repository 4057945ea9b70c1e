"""A stream's handle on the side of the media process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import av
import numpy as np

from pipelines.motion.space import BEHAVIOURS
from realtime.clock import Clock
from realtime.engine.handle import StreamFacts
from realtime.engine.quantile import Quantile
from realtime.engine.turns import WaitingHop
from realtime.engine.wire import FrameMessage, Opened
from realtime.media import Frame, Hop, Size

if TYPE_CHECKING:
    from realtime.engine.link import Link


class EngineStream:
    """A `StreamHandle` over a link to the inference process."""

    def __init__(self, link: Link, opened: Opened, still: av.VideoFrame, clock: Clock) -> None:
        self.look_ahead = opened.look_ahead
        self.expected_latency_s = opened.expected_latency_s
        self.largest: Size = opened.size
        self.still = still
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        self.on_end: Callable[[str], None] = lambda reason: None
        self._link = link
        self._number = opened.stream
        self._clock = clock
        self._closed = False
        self._arrivals: dict[int, float] = {}  # hop start -> arrival, within the look-ahead
        self._size = opened.size
        self._step_s = Quantile(100)
        self._rung = self._skipped = self._dropped = self._unsent = 0

    def submit(self, hop: Hop) -> None:
        """See `StreamHandle.submit`."""
        if self._closed:
            return
        self._arrivals[hop.start] = hop.arrived
        samples = np.asarray(hop.samples, np.float32)
        waiting = WaitingHop(
            hop.start, samples, hop.speech, time.monotonic(), hop.listens, hop.unseen
        )
        self._unsent += not self._link.send_hop(self._number, waiting)

    def clear(self) -> None:
        """See `StreamHandle.clear`."""
        if not self._closed:
            self._link.send_clear(self._number)

    async def set_identity(self, key: str) -> None:
        """See `StreamHandle.set_identity`."""
        self.largest = await self._link.call("set_identity", self._number, key)

    async def set_controls(self, values: Mapping[str, float]) -> None:
        """See `StreamHandle.set_controls`."""
        await self._link.call("set_controls", self._number, dict(values))

    def facts(self) -> StreamFacts:
        """See `StreamHandle.facts`."""
        return StreamFacts(
            size=self._size,
            step_s=self._step_s.at(0.5),
            rung=self._rung,
            skipped=self._skipped,
            dropped_hops=self._dropped + self._unsent,
        )

    async def close(self) -> None:
        """See `StreamHandle.close`."""
        if not self._closed:
            self._closed = True
            self._link.forget(self._number)

    def deliver(self, message: FrameMessage, picture: av.VideoFrame | None) -> None:
        """Take a frame that the inference process made."""
        self._size = message.size
        self._rung, self._skipped = message.rung, message.skipped
        self._dropped = message.dropped
        if picture is not None:
            self._step_s.add(message.step_s)
        arrived = self._arrived(message.start)
        if self._closed or arrived is None:
            return
        self.on_frame(
            Frame(
                start=message.start,
                picture=picture,
                motion=message.motion,
                behaviour=BEHAVIOURS[message.behaviour],
                arrived=arrived,
                ready=self._clock.now(),
            )
        )

    def _arrived(self, start: int) -> float | None:
        """When the last sample that the frame shows came in; forgets older ones."""
        arrived = self._arrivals.get(start)
        for old in [s for s in self._arrivals if s <= start]:
            del self._arrivals[old]
        return arrived

    def end(self, reason: str) -> None:
        """The engine gives the stream up."""
        if not self._closed:
            self._closed = True
            self.on_end(reason)
