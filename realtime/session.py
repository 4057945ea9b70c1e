"""One avatar at work: a source of speech, its stream, those who watch, those who control it.

A session begins when its first peer is connected (or `begin` is called) and ends when its last
party has gone: a peer, or whoever attached itself by a socket. One that nobody comes to ends too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from enum import IntEnum
from functools import partial
from typing import Any, Self

from pipelines.photo.framing import SQUARE
from pipelines.pipeline import System
from realtime.announcer import Announcer
from realtime.appearance import Appearance, Face, Faces, Wish
from realtime.avatar_stream import AvatarStream
from realtime.clock import Clock
from realtime.control import ControlHub
from realtime.descriptions import describe_session
from realtime.engine.handle import StreamHandle, StreamOpener
from realtime.errors import BadOffer, SessionError, UnknownSession
from realtime.logs import session_id
from realtime.media import Size
from realtime.metrics import Metrics
from realtime.parties import Dialect, Dialects, Parties, Party
from realtime.protocol import (
    ErrorDetail,
    ErrorEvent,
    ServerEvent,
    SessionInfo,
    TurnDetection,
)
from realtime.reports import Reporter, size_label
from realtime.session_config import SessionConfig
from realtime.sinks.webrtc import peer as rtc
from realtime.sinks.webrtc.encodings import Encodings
from realtime.sources.microphone.source import Microphone
from realtime.sources.pushed import PushedSpeech
from realtime.sources.source import Playback, Source
from realtime.tasks import Tasks

logger = logging.getLogger(__name__)

_TOO_LATE = "the session was over before it could be answered"


class Life(IntEnum):
    """What a session goes through, in this order; it may be closed at any time."""

    NEW = 0
    OPEN = 1
    """It has its place in the engine and waits for somebody to watch."""
    RUNNING = 2
    CLOSING = 3
    CLOSED = 4


class Session:
    """One avatar and its parties. `async with` opens it and closes it in the end.

    Args:
        avatar: from `avatars.get`.
        size: one of those of the system's `frame`.
        speech: what the avatar says; the microphone of the first peer that has one is then only
            listened to. None: that microphone is what it says.
        on_closed: called once everything is given back.
    """

    def __init__(
        self,
        *,
        id: str,
        avatar: Face,
        system: System,
        size: Size,
        frame: str = SQUARE,
        seed: int,
        opener: StreamOpener,
        avatars: Faces,
        metrics: Metrics,
        clock: Clock,
        config: SessionConfig | None = None,
        speech: Source | None = None,
        on_closed: Callable[[Session], None] = lambda session: None,
    ) -> None:
        self.id = id
        self.appearance = Appearance(system, avatar, avatars)
        self.frame = frame
        self.life = Life.NEW
        self.speech = speech
        self.turn_detection: TurnDetection | None = None
        self.microphone = Microphone()
        self.hub = ControlHub(self, clock)
        self.parties = Parties(self.hub, self._has_left, self.end_soon)
        self.stream: AvatarStream
        self._asked = size
        self._seed = seed
        self._opener = opener
        self._metrics = metrics
        self._clock = clock
        self._config = config or SessionConfig()
        self._on_closed = on_closed
        self._opened = clock.now()
        self._tasks = Tasks(self._task_failed, lambda: session_id.set(id))
        self._handle: StreamHandle | None = None
        self._ended = asyncio.Event()

    # Life

    def _become(self, life: Life) -> None:
        if life <= self.life or (life is Life.RUNNING and self.life is not Life.OPEN):
            raise SessionError(f"session {self.id} is {self.life.name}: it cannot be {life.name}")
        self.life = life

    async def open(self) -> None:
        """Take a place in the engine.

        Raises:
            AtCapacity: one more session would make others late.
            VivavoceError: the face cannot be had, or the engine is gone.
        """
        try:
            look = self._asked, self.frame
            self._build(await self.appearance.open(self._opener, *look, self._seed))
            self._become(Life.OPEN)
            self._tasks.spawn(self.hub.run())
            self._tasks.spawn(self._wait_for_somebody())
        except BaseException:
            await self.close("failed")
            raise
        avatar = self.appearance.avatar.id
        logger.info("%s opened: avatar %s, %d x %d", self.id, avatar, *self.size)

    def _build(self, handle: StreamHandle) -> None:
        self._handle = handle
        handle.on_end = self._engine_gave_up
        listening = None if self.speech is None else self.microphone
        self.stream = AvatarStream(
            self.speech or self.microphone, handle, self._clock, listening=listening
        )
        names = self.appearance.system.motion_names
        self._announcer = Announcer(
            self.stream, self.hub, names, listening is not None, self._user_began
        )
        self._encodings = Encodings(
            self.stream,
            bitrate=self._config.webrtc.bitrate,
            executor=self._config.encoders,
            on_encoded=self._encoded,
            spawn=self._tasks.spawn,
        )
        self._reporter = Reporter(
            self.stream, handle, self._encodings, self.microphone, self._metrics
        )
        self._metrics.sessions.labels(size_label(self._asked)).inc()
        self._metrics.sessions_opened.inc()

    def begin(self) -> None:
        """Media time begins, unless it runs already."""
        if self.life is Life.OPEN:
            self._become(Life.RUNNING)
            self.stream.start()
            self._tasks.spawn(self.stream.run())
            self._tasks.spawn(self._every_second())

    async def close(self, reason: str) -> None:
        """End the session and give everything back. Safe to call again."""
        if self.closing:
            await self._ended.wait()
            return
        self._become(Life.CLOSING)
        try:
            await self._give_back()
        finally:
            if self._handle is not None:
                self._metrics.sessions.labels(size_label(self._asked)).dec()
                self._metrics.sessions_ended.labels(reason).inc()
            logger.info("%s closed: %s", self.id, reason)
            self._become(Life.CLOSED)
            self._ended.set()
            self._on_closed(self)

    async def _give_back(self) -> None:
        if self._handle is not None:
            await self._handle.close()
            self.stream.close()
        for party in self.parties:
            self.parties.leave(party, "")
        await self._tasks.close()

    @property
    def closing(self) -> bool:
        """Whether the session has ended or is about to."""
        return self.life >= Life.CLOSING

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close("ended")

    def _task_failed(self, error: BaseException) -> None:
        logger.error("session %s failed", self.id, exc_info=error)
        self.end_soon("error")

    def end_soon(self, reason: str) -> None:
        """Begin to end it, unless it ends already."""
        if not self.closing:
            self._tasks.spawn(self.close(reason))

    async def _wait_for_somebody(self) -> None:
        await self._clock.sleep_until(self._clock.now() + self._config.webrtc.connect_timeout_s)
        if not len(self.parties):
            self.end_soon("nobody_came")

    async def _every_second(self) -> None:
        while True:
            due = self._clock.now() + 1.0
            await self._clock.sleep_until(due)
            now = self._clock.now()
            if now - due < 1.0:  # else we were held up, and pings may wait to be read
                self.parties.drop_silent(now, self._config.ping_timeout_s)
            self.hub.send(self._reporter.report())

    # Who is there

    async def connect(self, offer: rtc.Offer, dialects: Dialects | None = None) -> rtc.Peer:
        """Let one more peer watch; its microphone is heard if no other's is. Data channels other
        than `events` are understood in `dialects`.

        Raises:
            BadOffer: the offer cannot be used after all, or the session was over before it could
                be answered.
        """
        if self.closing:
            raise BadOffer(_TOO_LATE)
        party = self.parties.join(microphone=offer.microphone)
        try:
            party.peer = await self._config.connect(
                offer,
                encodings=self._encodings,
                microphone=self.microphone if party.has_microphone else None,
                on_channel=partial(self.parties.open_channel, party, dialects=dialects or {}),
                on_state=lambda state: self._peer_is(party, state),
                config=self._config.webrtc,
            )
        except BaseException:
            self.parties.leave(party, "failed")
            raise
        if party not in self.parties:
            await party.peer.close()
            raise BadOffer(_TOO_LATE)
        return party.peer

    def attach(self, send: Callable[[str], object] | Dialect) -> Party:
        """Somebody hears of the session by a socket of its own and keeps it going until
        `parties.leave`; what it says goes to `party.listener`.

        Raises:
            UnknownSession: it has ended.
        """
        if self.closing:
            raise UnknownSession(f"the session {self.id} has ended")
        party = self.parties.join()
        self.parties.attach(party, send)
        return party

    def _peer_is(self, party: Party, state: str) -> None:
        if state == "connected":
            self.begin()
        else:
            began = self.life is Life.RUNNING
            self.parties.leave(party, "connection_lost" if began else "never_connected")

    def _has_left(self, party: Party) -> None:
        party.on_left()
        if party.peer is not None:
            self._tasks.spawn(party.peer.close(), finish=True)

    # What happens

    def _encoded(self, size: Size, cpu_s: float, wall_s: float) -> None:
        self._metrics.stage_ms.labels("encode").observe(cpu_s * 1000)
        self._config.on_encoded(size, cpu_s, wall_s)

    def _engine_gave_up(self, reason: str) -> None:
        self._tell("engine_unavailable", reason)
        self.end_soon("engine_died")

    def announce_end(self, message: str) -> None:
        """Tell everybody that the session is about to end."""
        self._tell("session_ending", message)

    def _tell(self, code: str, message: str) -> None:
        detail = ErrorDetail(type="server_error", code=code, message=message)
        self.tell(ErrorEvent(error=detail))

    # Control

    async def set_avatar(self, avatar_id: str) -> None:
        """Change the face; voice, motion and connection go on.

        Raises:
            UnknownAvatar: there is no such avatar.
            VivavoceError: it cannot be shown.
        """
        await self.hub.ask(Wish(avatar_id))

    def clear(self) -> Playback:
        """Stop speaking (barge-in); everybody is told how much was played."""
        return self.stream.clear()

    def speech_came(self) -> None:
        """There is something to say: media time begins, unless a peer is on its way."""
        if all(party.peer is None and party.listener is not None for party in self.parties):
            self.begin()

    def _user_began(self) -> None:
        turns = self.turn_detection
        if turns is None or not turns.interrupt_response:
            return
        if isinstance(self.speech, PushedSpeech) and self.speech.active is not None:
            self.speech.interrupt(self._clock.now())
            self.clear()

    def tell(self, event: ServerEvent) -> None:
        """Tell everybody who listens."""
        self.hub.send(event)

    # What it is

    @property
    def playout_delay_ms(self) -> int:
        """The delay of picture and voice behind the speech, in milliseconds."""
        return round(self.stream.playout.delay_s * 1000)

    @property
    def size(self) -> Size:
        """Of its pictures, as long as there is time for such."""
        return self._asked if self._handle is None else self._handle.largest

    def info(self) -> SessionInfo:
        """What a client may know of it."""
        return describe_session(
            self.id,
            self.appearance,
            self.size,
            self.frame,
            self.playout_delay_ms,
            self.speech,
            self.turn_detection,
        )

    def describe(self) -> dict[str, Any]:
        """What `GET /v1/sessions/{id}` says."""
        return self.info().model_dump() | {
            "audio": "microphone" if self.speech is None else "push",
            "state": self._announcer.behaviour,
            "connected": self.life is Life.RUNNING,
            "age_s": round(self._clock.now() - self._opened, 1),
            "parties": len(self.parties),
            "microphone": asdict(self.microphone.stats),
            "measurements": self._reporter.measurements(),
        }
