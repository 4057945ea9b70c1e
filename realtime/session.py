"""One peer: its microphone, its slot in the engine, its two tracks, its lifetime.

The voice goes straight from the microphone to the playout buffer and never waits for a picture;
pictures follow through the engine and meet it there, on one playout clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from typing import Any

from pipelines.motion.controls import Controls
from pipelines.motion.space import Behaviour
from realtime import rtc
from realtime.avatars import Avatar, AvatarLibrary
from realtime.clock import Clock
from realtime.config import ServerConfig
from realtime.engine import Engine, EngineFrame, Slot
from realtime.errors import VivavoceError
from realtime.ingest import HOP_S, Hop, Ingest, IngestConfig
from realtime.logs import session_id
from realtime.metrics import Metrics
from realtime.playout import PlayFrame, PlayoutBuffer, PlayoutClock, PlayoutStats
from realtime.protocol import (
    AvatarMotion,
    AvatarState,
    BadEvent,
    ErrorDetail,
    ErrorEvent,
    OutputClear,
    OutputCleared,
    Ping,
    Pong,
    ServerEvent,
    SessionCreated,
    SessionInfo,
    SessionUpdate,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    Stats,
    parse_client_event,
)
from realtime.scheduler import Admission, Quantile
from realtime.tracks import AvatarAudioTrack, AvatarVideoTrack

logger = logging.getLogger(__name__)

MARGIN_S = 0.020  # of the playout delay, for what no measurement foresees
RATE_HZ = 16_000


class Session:
    """See the module's docstring. `open` answers the offer; `close` ends everything, once."""

    def __init__(
        self,
        *,
        id: str,
        avatar: Avatar,
        size: int,
        seed: int,
        engine: Engine,
        admission: Admission,
        avatars: AvatarLibrary,
        metrics: Metrics,
        config: ServerConfig,
        clock: Clock,
        on_closed: Callable[[Session], None],
    ) -> None:
        self.id = id
        self.avatar = avatar
        self.size = size
        self.answer_sdp = ""
        self._seed = seed
        self._engine = engine
        self._admission = admission
        self._avatars = avatars
        self._metrics = metrics
        self._config = config
        self._clock = clock
        self._on_closed = on_closed
        self._ingest = Ingest(IngestConfig(align=True))
        self._controls = Controls()
        self._behaviour: Behaviour = "idle"
        self._motion_events = False
        self._motion_names = config.preset.motion_names
        self._opened = clock.now()
        self._last_ping: float | None = None
        self._added_delay = Quantile(250)  # the last ten seconds
        self._skew = Quantile(250)
        self._started = asyncio.Event()
        self._heard = asyncio.Event()
        self._closing = False
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._channel: rtc.EventChannel | None = None
        self._slot: Slot | None = None
        self._peer: rtc.Peer | None = None
        self._playout: PlayoutClock
        self._buffer: PlayoutBuffer

    # Life

    async def open(self, offer: rtc.Offer) -> None:
        """Take a slot, build the tracks and answer the offer.

        Raises:
            AtCapacity: one more session would make others late.
            BadOffer: the offer cannot be used after all.
        """
        token = session_id.set(self.id)
        try:
            key = await self._avatars.ensure(self.avatar)
            self._slot = await self._engine.open(key, self.size, self._seed, self._deliver)
            self._metrics.sessions.labels(str(self.size)).inc()
            self._metrics.sessions_opened.inc()
            self._playout = PlayoutClock(self._clock, self._settled_delay_s())
            self._buffer = PlayoutBuffer(self._playout)
            self._peer = await rtc.connect(
                offer,
                ingest=self,
                audio_track=AvatarAudioTrack(self._playout, self._buffer),
                video_track=AvatarVideoTrack(self._playout, self._buffer),
                playout=self._playout,
                on_channel=self._on_channel,
                on_state=self._on_state,
                on_encoded=self._on_encoded,
                config=rtc.RtcConfig(
                    video_codec=self._config.video_codec,
                    loopback=self._config.loopback,
                    connect_timeout_s=self._config.connect_timeout_s,
                ),
            )
            self.answer_sdp = self._peer.answer_sdp
            logger.info("opened: avatar %s, %d px", self.avatar.id, self.size)
        except BaseException:
            await self.close("failed")
            raise
        finally:
            session_id.reset(token)

    def _settled_delay_s(self) -> float:
        """Look-ahead, the hop itself, the microphone's patience, measured compute, a margin."""
        compute = self._engine.expected_latency_s
        return self._engine.look_ahead_s + HOP_S + self._ingest.config.wait_s + compute + MARGIN_S

    @property
    def playout_delay_ms(self) -> int:
        """The delay of picture and voice behind the microphone, in milliseconds."""
        return round(self._playout.delay_s * 1000)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("session %s failed", self.id, exc_info=error)
            if not self._closing:
                closing = asyncio.get_running_loop().create_task(self.close("error"))
                self._tasks.add(closing)

    async def close(self, reason: str) -> None:
        """End the session and give everything back. Safe to call again."""
        if self._closing:
            await self._closed.wait()
            return
        self._closing = True
        if self._slot is not None:
            self._engine.close(self._slot)
            self._metrics.sessions.labels(str(self.size)).dec()
            self._metrics.sessions_ended.labels(reason).inc()
            self._buffer_close()
        current = asyncio.current_task()
        mine = [task for task in self._tasks if task is not current]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        if self._peer is not None:
            await self._peer.close()
        logger.info("%s closed: %s", self.id, reason)
        self._on_closed(self)
        self._closed.set()

    def _buffer_close(self) -> None:
        if hasattr(self, "_buffer"):
            self._buffer.close()

    def _on_state(self, state: str) -> None:
        if state == "connected" and not self._started.is_set():
            now = self._clock.now()
            self._ingest.start(now)
            self._playout.start = now
            self._started.set()
            self._spawn(self._listen())
            self._spawn(self._report())
            self._spawn(self._watch())
        elif state in ("failed", "closed") and not self._closing:
            self._end_soon("connection_lost" if self._started.is_set() else "never_connected")

    def _end_soon(self, reason: str) -> None:
        closing = asyncio.create_task(self.close(reason))
        self._tasks.add(closing)

    async def _watch(self) -> None:
        """End the session when its pings stop."""
        session_id.set(self.id)
        while True:
            await asyncio.sleep(1.0)
            silent = self._clock.now() - (self._last_ping or self._clock.now())
            if silent > self._config.ping_timeout_s:
                logger.warning("no ping for %.0f s: the peer is gone", silent)
                self._end_soon("peer_gone")
                return

    # Media

    def push(
        self, rtp_timestamp: int, sequence: int, payload: bytes, now: float, *, ssrc: int = 0
    ) -> None:
        """Take one microphone packet (`rtp_receive.PacketSink`)."""
        if self._started.is_set() and not self._closing:
            self._ingest.push(rtp_timestamp, sequence, payload, now, ssrc=ssrc)
            self._playout.start = self._ingest.t0  # moves once, to where the first packets end
            self._heard.set()

    async def _listen(self) -> None:
        """Pull hops as they complete; voice to the playout buffer, sound to the engine."""
        session_id.set(self.id)
        while True:
            for hop in self._ingest.pull(self._clock.now()):
                self._take(hop)
            self._heard.clear()
            left = self._ingest.next_deadline() - self._clock.now()
            if left > 0:
                try:
                    async with asyncio.timeout(left):
                        await self._heard.wait()
                except TimeoutError:
                    pass

    def _take(self, hop: Hop) -> None:
        assert self._slot is not None
        self._buffer.put_voice(hop.start, hop.voice)
        self._engine.submit(self._slot, hop)
        for edge in hop.edges:
            kind = SpeechStarted if edge.kind == "started" else SpeechStopped
            self._send(kind(audio_ms=edge.position // 16))

    def _deliver(self, frame: EngineFrame) -> bool:
        in_time = self._buffer.put_picture(
            PlayFrame(
                start=frame.start,
                picture=frame.planes,
                ready=frame.ready,
                arrived=frame.arrived,
            )
        )
        if frame.behaviour != self._behaviour:
            self._behaviour = frame.behaviour
            self._send(AvatarState(state=frame.behaviour))
        if self._motion_events:
            names = self._motion_names or [f"code{n}" for n in range(len(frame.motion))]
            values = dict(zip(names, [round(float(v), 4) for v in frame.motion], strict=True))
            self._send(AvatarMotion(t=frame.start / RATE_HZ, values=values))
        return in_time

    def _on_encoded(self, seconds: float) -> None:
        self._metrics.stage_ms.labels("encode").observe(seconds * 1000)
        if self._slot is not None:
            self._admission.measured_encode(self._slot.drawn_size, seconds)

    async def set_avatar(self, avatar_id: str) -> None:
        """Change the face; voice, motion and connection go on.

        Raises:
            UnknownAvatar: there is no such avatar.
        """
        avatar = self._avatars.get(avatar_id)
        assert self._slot is not None
        await self._engine.set_identity(self._slot, await self._avatars.ensure(avatar))
        self.avatar = avatar
        logger.info("session %s now wears %s", self.id, avatar.id)

    # Events

    def _on_channel(self, channel: rtc.EventChannel) -> None:
        if channel.label != "events":
            return
        self._channel = channel
        channel.on_message = self._on_message
        self._send(SessionCreated(session=self._info()))

    def _on_message(self, message: str | bytes) -> None:
        try:
            event = parse_client_event(message)
        except BadEvent as error:
            detail = ErrorDetail(code="bad_event", message=str(error), event_id=error.event_id)
            self._send(ErrorEvent(error=detail))
            return
        if isinstance(event, Ping):
            self._last_ping = self._clock.now()
            self._send(Pong(client_event_id=event.event_id))
        elif isinstance(event, OutputClear):
            assert self._slot is not None
            self._engine.clear(self._slot)
            played = self._buffer.clear()
            self._send(OutputCleared(played_ms=played // 16))
        else:
            self._spawn(self._update(event))

    async def _update(self, event: SessionUpdate) -> None:
        session_id.set(self.id)
        assert self._slot is not None
        try:
            if event.avatar is not None:
                await self.set_avatar(event.avatar)
        except VivavoceError as error:
            detail = ErrorDetail(code=error.code, message=str(error), event_id=event.event_id)
            self._send(ErrorEvent(error=detail))
            return
        if event.controls is not None:
            wanted = event.controls.model_dump(exclude_none=True)
            self._controls = replace(self._controls, **wanted)
            await self._engine.set_controls(self._slot, self._controls)
        if event.motion_events is not None:
            self._motion_events = event.motion_events
        self._send(SessionUpdated(session=self._info()))

    def announce_end(self, message: str) -> None:
        """Tell the client that the session is about to end."""
        self._send(ErrorEvent(error=ErrorDetail(code="session_ending", message=message)))

    def _send(self, event: ServerEvent) -> None:
        if self._channel is not None and not self._closing:
            self._channel.send(event.model_dump_json())

    # Reports

    async def _report(self) -> None:
        """Send `stats` once a second, and count what happened in it."""
        session_id.set(self.id)
        assert self._peer is not None
        sent, concealed, before = 0, 0, PlayoutStats()
        while True:
            await asyncio.sleep(1.0)
            total = self._peer.stats().frames_sent
            now = replace(self._buffer.stats)
            frames, ingest = self._metrics.frames, self._ingest.stats
            repeated = now.repeated_pictures - before.repeated_pictures
            frames.labels("sent").inc(total - sent)
            frames.labels("repeated").inc(repeated)
            frames.labels("dropped").inc(
                now.late_pictures
                + now.skipped_pictures
                - before.late_pictures
                - before.skipped_pictures
            )
            self._metrics.concealed_ms.inc((ingest.concealed_samples - concealed) / 16)
            self._drain_delays()
            self._send(self._stats(total - sent, max(0, total - sent - repeated)))
            sent, concealed, before = total, ingest.concealed_samples, now

    def _drain_delays(self) -> None:
        """Move the last second's delays and skews into the metrics."""
        for delays, recent, histogram in (
            (self._buffer.added_delays, self._added_delay, self._metrics.added_delay_ms),
            (self._buffer.skews, self._skew, self._metrics.skew_ms),
        ):
            while delays:
                value = delays.popleft()
                recent.add(value)
                histogram.observe(value * 1000)

    def _stats(self, fps: float, drawn_fps: float) -> Stats:
        assert self._slot is not None
        playout, heard = self._buffer.stats, self._ingest.stats
        return Stats(
            fps=fps,
            drawn_fps=drawn_fps,
            added_delay_ms=_milliseconds(self._added_delay.at(0.95)),
            playout_delay_ms=round(self._playout.delay_s * 1000, 1),
            av_skew_ms=_milliseconds(self._skew.at(0.5)),
            late=playout.late_pictures,
            dropped=playout.skipped_pictures,
            repeated=playout.repeated_pictures,
            concealed_ms=heard.concealed_samples / 16,
            jitter_ms=round(heard.jitter_ms, 1),
            step_ms=_milliseconds(self._slot.step_s.at(0.5)),
            size=self._slot.drawn_size,
            rung=self._engine.rung,
        )

    def _info(self) -> SessionInfo:
        return SessionInfo(
            id=self.id,
            avatar=self.avatar.id,
            pipeline=self._config.pipeline,
            size=self.size,
            controls=asdict(self._controls),
            playout_delay_ms=self.playout_delay_ms,
        )

    def describe(self) -> dict[str, Any]:
        """What `GET /v1/sessions/{id}` says."""
        stats = self._stats(0, 0).model_dump(exclude={"type", "event_id", "fps", "drawn_fps"})
        return self._info().model_dump() | {
            "state": self._behaviour,
            "connected": self._started.is_set(),
            "age_s": round(self._clock.now() - self._opened, 1),
            "microphone": asdict(self._ingest.stats),
            "measurements": stats,
        }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
