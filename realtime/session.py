"""One avatar at work: a source of speech, its stream, those who watch, those who control it.

A session begins when its first peer is connected (or `begin` is called) and ends when its last
party has gone: a peer, or whoever attached itself by a socket. One that nobody comes to ends too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from pipelines.photo.framing import SQUARE
from pipelines.pipeline import System
from realtime.appearance import Appearance, Face, Faces, Wish
from realtime.avatar_stream import AvatarStream
from realtime.client_events import TurnDetection
from realtime.clock import Clock
from realtime.control import ControlHub
from realtime.descriptions import session_details, session_info
from realtime.endings import Endings
from realtime.engine.handle import StreamHandle, StreamOpener
from realtime.errors import BadOffer, UnknownSession
from realtime.life import Life, Presence
from realtime.logs import session_id
from realtime.media import Size
from realtime.metrics import Metrics
from realtime.parties import TOO_LATE, Dialect, Dialects, Parties, Party
from realtime.protocol import ServerEvent, SessionInfo
from realtime.session_config import SessionConfig
from realtime.session_media import SessionMedia
from realtime.sinks.webrtc.offer import Offer
from realtime.sinks.webrtc.peer import Peer
from realtime.sources.microphone.source import Microphone
from realtime.sources.pushed import PushedSpeech
from realtime.sources.source import Playback, Source
from realtime.tasks import Tasks

logger = logging.getLogger(__name__)

GONE_S = 10
"""A peer from which nothing came for so many seconds has probably gone. Reports and checks come
every five; consent to send is only over after thirty (RFC 7675), and a path may heal."""


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
        self.media: SessionMedia
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
        self._placed = False
        self._ended = asyncio.Event()

    # Life

    async def open(self) -> None:
        """Take a place in the engine.

        Raises:
            AtCapacity: one more session would make others late.
            VivavoceError: the face cannot be had, or the engine is gone.
        """
        try:
            look = self._asked, self.frame
            self._build(await self.appearance.open(self._opener, *look, self._seed))
            self.life = self.life.to(Life.OPEN)
            self._tasks.spawn(self.hub.run())
            self._tasks.spawn(self._wait_for_somebody())
            endings = Endings(self._clock, self.hub.warn, self.end_soon)
            if self._config.limit_s:
                self._tasks.spawn(endings.in_time(self._config.limit_s, self._opened))
            if self._config.idle_limit_s:
                self._tasks.spawn(endings.when_idle(self._config.idle_limit_s, self._last_sign))
        except BaseException:
            await self.close("failed")
            raise
        avatar = self.appearance.avatar.id
        logger.info("%s opened: avatar %s, %d x %d", self.id, avatar, *self.size)

    def _build(self, handle: StreamHandle) -> None:
        handle.on_end = self._engine_gave_up
        self.media = SessionMedia(
            handle,
            speech=self.speech,
            microphone=self.microphone,
            hub=self.hub,
            motion_names=self.appearance.system.motion_names,
            asked=self._asked,
            metrics=self._metrics,
            clock=self._clock,
            config=self._config,
            spawn=self._tasks.spawn,
            on_user=self._user_began,
        )
        self.stream = self.media.stream
        self._placed = True

    def begin(self) -> None:
        """Media time begins, unless it runs already."""
        if self.life is Life.OPEN:
            self.life = self.life.to(Life.RUNNING)
            self.stream.start()
            self._tasks.spawn(self.stream.run())
            self._tasks.spawn(self._every_second())

    async def close(self, reason: str) -> None:
        """End the session and give everything back. Safe to call again."""
        if self.closing:
            await self._ended.wait()
            return
        self.life = self.life.to(Life.CLOSING)
        try:
            await self._give_back()
        finally:
            if self._placed:
                self.media.count_end(reason)
            logger.info("%s closed: %s", self.id, reason)
            self.life = self.life.to(Life.CLOSED)
            self._ended.set()
            self._on_closed(self)

    async def _give_back(self) -> None:
        if self._placed:
            await self.media.close()
        for party in self.parties:
            self.parties.leave(party, "")
        await self._tasks.close()

    @property
    def closing(self) -> bool:
        """Whether the session has ended or is about to."""
        return self.life >= Life.CLOSING

    def presence(self, now: float, grace_s: float) -> Presence:
        """Whether anybody is there; whoever opened it has `grace_s` to come."""
        if self.closing:
            return "ending"
        if self.life is Life.OPEN and not any(party.has_come for party in self.parties):
            return "awaited" if now - self._opened <= grace_s else "left"
        gone_s = min((party.silent_s for party in self.parties), default=0)
        return "left" if gone_s >= GONE_S else "held"

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

    def _last_sign(self) -> float:
        """Local time when something was said, or done by anybody, or watched by mere viewers."""
        if any(party.watches and party.silent_s < GONE_S for party in self.parties):
            self.hub.stir()
        return max(self.hub.stirred, self.stream.said)

    async def _every_second(self) -> None:
        while True:
            due = self._clock.now() + 1.0
            await self._clock.sleep_until(due)
            now = self._clock.now()
            if now - due < 1.0:  # else we were held up, and what was sent may wait to be read
                self.parties.drop_silent(now, self._config.ping_timeout_s)
                self.parties.count_silence()
            self.hub.send(self.media.reporter.report())

    # Who is there

    async def connect(self, offer: Offer, dialects: Dialects | None = None) -> Peer:
        """Let one more peer watch; its microphone is heard if no other's is. Data channels other
        than `events` are understood in `dialects`.

        Raises:
            BadOffer: the offer cannot be used after all, or the session was over before it could
                be answered.
        """
        if self.closing:
            raise BadOffer(TOO_LATE)
        answer = partial(self.media.answer, offer)
        microphone = self.microphone if offer.microphone else None
        self.hub.stir()
        watches = not offer.microphone and not offer.channel
        return await self.parties.connect(
            answer, microphone, self._peer_is, dialects or {}, watches=watches
        )

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
        self.hub.stir()
        party.on_left()
        if party.peer is not None:
            self._tasks.spawn(party.peer.close(), finish=True)

    # What happens

    def _engine_gave_up(self, reason: str) -> None:
        self.hub.warn("engine_unavailable", reason)
        self.end_soon("engine_died")

    def announce_end(self, message: str) -> None:
        """Tell everybody that the session is about to end."""
        self.hub.warn("session_ending", message)

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
        return self.media.handle.largest if self._placed else self._asked

    def info(self) -> SessionInfo:
        """What a client may know of it."""
        return session_info(self)

    def describe(self) -> dict[str, Any]:
        """What `GET /v1/sessions/{id}` says."""
        return session_details(self, age_s=self._clock.now() - self._opened)
