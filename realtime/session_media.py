"""What an open session plays: its slot of the engine, the stream, its encodings, what is told."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from realtime.announcer import Announcer
from realtime.avatar_stream import AvatarStream
from realtime.clock import Clock
from realtime.control import ControlHub
from realtime.engine.handle import StreamHandle
from realtime.media import Size
from realtime.metrics import Metrics
from realtime.reports import Reporter, size_label
from realtime.session_config import SessionConfig
from realtime.sinks.webrtc.encodings import Encodings
from realtime.sinks.webrtc.offer import Offer
from realtime.sinks.webrtc.peer import Peer
from realtime.sources.microphone.source import Microphone
from realtime.sources.source import Source


class SessionMedia:
    """Built when the session has its place in the engine; counted in the metrics until `close`.

    Args:
        handle: the place.
        speech: what the avatar says; the microphone is then only listened to.
        hub: who is told.
        motion_names: see `Announcer`.
        asked: the size that was asked for.
        spawn: starts tasks of the session.
        on_user: called when the user begins to speak.
    """

    def __init__(
        self,
        handle: StreamHandle,
        *,
        speech: Source | None,
        microphone: Microphone,
        hub: ControlHub,
        motion_names: tuple[str, ...],
        asked: Size,
        metrics: Metrics,
        clock: Clock,
        config: SessionConfig,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        on_user: Callable[[], None],
    ) -> None:
        self.handle = handle
        listening = None if speech is None else microphone
        self.stream = AvatarStream(speech or microphone, handle, clock, listening=listening)
        self.announcer = Announcer(self.stream, hub, motion_names, listening is not None, on_user)
        self.encodings = Encodings(
            self.stream,
            bitrate=config.webrtc.bitrate,
            executor=config.encoders,
            on_encoded=self._encoded,
            spawn=spawn,
        )
        self.reporter = Reporter(self.stream, handle, self.encodings, microphone, metrics)
        self._metrics = metrics
        self._config = config
        self._label = size_label(asked)
        metrics.sessions.labels(self._label).inc()
        metrics.sessions_opened.inc()

    def _encoded(self, size: Size, cpu_s: float, wall_s: float) -> None:
        self._metrics.stage_ms.labels("encode").observe(cpu_s * 1000)
        self._config.on_encoded(size, cpu_s, wall_s)

    async def answer(self, offer: Offer, **how: Any) -> Peer:
        """A peer that watches; see `realtime.sinks.webrtc.peer.connect`."""
        webrtc = self._config.webrtc
        return await self._config.connect(offer, encodings=self.encodings, config=webrtc, **how)

    async def close(self) -> None:
        """Give the place back, and end the stream."""
        await self.handle.close()
        self.stream.close()

    def count_end(self, reason: str) -> None:
        """The session has ended."""
        self._metrics.sessions.labels(self._label).dec()
        self._metrics.sessions_ended.labels(reason).inc()
