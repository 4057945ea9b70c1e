"""The running server, without HTTP: one engine, the avatars, the open sessions."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import secrets
from dataclasses import dataclass
from typing import Any

from realtime.avatars import AvatarLibrary
from realtime.clock import MonotonicClock
from realtime.config import ServerConfig
from realtime.engine import Engine
from realtime.errors import AtCapacity, Draining, NotReady, UnknownSession, VivavoceError
from realtime.inference import Inference
from realtime.inference_worker import WorkerConfig, choose_device
from realtime.metrics import Metrics
from realtime.offer import parse_offer
from realtime.scheduler import Admission
from realtime.session import Session

logger = logging.getLogger(__name__)

SWEEP_S = 0.5  # after a session's end: its media objects form cycles that hold codec buffers


@dataclass(frozen=True)
class SessionRequest:
    """What a client asks for. None takes the server's default."""

    sdp: str
    avatar: str | None = None
    size: int | None = None
    seed: int | None = None


class Service:
    """Owns what all sessions share. `start` before use, `stop` to end everything."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.preset = config.preset
        self.metrics = Metrics()
        self.clock = MonotonicClock()
        self.sessions: dict[str, Session] = {}
        self.avatars = AvatarLibrary(
            config.data_dir,
            config.cast_dir,
            config.max_avatars,
            self.metrics,
            self.preset,
        )
        device = choose_device(config.device)
        cores = float(len(os.sched_getaffinity(0)))
        self._admission = Admission(
            max_sessions=config.max_sessions,
            cores=cores,
            load_share=config.load_share,
            cuda=device == "cuda",
        )
        self._worker = WorkerConfig(
            preset=self.preset,
            slots=config.max_sessions,
            device=device,
            identities=self.avatars.identities,
            cache_bytes=config.identity_cache_bytes,
        )
        self._engine = self._new_engine()
        self._sweep: asyncio.TimerHandle | None = None  # collects what ended sessions leave
        self._background: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()  # set when the last session has ended
        self._ready = False
        self._draining = False

    def _new_engine(self) -> Engine:
        inference = Inference(self._worker)
        return Engine(inference, self._admission, self.metrics, self._engine_died)

    async def start(self) -> None:
        """Warm up: the first session must not pay for first calls."""
        self.avatars.sweep()
        await self.avatars.enrol_cast()
        await self._start_engine()
        # What is alive now stays: left out of collections, it makes them too short to be heard.
        gc.collect()
        gc.freeze()

    async def _start_engine(self) -> None:
        await self._engine.start()
        for avatar in self.avatars.list()[:1]:
            try:
                await self._engine.warm_up(await self.avatars.ensure(avatar), self.preset.sizes)
            except VivavoceError as error:
                logger.error("cannot warm up with avatar %s: %s", avatar.id, error)
        self._ready = True
        logger.info("ready: measured costs %s", self._admission.describe())

    def _engine_died(self) -> None:
        self._ready = False
        self._spawn(self._revive())

    async def _revive(self) -> None:
        """Inference died under us: end its sessions with a word, and start it anew."""
        for session in list(self.sessions.values()):
            session.announce_end("the server had to restart its renderer; please connect again")
        await asyncio.gather(*(s.close("engine_died") for s in list(self.sessions.values())))
        await self._engine.stop()
        self._engine = self._new_engine()
        await self._start_engine()

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def drain(self) -> None:
        """Take no new session, tell the running ones, and grant them `drain_timeout_s`."""
        self._draining = True
        for session in list(self.sessions.values()):
            session.announce_end("the server is shutting down")
        if self.sessions:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self.config.drain_timeout_s)

    async def stop(self) -> None:
        """End every session and everything else."""
        self._draining = True
        await asyncio.gather(*(s.close("drained") for s in list(self.sessions.values())))
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._engine.stop()
        await self.avatars.close()

    def check_ready(self) -> None:
        """Raise unless one more session of the default size would be admitted now."""
        if not self._ready:
            raise NotReady("the server is starting; try again in a moment")
        if self._draining:
            raise Draining("the server is shutting down")
        self._admission.check(self.config.size, self._engine.running_sizes)

    async def open_session(self, request: SessionRequest) -> Session:
        """Admit, build and answer one session.

        Raises:
            BadOffer, UnknownAvatar, AtCapacity, NotReady.
        """
        try:
            return await self._open_session(request)
        except AtCapacity as refusal:
            self.metrics.refused.labels(refusal.code).inc()
            raise

    async def _open_session(self, request: SessionRequest) -> Session:
        offer = parse_offer(request.sdp, max_bytes=self.config.max_sdp_bytes)
        size = request.size or self.config.size
        if not self._ready:
            raise NotReady("the server is starting; try again in a moment")
        if self._draining:
            raise Draining("the server is shutting down")
        self._admission.check(size, self._engine.running_sizes)
        if request.avatar is None and not self.avatars.list():
            raise VivavoceError("this server has no avatars; upload a photo first")
        avatar = self.avatars.get(request.avatar or self.avatars.list()[0].id)
        session = Session(
            id=secrets.token_urlsafe(12),
            avatar=avatar,
            size=size,
            seed=request.seed if request.seed is not None else secrets.randbits(31),
            engine=self._engine,
            admission=self._admission,
            avatars=self.avatars,
            metrics=self.metrics,
            config=self.config,
            clock=self.clock,
            on_closed=self._forget,
        )
        await session.open(offer)
        self.sessions[session.id] = session
        return session

    def session(self, session_id: str) -> Session:
        """The open session of this id.

        Raises:
            UnknownSession: there is none.
        """
        try:
            return self.sessions[session_id]
        except KeyError:
            raise UnknownSession(f"no session {session_id!r}: it has ended or never was") from None

    def _forget(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        if not self.sessions:
            self._empty.set()
        if self._sweep is None or self._sweep.when() <= asyncio.get_running_loop().time():
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, gc.collect)

    def ice_servers(self) -> list[dict[str, Any]]:
        """STUN and TURN servers a client should use; none are needed on one machine."""
        return []

    def engine_costs(self) -> dict[str, Any]:
        """Measured costs and the rung of the degradation ladder."""
        return {"costs": self._admission.describe(), "rung": self._engine.rung}
