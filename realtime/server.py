"""The running server, without HTTP: one engine, the avatars, the open sessions."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.identity import IdentityStore
from pipelines.photo.framing import choose_size, find_frame
from pipelines.pipeline import Size
from pipelines.registry import find_system
from realtime.access.caller import Caller
from realtime.avatars.library import AvatarLibrary
from realtime.avatars.mattes import matte_picture
from realtime.clock import MonotonicClock
from realtime.config import ServerConfig
from realtime.descriptions import describe_engine, describe_pipelines, log_speed
from realtime.engine.client import Engine
from realtime.engine.config import EngineConfig
from realtime.errors import (
    AtCapacity,
    BadRequest,
    Draining,
    EngineError,
    NotReady,
    UnknownPipeline,
    VivavoceError,
)
from realtime.lapsed import LapsedAccess
from realtime.metrics import Metrics
from realtime.open_sessions import OpenSessions
from realtime.parties import Dialects
from realtime.pipeline_loader import PipelineLoader
from realtime.session import Session
from realtime.session_config import SessionConfig
from realtime.sinks.webrtc.offer import CALL, Terms, parse_offer
from realtime.sinks.webrtc.peer import Peer, RtcConfig
from realtime.sources.pushed import PushedSpeech

logger = logging.getLogger(__name__)

SWEEP_S = 0.5  # after a session's end: its media objects form cycles that hold codec buffers


@dataclass(frozen=True)
class SessionRequest:
    """What a client asks for. None takes the server's default."""

    avatar: str | None = None
    pipeline: str | None = None
    size: int | str | None = None
    seed: int | None = None
    frame: str | None = None
    audio: Literal["microphone", "push"] = "microphone"
    """Where what the avatar says comes from: the first peer's microphone, or `Session.speech`."""
    rate_hz: int = 24_000
    """Of the PCM that is pushed."""


