"""The sessions of a media process: on the front's engine, with the front's avatars."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass
from typing import Any

from realtime.access.caller import Caller, caller
from realtime.clock import MonotonicClock
from realtime.config import ServerConfig
from realtime.engine.client import Engine
from realtime.engine.supervisor import EngineAddress
from realtime.errors import VivavoceError
from realtime.lapsed import LOOK_S, LapsedAccess
from realtime.life import Presence
from realtime.media_processes.avatars import SharedAvatars
from realtime.media_processes.line import Line
from realtime.media_processes.said_caller import write_caller
from realtime.media_processes.totals import Family, families_of
from realtime.metrics import Metrics
from realtime.session import Session
from realtime.session_host import SessionHost

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MediaSettings:
    """What a media process is started with."""

    config: ServerConfig
    engine: EngineAddress
    path: str
    """Of the Unix socket that it listens on."""


class SharedPipelines:
    """See `realtime.offered.Pipelines`: what is not loaded is the front's to load."""

    def __init__(self, engine: Engine, line: Line) -> None:
        self._engine = engine
        self._line = line

    async def check(self, name: str) -> None:
        """Raise where the engine, though it is up, has not built this pipeline.

        Raises:
            VivavoceError: it has not; the message says whether it is being loaded.
        """
        if self._engine.health().pipelines.get(name) != "ready":
            await self._line.call("check_pipeline", name)


class SharedSeats:
    """See `realtime.seats.Admission`: the front knows the sessions of all media processes."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def check(self) -> None:
        """The front has, before it handed the call over."""

    async def has_room(self) -> bool:
        """Whether somebody would give way."""
        return bool(await self._line.call("has_room", write_caller(caller())))

    async def make_room(self) -> bool:
        """Have somebody give way, here or elsewhere; False: nobody does."""
        return bool(await self._line.call("make_room", write_caller(caller())))


class MediaHost(SessionHost):
    """The sessions of a media process. The front is told of each before its client is."""

    def __init__(self, settings: MediaSettings) -> None:
        metrics, clock, config = Metrics(), MonotonicClock(), settings.config

        def observe(stage: str, seconds: float) -> None:
            metrics.stage_ms.labels(stage).observe(seconds * 1000)

        self.line = Line(
            {
                "pulse": lambda: self.engine.state,
                "families": self._families,
                "announce_end": self.announce_end,
                "end_sessions": self.end_sessions,
                "presences": self._presences,
                "give_up": self.give_up,
                "exit": self._exit,
            }
        )
        engine = Engine.attach(settings.engine, clock, observe)
        super().__init__(
            config,
            engine,
            SharedAvatars(config, self._ensure),
            SharedPipelines(engine, self.line),
            metrics,
            clock,
            config.encoder_niceness,
        )
        self.seats = SharedSeats(self.line)
        self.over = asyncio.Event()
        """The front wants it to end."""

    async def start(self) -> None:
        """Reach the engine, which is warm.

        Raises:
            EngineError: it cannot be reached.
        """
        await self.engine.start()
        gc.collect()
        gc.freeze()  # as the server does
        self._state = "open"
        await self.line.call("ready")

    async def end_lapsed(self) -> None:
        """End what runs by keys and tokens that hold no more, for ever; see `LapsedAccess`. The
        front is asked which do."""
        lapsed: set[Caller] = set()
        access = LapsedAccess(self._open, lambda who: who not in lapsed, self.clock)
        while True:
            await self.clock.sleep_until(self.clock.now() + LOOK_S)
            callers = list(self._callers())
            if not callers:
                continue
            try:
                hold = await self.line.call("hold", [write_caller(who) for who in callers])
            except VivavoceError as error:  # then all go on
                logger.error("cannot tell whose access has ended: %s", error)
                continue
            lapsed.clear()
            lapsed.update(who for who, holds in zip(callers, hold, strict=True) if not holds)
            access.look()

    def _callers(self) -> set[Caller]:
        """Whoever opened a session, and whoever is in one."""
        there = self._open.all()
        openers = {self._open.opener(session) for session in there}
        return openers | {party.who for session in there for party in session.parties}

    async def stop(self) -> None:
        """End what is left."""
        await self.end_sessions()
        await self.engine.stop()
        self.stop_encoding()

    async def _take_seat(self, session_id: str) -> None:
        asking = asyncio.ensure_future(
            self.line.call("take_seat", session_id, write_caller(caller()))
        )
        try:
            await asyncio.shield(asking)
        except BaseException:  # the client may have gone, and the front not have answered yet
            asking.add_done_callback(lambda asked: self._give_back(asked, session_id))
            raise
        self._open.expect(session_id)

    def _give_back(self, asked: asyncio.Future[Any], session_id: str) -> None:
        if not asked.cancelled() and asked.exception() is None:
            self.line.tell("closed", session_id)

    async def _presences(self) -> dict[str, Presence]:
        """See `MediaProcess.presences`."""
        return {seat.id: seat.presence for seat in await self._look()}

    def _forget(self, session: Session) -> None:
        super()._forget(session)
        self.line.tell("closed", session.id)

    async def _ensure(self, avatar_id: str, pipeline: str) -> str:
        key: str = await self.line.call("ensure", avatar_id, pipeline, timeout_s=None)
        return key

    def _families(self) -> list[Family]:
        return families_of(self.metrics.registry)

    def _exit(self) -> None:
        self.over.set()
