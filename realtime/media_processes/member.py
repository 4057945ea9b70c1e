"""One media process as the front sees it: from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from realtime.clock import Clock
from realtime.errors import VivavoceError
from realtime.life import Presence
from realtime.media_processes.host import MediaSettings
from realtime.media_processes.line import Line
from realtime.media_processes.process import run_media_process
from realtime.media_processes.totals import Family

logger = logging.getLogger(__name__)

BEAT_S = 1.0
START_S = 120.0
"""Deadline for the first answer: much is imported before."""
LATE_S = 3.0
"""One that has not answered for so long gets no new session while another answers."""
UNANSWERED_S = 30.0
"""A process that answers nothing for so long is ended; sessions in it have stood still as long."""
SEATS_S = 5.0
"""For an answer to whoever wants a session."""
COUNT_S = 5.0
"""For what it has counted: Prometheus itself waits for ten."""
NOTICE_S = 1.0
"""Its end shows in whatever it was asked just before it shows on its line."""
JOIN_S = 10.0
"""For an orderly end, before it is killed."""

State = Literal["starting", "ready", "ended"]


class MediaProcess:
    """Lives once: `live`.

    Args:
        name: for logs and `/health`.
        serves: what it may call; see `Line`.
    """

    def __init__(
        self,
        name: str,
        settings: MediaSettings,
        clock: Clock,
        serves: Callable[[MediaProcess], Mapping[str, Callable[..., Any]]],
    ) -> None:
        self.name = name
        self.settings = settings
        self.state: State = "starting"
        self.opening = 0
        """Requests under way that may open a session here."""
        self.families: list[Family] = []
        """What it had counted when it was last asked."""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it takes sessions, or has ended before."""
        self._ended = asyncio.Event()
        self._asked: float | None = None  # when, what it has not answered yet
        self._clock = clock
        self._line = Line({**serves(self), "ready": self._is_ready})
        self._process: Any = None

    @property
    def path(self) -> str:
        """Of its Unix socket."""
        return self.settings.path

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else int(self._process.pid)

    @property
    def late(self) -> bool:
        """Whether it answers nothing now."""
        return self._asked is not None and self._clock.now() - self._asked > LATE_S

    def _is_ready(self) -> None:
        self.state = "ready"
        if not self.ready.done():
            self.ready.set_result(None)

    async def live(self) -> str:
        """Start it; returns why it is over."""
        try:
            ours = self._start()
        except OSError as error:  # there is no memory for one more now, say
            self._over()
            return f"it cannot be started: {error}"
        await self._line.open(ours)
        hearing = asyncio.create_task(self._line.run())
        beating = asyncio.create_task(self._beat())
        try:
            await asyncio.wait({hearing, beating}, return_when=asyncio.FIRST_COMPLETED)
            return "it has ended" if hearing.done() else await beating
        finally:
            hung_up = hearing.done()
            self._over()
            for task in (beating, hearing):
                task.cancel()
            await asyncio.gather(beating, hearing, return_exceptions=True)
            await self._bury(JOIN_S if hung_up else 0.0)

    def _start(self) -> socket.socket:
        """The process; our end of the line to it."""
        ours, theirs = socket.socketpair()
        # From this thread and no other: the process dies with the thread that started it.
        process = multiprocessing.get_context("spawn").Process(
            target=run_media_process,
            args=(self.settings, theirs, os.getpid()),
            name=f"vivavoce-media-{self.name}",
            daemon=True,
        )
        try:
            process.start()
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._process = process
        return ours

    def _over(self) -> None:
        self.state = "ended"
        self._ended.set()
        if not self.ready.done():
            self.ready.set_result(None)

    async def _beat(self) -> str:
        """Ask it every second; returns why it is given up."""
        while True:
            await self._clock.sleep_until(self._clock.now() + BEAT_S)
            timeout_s = START_S if self.state == "starting" else UNANSWERED_S
            self._asked = self._clock.now()
            try:
                if await self._line.call("pulse", timeout_s=timeout_s) == "failed":
                    return "it has given up the inference process"
            except VivavoceError as error:
                return str(error)
            self._asked = None

    async def _bury(self, patience_s: float) -> None:
        process, self._process = self._process, None
        await asyncio.to_thread(process.join, patience_s)
        process.kill()
        await asyncio.to_thread(process.join, JOIN_S)
        if process.exitcode is None:  # in the kernel, which is busy: it cannot be waited for
            logger.error("media process %s does not end though it was killed", self.name)
            return
        logger.info("media process %s: exit code %s", self.name, process.exitcode)
        process.close()

    # What it is asked

    @contextlib.contextmanager
    def opens(self) -> Iterator[None]:
        """A request is under way that may open a session here."""
        self.opening += 1
        try:
            yield
        finally:
            self.opening -= 1

    async def has_ended(self) -> bool:
        """For whoever had no answer: whether it is gone, or was just too busy for one."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), NOTICE_S)
        return self._ended.is_set()

    async def count(self) -> list[Family]:
        """What it has counted; where it does not say, what it had when it last did."""
        try:
            self.families = await self._line.call("families", timeout_s=COUNT_S)
        except VivavoceError as error:
            logger.warning("media process %s does not say what it counted: %s", self.name, error)
        return self.families

    async def presences(self) -> dict[str, Presence]:
        """Of its sessions by id; see `Session.presence`. None where it does not say."""
        try:
            found: dict[str, Presence] = await self._line.call("presences", timeout_s=SEATS_S)
        except VivavoceError:
            return {}
        return found

    async def give_up(self, session_id: str) -> bool:
        """Have it end a session that nobody is in; whether it did."""
        try:
            return bool(await self._line.call("give_up", session_id, timeout_s=SEATS_S))
        except VivavoceError:
            return False

    def announce_end(self) -> None:
        """It takes no new session, and tells those that run."""
        self._line.tell("announce_end")

    async def end(self) -> None:
        """Have it end its sessions and then itself: `live` returns."""
        try:
            await self._line.call("end_sessions", timeout_s=JOIN_S)
            await self._line.call("exit", timeout_s=JOIN_S)
        except VivavoceError as error:
            logger.warning("media process %s is killed: %s", self.name, error)
