"""Where sessions live: opened, found and ended on one engine, without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

from pipelines.identity import IdentityStore
from pipelines.photo.framing import choose_size, find_frame
from pipelines.pipeline import Size
from pipelines.registry import find_system
from realtime.avatars.mattes import matte_picture
from realtime.clock import Clock
from realtime.config import ServerConfig
from realtime.engine.client import Engine
from realtime.errors import (
    AtCapacity,
    BadRequest,
    Draining,
    EngineError,
    NotReady,
    UnknownPipeline,
)
from realtime.metrics import Metrics
from realtime.offered import OfferedFaces, Pipelines
from realtime.open_sessions import OpenSessions
from realtime.parties import Dialects
from realtime.processes import yield_thread
from realtime.seats import EMPTY, Admission, Seat, Seats, rules_of
from realtime.session import Session
from realtime.session_config import SessionConfig
from realtime.session_request import SessionRequest
from realtime.sinks.webrtc.offer import CALL, Terms, parse_offer
from realtime.sinks.webrtc.peer import Peer
from realtime.sinks.webrtc.settings import RtcConfig

Place = tuple[str, Size, str]
"""A pipeline, a size and a frame."""
SWEEP_S = 0.5  # after a session's end: its media objects form cycles that hold codec buffers


class SessionHost:
    """The sessions of one process, and what they share.

    Args:
        niceness: by which encoders yield to everything else; see `processes`.
    """

    def __init__(
        self,
        config: ServerConfig,
        engine: Engine,
        avatars: OfferedFaces,
        pipelines: Pipelines,
        metrics: Metrics,
        clock: Clock,
        niceness: int = 0,
    ) -> None:
        self.config = config
        self.engine = engine
        self.metrics = metrics
        self.clock = clock
        self.avatars = avatars
        self.pipelines = pipelines
        self._open = OpenSessions()
        self._seats = Seats(rules_of(config), metrics, self._open.openers, self._look, self.give_up)
        self.seats: Admission = self._seats
        """Who decides whether there is room."""
        self._ice_servers = config.ice_servers()
        # Of their own: nothing that a stranger can ask for waits in the same queue. libvpx lets go
        # of the interpreter, so that as many threads as cores encode at once.
        self._encoders = ThreadPoolExecutor(
            len(os.sched_getaffinity(0)), "encode", initializer=partial(_yield_by, niceness)
        )
        self._session_config = SessionConfig(
            webrtc=RtcConfig(
                video_codec=config.video_codec,
                loopback=config.loopback,
                connect_timeout_s=config.connect_timeout_s,
            ),
            ping_timeout_s=config.ping_timeout_s,
            limit_s=config.session_limit_s,
            idle_limit_s=config.idle_limit_s,
            encoders=self._encoders,
            on_encoded=engine.measured_encode,
        )
        self.failure = ""
        """Why it could not start, in words."""
        self._state: Literal["starting", "open", "draining"] = "starting"
        self._sweep: asyncio.TimerHandle | None = None  # collects what ended sessions leave
        self._empty = asyncio.Event()  # set when the last session has ended

    def check_open(self) -> None:
        """Raise unless sessions and uploads are taken at all.

        Raises:
            NotReady, Draining, EngineError.
        """
        if self.failure:
            raise EngineError(f"the server could not start: {self.failure}")
        if self._state == "starting":
            raise NotReady("the server is starting; try again in a moment")
        if self._state == "draining":
            raise Draining("the server is shutting down")

    def check_takes_sessions(self) -> None:
        """See `check_open`, for whoever wants a session: that it was refused is counted.

        Raises:
            NotReady, Draining, EngineError.
        """
        with self._counting_refusals():
            self.check_open()

    async def check_seat(self) -> None:
        """Raise where whoever asks would get no session, whatever it asks for: before anything of
        what it sends is read. That it was refused is counted.

        Raises:
            NotReady, Draining, EngineError, AtCapacity, TooManySessions.
        """
        self.check_takes_sessions()
        await self.seats.check()

    @contextlib.contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except AtCapacity as refusal:
            self.metrics.refused.labels(refusal.code).inc()
            raise

    def ice_servers(self) -> list[dict[str, Any]]:
        """STUN and TURN servers a client should use; none are needed on one machine."""
        return self._ice_servers.describe()

    async def call(
        self,
        request: SessionRequest,
        sdp: str,
        terms: Terms = CALL,
        *,
        dialects: Callable[[Session], Dialects] = lambda session: {},
    ) -> tuple[Session, Peer]:
        """Open a session and answer the offer of its first peer; the answer is `Peer.answer_sdp`.
        `dialects`: see `Session.connect`.

        The offer is read last: where there is no room it costs nothing.

        Raises:
            BadOffer, and what `open_session` raises.
        """
        place = await self._find_place(request)
        offer = parse_offer(sdp, terms, max_bytes=self.config.max_sdp_bytes)
        session = await self._open_at(place, request)
        try:
            return session, await session.connect(offer, dialects(session))
        except BaseException:
            await session.close("failed")
            raise

    async def open_session(self, request: SessionRequest) -> Session:
        """Admit and build one session; it ends by itself if nobody comes to it.

        Raises:
            BadRequest, UnknownAvatar, UnknownPipeline, AvatarRejected, AtCapacity, TooManySessions,
            NotReady, EngineError.
        """
        return await self._open_at(await self._find_place(request), request)

    async def _find_place(self, request: SessionRequest) -> Place:
        """What the session will be, if there is room for it, or will be once another gives way."""
        self.check_takes_sessions()
        place = await self._choose(request)
        with self._counting_refusals():
            try:
                await self.engine.check(*place)
            except AtCapacity:
                if not await self.seats.has_room():
                    raise
        return place

    async def _open_at(self, place: Place, request: SessionRequest) -> Session:
        with self._counting_refusals():
            try:
                return await self._open_session(place, request)
            except AtCapacity as refusal:
                if isinstance(refusal, Draining) or not await self.seats.make_room():
                    raise
            return await self._open_session(place, request)

    async def _open_session(self, place: Place, request: SessionRequest) -> Session:
        asked, (pipeline, size, frame) = request.avatar, place
        session = Session(
            id=secrets.token_urlsafe(16),  # 128 bits: who knows it may end it (RFC 9725, 4.2)
            avatar=self.avatars.default(pipeline) if asked is None else self.avatars.get(asked),
            system=find_system(pipeline),
            size=size,
            frame=frame,
            seed=request.seed if request.seed is not None else secrets.randbits(31),
            opener=self.engine,
            avatars=self.avatars,
            metrics=self.metrics,
            clock=self.clock,
            config=self._session_config,
            speech=request.speech(),
            on_closed=self._forget,
        )
        await self._take_seat(session.id)
        await session.open()
        try:
            self.check_open()  # it may have begun to end meanwhile, and told all but this one
        except BaseException:
            await session.close("drained")
            raise
        self._open.add(session)
        self.avatars.yield_to_sessions()
        return session

    async def _take_seat(self, session_id: str) -> None:
        """A session of whoever asks is about to be opened.

        Raises:
            TooManySessions: it has as many as it may.
        """
        await self._seats.admit()
        self._open.expect(session_id)

    async def _look(self) -> list[Seat]:
        return self._open.seats(self.clock.now(), self.config.unclaimed_s)

    async def give_up(self, session_id: str) -> bool:
        """See `Seats`: a place belongs to who is there."""
        for session in self._open.all():
            now, grace_s = self.clock.now(), self.config.unclaimed_s
            if session.id == session_id and session.presence(now, grace_s) in EMPTY:
                await session.close("gave_way")
                return True
        return False

    async def _choose(self, request: SessionRequest) -> Place:
        name = request.pipeline or self.config.pipeline
        try:
            system = find_system(name)
        except ValueError as error:
            raise UnknownPipeline(str(error)) from error
        await self.pipelines.check(name)
        try:
            frame = request.frame or self.config.frame_of(name)
            find_frame(system, frame)
            if request.size is None:
                return name, self.config.size_of(name, frame), frame
            return name, choose_size(system, request.size, frame), frame
        except ValueError as error:
            raise BadRequest(str(error)) from error

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The open sessions of this process that exist for whoever asks, by id."""
        return self._open.seen()

    def session(self, session_id: str) -> Session:
        """The open session of this id.

        Raises:
            UnknownSession: there is none for whoever asks.
        """
        return self._open.find(session_id)

    async def matte(self, session: Session) -> bytes:
        """See `matte_picture`: of the face that the session has now.

        Raises:
            UnknownMatte, and what enrolling raises.
        """
        avatar, pipeline = session.appearance.avatar, session.appearance.system.name
        key = await self.avatars.ensure(self.avatars.get(avatar.id), pipeline)
        return await asyncio.to_thread(matte_picture, IdentityStore(self.avatars.identities), key)

    def _forget(self, session: Session) -> None:
        self._open.remove(session)
        if not len(self._open):
            self._has_emptied()
        if self._sweep is None or self._sweep.when() <= asyncio.get_running_loop().time():
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, gc.collect)

    def _has_emptied(self) -> None:
        """The last session has ended."""
        self._empty.set()
        self.avatars.stop_yielding()

    # The end

    @property
    def count(self) -> int:
        """Open sessions, whoever asks."""
        return len(self._open)

    def announce_end(self) -> None:
        """Take no new session, and tell the running ones that they are about to end."""
        self._state = "draining"
        for session in self._open.all():
            session.announce_end("the server is shutting down")

    async def drain(self) -> None:
        """Take no new session, tell the running ones, and grant them `drain_timeout_s`."""
        self.announce_end()
        if self.count:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self.config.drain_timeout_s)

    async def end_sessions(self) -> None:
        """End those that are left."""
        self._state = "draining"
        await asyncio.gather(*(s.close("drained") for s in self._open.all()))

    def stop_encoding(self) -> None:
        """Give the encoders' threads back."""
        self._encoders.shutdown(wait=False, cancel_futures=True)


def _yield_by(niceness: int) -> None:
    if niceness:
        yield_thread(threading.get_native_id(), niceness)
