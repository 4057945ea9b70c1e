"""The media processes of a server: started, kept, and asked; each session is in one of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from realtime.access.caller import LOCAL, Caller, acting
from realtime.avatars.library import AvatarLibrary
from realtime.clock import Clock
from realtime.config import ServerConfig
from realtime.engine.supervisor import BackOff, EngineAddress
from realtime.errors import EngineError, NotReady, SessionError
from realtime.media_processes.folder import SocketFolder
from realtime.media_processes.host import MediaSettings
from realtime.media_processes.member import JOIN_S, MediaProcess
from realtime.media_processes.said_caller import read_caller
from realtime.media_processes.totals import Sums, families_of
from realtime.media_processes.whereabouts import Whereabouts
from realtime.metrics import Metrics
from realtime.pipeline_loader import PipelineLoader
from realtime.seats import Seat, Seats, rules_of
from realtime.tasks import log_failure

logger = logging.getLogger(__name__)


class MediaProcesses:
    """`start` before use, `stop` to end them all. Used from one event loop.

    Args:
        on_change: told that sessions have come or gone.
    """

    def __init__(
        self,
        config: ServerConfig,
        avatars: AvatarLibrary,
        pipelines: PipelineLoader,
        metrics: Metrics,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self.sessions: Whereabouts[MediaProcess] = Whereabouts()
        self.seats = Seats(
            rules_of(config), metrics, self.sessions.openers, self._look, self._give_up
        )
        self.holds: Callable[[Caller], bool] = lambda who: True
        """Whether what a caller has shown is valid still; see `LapsedAccess`."""
        self._config = config
        self._avatars = avatars
        self._pipelines = pipelines
        self._metrics = metrics
        self._clock = clock
        self._on_change = on_change
        self._numbers = itertools.count(1)
        self._there: dict[int, MediaProcess] = {}  # by place, 0 ... N - 1
        self._keeping: dict[int, asyncio.Task[None]] = {}
        self._ended = Sums()
        self._stopping = False
        self._folder: SocketFolder | None = None

    # Life

    async def start(self, engine: EngineAddress) -> None:
        """Start them all and wait until each takes sessions.

        Raises:
            EngineError: one does not.
        """
        self._folder = SocketFolder()
        for place in range(self._config.media_processes):
            self._there[place] = self._make(engine)
            task = asyncio.create_task(self._keep(place, engine), name=f"media process {place}")
            task.add_done_callback(log_failure)
            self._keeping[place] = task
        for process in list(self._there.values()):
            await asyncio.shield(process.ready)
            if process.state == "ended":
                self._stopping = True
                raise EngineError("a media process cannot start; the log says more")

    async def _keep(self, place: int, engine: EngineAddress) -> None:
        """Have a media process at this place, as long as the server runs."""
        back_off = BackOff()
        while True:
            process = self._there[place]
            try:
                reason = await process.live()
            finally:
                self._mourn(process)
            if self._stopping:
                return
            logger.error("media process %s: %s; another takes its place", process.name, reason)
            wait_s = back_off.failed(self._clock.now())
            wait_s = BackOff.longest_s if wait_s is None else wait_s
            await self._clock.sleep_until(self._clock.now() + wait_s)
            self._there[place] = self._make(engine)

    def _make(self, engine: EngineAddress) -> MediaProcess:
        assert self._folder is not None
        name = f"m{next(self._numbers)}"
        # Of the server's secrets only what sessions need.
        config = replace(self._config, api_keys="")
        settings = MediaSettings(config, engine, self._folder.socket(name))
        return MediaProcess(name, settings, self._clock, self._serve)

    def _mourn(self, process: MediaProcess) -> None:
        if self._folder is not None:
            self._folder.remove_socket(process.name)
        self._ended.add(process.families, ended=True)
        process.families = []
        lost = self.sessions.lose(process)
        if lost:
            logger.error("media process %s: %d session(s) ended with it", process.name, lost)
            self._metrics.sessions_ended.labels("media_process_ended").inc(lost)
            self._on_change()

    def announce_end(self) -> None:
        """Take no new session, and have those that run told."""
        for process in self._there.values():
            process.announce_end()

    async def stop(self) -> None:
        """End every session and every process."""
        self._stopping = True
        living = {place: p for place, p in self._there.items() if p.state != "ended"}
        await asyncio.gather(*(process.end() for process in living.values()))
        if living:
            await asyncio.wait({self._keeping[place] for place in living}, timeout=JOIN_S)
        for task in self._keeping.values():
            task.cancel()
        await asyncio.gather(*self._keeping.values(), return_exceptions=True)
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    # What they ask

    def _serve(self, process: MediaProcess) -> Mapping[str, Callable[..., Any]]:
        return {
            "take_seat": partial(self._take_seat, process),
            "closed": self._closed,
            "has_room": partial(self._on_behalf, self.seats.has_room),
            "make_room": partial(self._on_behalf, self.seats.make_room),
            "ensure": self._ensure,
            "check_pipeline": self._pipelines.check,
            "hold": lambda sayings: [self.holds(read_caller(said)) for said in sayings],
        }

    async def _take_seat(self, process: MediaProcess, session_id: str, who: str) -> None:
        """A session is about to be opened there.

        Raises:
            TooManySessions: whoever asks has as many as it may.
        """
        with acting(read_caller(who)):
            await self.seats.admit()
            if process.state == "ended":
                raise EngineError("the media process has ended")
            self.sessions.add(session_id, process)
        self._on_change()

    async def _on_behalf(self, ask: Callable[[], Awaitable[bool]], who: str) -> bool:
        with acting(read_caller(who)):
            return await ask()

    async def _look(self) -> list[Seat]:
        """The sessions of all processes."""
        ready = [process for process in self._there.values() if process.state == "ready"]
        told = await asyncio.gather(*(process.presences() for process in ready))
        return self.sessions.seats({id: each for some in told for id, each in some.items()})

    async def _give_up(self, session_id: str) -> bool:
        try:
            with acting(LOCAL):  # whosever it is
                process = self.sessions.find(session_id)
        except SessionError:
            return False
        return await process.give_up(session_id)

    def _closed(self, session_id: str) -> None:
        self.sessions.remove(session_id)
        self._on_change()

    async def _ensure(self, avatar_id: str, pipeline: str) -> str:
        with acting(LOCAL):  # it exists for whoever asked there
            return await self._avatars.ensure(self._avatars.get(avatar_id), pipeline)

    # What they are asked

    def choose(self) -> MediaProcess:
        """The one with the fewest sessions, of those that answer if any does.

        Raises:
            NotReady: none takes sessions now.
        """
        ready = [process for process in self._there.values() if process.state == "ready"]
        if not ready:
            raise NotReady("the media processes are being started; try again in a moment")

        def burden(process: MediaProcess) -> tuple[bool, int]:
            return process.late, len(self.sessions.at(process)) + process.opening

        return min(ready, key=burden)

    def check(self) -> None:
        """Raise where no session could be opened anywhere.

        Raises:
            NotReady: so it is.
        """
        self.choose()

    def describe(self) -> list[dict[str, Any]]:
        """What `GET /health` says of them."""
        return [
            {
                "name": process.name,
                "state": process.state,
                "pid": process.pid,
                "sessions": len(self.sessions.at(process)),
            }
            for process in self._there.values()
        ]

    async def sums(self) -> Sums:
        """The metrics of all processes and of the front."""
        await asyncio.gather(*(process.count() for process in self._there.values()))
        sums = Sums(families_of(self._metrics.registry))
        sums.add(self._ended.families())
        for process in self._there.values():
            sums.add(process.families)
        return sums