class Server:
    """Owns what all sessions share. `start` before use, `stop` to end everything."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.metrics = Metrics()
        self.clock = MonotonicClock()
        self._open = OpenSessions()
        self._ice_servers = config.ice_servers()
        self.avatars = AvatarLibrary(config, self.metrics)
        self.engine = Engine(
            EngineConfig(
                pipelines=tuple((name, config.options_of(name)) for name in config.loaded),
                identities=self.avatars.identities,
                slots=config.max_sessions,
                max_sessions=config.max_sessions,
                device=config.device,
                backend=config.backend,
                load_share=config.load_share,
                cache_bytes=config.identity_cache_bytes,
            ),
            self.clock,
            self._observe,
        )
        # Of their own: nothing that a stranger can ask for waits in the same queue. libvpx lets go
        # of the interpreter, so that as many threads as cores encode at once.
        self._encoders = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "encode")
        self._session_config = SessionConfig(
            webrtc=RtcConfig(
                video_codec=config.video_codec,
                loopback=config.loopback,
                connect_timeout_s=config.connect_timeout_s,
            ),
            ping_timeout_s=config.ping_timeout_s,
            encoders=self._encoders,
            on_encoded=self.engine.measured_encode,
        )
        self.failure = ""
        """Why it could not start, in words."""
        self.pipelines = PipelineLoader(config, self.engine, self.avatars)
        self._state: Literal["starting", "open", "draining"] = "starting"
        self._sweep: asyncio.TimerHandle | None = None  # collects what ended sessions leave
        self._empty = asyncio.Event()  # set when the last session has ended

    def _observe(self, stage: str, seconds: float) -> None:
        self.metrics.stage_ms.labels(stage).observe(seconds * 1000)

    # Life

    async def start(self) -> None:
        """Warm up: the first session must not pay for first calls.

        Raises:
            EngineError: a pipeline cannot be built.
        """
        try:
            await self.avatars.resume()
            faces = asyncio.gather(*map(self._prepare_face, self.config.loaded))
            try:
                await self.engine.start()
                await faces
            finally:
                faces.cancel()
            for name in self.config.loaded:
                await self.pipelines.warm_up(name)
            self.avatars.prepare_cast()
        except Exception as error:  # or it would be starting for ever
            self.failure = str(error) or type(error).__name__
            raise
        # What is alive now stays: left out of collections, it makes them too short to be heard.
        gc.collect()
        gc.freeze()
        self._state = "open"
        log_speed(self.engine.health())

    async def _prepare_face(self, pipeline: str) -> None:
        """Of whoever says nothing else; beside the engine's start, which leaves a core free."""
        with contextlib.suppress(VivavoceError):  # warming up says what is wrong
            await self.avatars.prepare(self.avatars.default(pipeline), pipeline)

    async def drain(self) -> None:
        """Take no new session, tell the running ones, and grant them `drain_timeout_s`."""
        self._state = "draining"
        for session in self._open.all():
            session.announce_end("the server is shutting down")
        if len(self._open):
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self.config.drain_timeout_s)

    async def stop(self) -> None:
        """End every session and everything else."""
        self._state = "draining"
        await asyncio.gather(*(s.close("drained") for s in self._open.all()))
        await self.pipelines.close()
        await self.engine.stop()
        await self.avatars.close()
        self._encoders.shutdown(wait=False, cancel_futures=True)

    # What it can do now

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

    async def check_ready(self) -> None:
        """Raise unless one more session of the default kind would be taken now: the engine is
        asked, and answers.

        Raises:
            NotReady, Draining, AtCapacity, EngineError.
        """
        self.check_open()
        name = self.config.pipeline
        await self.engine.check(name, self.config.size_of(name), self.config.frame_of(name))

    def describe_health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the server is alive or will be so again by itself; and what there is to say."""
        health = self.engine.health()
        failed = bool(self.failure) or health.state == "failed"
        status = "failed" if failed else "ok"
        if not failed and (self._state != "open" or health.state != "ready"):
            status = health.state if self._state == "open" else self._state
        return not failed, {
            "status": status,
            "reason": self.failure or health.reason,
            "sessions": len(self._open),
            "cast_to_prepare": self.avatars.cast_to_prepare,
            **describe_engine(health, self.config),
        }

    def describe_pipelines(self) -> list[dict[str, Any]]:
        """What `GET /v1/pipelines` says."""
        return describe_pipelines(self.engine.health(), self.config)

    def update_metrics(self) -> None:
        """Bring those gauges up to date that nobody else does."""
        health = self.engine.health()
        self.metrics.rung.set(health.rung)
        self.metrics.engine_restarts.set(health.restarts)

    def ice_servers(self) -> list[dict[str, Any]]:
        """STUN and TURN servers a client should use; none are needed on one machine."""
        return self._ice_servers.describe()

    # Sessions

    async def call(
        self,
        request: SessionRequest,
        sdp: str,
        terms: Terms = CALL,
        *,
        dialects: Dialects | None = None,
    ) -> tuple[Session, Peer]:
        """Open a session and answer the offer of its first peer; the answer is `Peer.answer_sdp`.
        `dialects`: see `Session.connect`.

        Raises:
            BadOffer, NotReady, and what `open_session` raises.
        """
        self.check_open()
        offer = parse_offer(sdp, terms, max_bytes=self.config.max_sdp_bytes)
        session = await self.open_session(request)
        try:
            return session, await session.connect(offer, dialects)
        except BaseException:
            await session.close("failed")
            raise

    async def open_session(self, request: SessionRequest) -> Session:
        """Admit and build one session; it ends by itself if nobody comes to it.

        Raises:
            BadRequest, UnknownAvatar, UnknownPipeline, AvatarRejected, AtCapacity, NotReady,
            EngineError.
        """
        try:
            return await self._open_session(request)
        except AtCapacity as refusal:
            self.metrics.refused.labels(refusal.code).inc()
            raise

    async def _open_session(self, request: SessionRequest) -> Session:
        self.check_open()
        pipeline, size, frame = self._choose(request)
        speech = _speech(request)
        await self.engine.check(pipeline, size, frame)
        library = self.avatars
        asked = request.avatar
        session = Session(
            id=secrets.token_urlsafe(16),  # 128 bits: who knows it may end it (RFC 9725, 4.2)
            avatar=library.default(pipeline) if asked is None else library.get(asked),
            system=find_system(pipeline),
            size=size,
            frame=frame,
            seed=request.seed if request.seed is not None else secrets.randbits(31),
            opener=self.engine,
            avatars=library,
            metrics=self.metrics,
            clock=self.clock,
            config=self._session_config,
            speech=speech,
            on_closed=self._forget,
        )
        await session.open()
        self._open.add(session)
        self.avatars.yield_to_sessions()
        return session

    def _choose(self, request: SessionRequest) -> tuple[str, Size, str]:
        name = request.pipeline or self.config.pipeline
        try:
            system = find_system(name)
        except ValueError as error:
            raise UnknownPipeline(str(error)) from error
        self.pipelines.check(name)
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
        """The open sessions that exist for whoever asks, by id."""
        return self._open.seen()

    def session(self, session_id: str) -> Session:
        """The open session of this id.

        Raises:
            UnknownSession: there is none for whoever asks.
        """
        return self._open.find(session_id)

    async def end_lapsed(self, holds: Callable[[Caller], bool]) -> None:
        """End what runs by keys and tokens that hold no more, for ever; see `LapsedAccess`."""
        await LapsedAccess(self._open, holds, self.clock).run()

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
            self._empty.set()
            self.avatars.stop_yielding()
        if self._sweep is None or self._sweep.when() <= asyncio.get_running_loop().time():
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, gc.collect)


def _speech(request: SessionRequest) -> PushedSpeech | None:
    if request.audio == "microphone":
        return None
    try:
        return PushedSpeech(request.rate_hz)
    except ValueError as error:
        raise BadRequest(str(error)) from error
