"""The enrolment process, seen from the server: jobs one after another, none of which can harm it.

Enrolling takes seconds to minutes of computation on untrusted bytes, so it runs in a process of
its own: neither a running session nor the server notices, whatever the material holds. The process
is started on demand and ends when it was idle for a while. It may crash, be killed or stand still:
that fails the job under way and nothing else. What it answers is JSON, never unpickled.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import pickle
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from realtime.avatars.worker import CANCEL, Job, run_worker
from realtime.errors import AvatarRejected, StorageError
from realtime.processes import yield_process

logger = logging.getLogger(__name__)

NICE = 15
"""How much it yields to sessions. Only to them: at nice 15 a face of 0.3 s took 70 beside four busy
processes, and where there is no session nobody is served by that."""
IDLE_S = 60.0
CANCEL_S = 10.0  # for a cancelled job to stop by itself
MAX_ANSWER_BYTES = 1024 * 1024
_FAILED = ("the material made the enrolment fail; try another file", "enrolment_failed")

OnProgress = Callable[[float, str], None]


@dataclass
class _Child:
    """A running process and what it says."""

    process: Any
    writer: asyncio.StreamWriter
    messages: asyncio.Queue[list[Any]]
    pump: asyncio.Task[None]
    yielded: bool = False
    """It cannot take that back."""

    def give_way(self) -> None:
        """Have it yield to sessions from now on."""
        self.yielded = True
        yield_process(self.process.pid, NICE)

    def send(self, what: Any) -> None:
        """Hand it a job or `CANCEL`, as `multiprocessing.connection.Connection.recv` reads it."""
        data = pickle.dumps(what)
        self.writer.write(len(data).to_bytes(4, "big") + data)


async def _read(reader: asyncio.StreamReader, messages: asyncio.Queue[list[Any]]) -> None:
    """Move messages from the socket to the queue, and "ended" after the last."""
    try:
        while (size := int.from_bytes(await reader.readexactly(4), "big")) <= MAX_ANSWER_BYTES:
            messages.put_nowait(json.loads(await reader.readexactly(size)))
    except (EOFError, OSError, ValueError):
        pass
    messages.put_nowait(["ended"])


class EnrolmentProcess:
    """Carries out jobs of `worker`, one at a time.

    Args:
        stall_s: a job that gives no sign of progress for so long is ended.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._yielding = False
        self._turn = asyncio.Lock()
        self._child: _Child | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._resting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, where one is running."""
        return None if self._child is None else int(self._child.process.pid)

    def yield_to_sessions(self) -> None:
        """Sessions come first from now on, also where a job is under way."""
        self._yielding = True
        if self._child is not None and self._turn.locked():
            self._child.give_way()

    def stop_yielding(self) -> None:
        """There are no sessions any more: the next job is not to wait for other programs."""
        self._yielding = False

    async def run(
        self,
        work: Callable[..., Any],
        *args: Any,
        on_progress: OnProgress = lambda share, stage: None,
    ) -> Any:
        """Carry out `work(reporter, *args)`. Cancelling the caller cancels the job.

        Raises:
            AvatarRejected: it failed; the message is for the user.
            StorageError: its result cannot be kept.
        """
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            child = await self._start()
            if self._yielding:
                child.give_way()
            try:
                child.send(Job(work, args))
                return await self._outcome(child, on_progress)
            except asyncio.CancelledError:
                await self._cancel(child)
                raise
            finally:
                self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._rest)

    async def _start(self) -> _Child:
        child = self._child
        spent = child is not None and child.yielded and not self._yielding
        if child is not None and child.process.is_alive() and not spent:
            return child
        await self._end()
        ours, theirs = socket.socketpair()
        # From this thread and no other: the process dies with the thread that started it.
        process = multiprocessing.get_context("spawn").Process(
            target=run_worker,
            args=(theirs, os.getpid()),
            name="vivavoce-enrolment",
            daemon=True,
        )
        process.start()
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        messages: asyncio.Queue[list[Any]] = asyncio.Queue()
        pump = asyncio.create_task(_read(reader, messages))
        self._child = _Child(process, writer, messages, pump)
        return self._child

    async def _outcome(self, child: _Child, on_progress: OnProgress) -> Any:
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    kind, *rest = await child.messages.get()
            except TimeoutError:
                await self._end()
                raise AvatarRejected(
                    f"the enrolment made no progress for {self._stall_s:.0f} s and was ended; "
                    "try again, or try another file",
                    "enrolment_failed",
                ) from None
            if kind == "progress":
                on_progress(*rest)
            elif kind == "ok":
                return rest[0]
            elif kind == "error":
                code, message, details = rest
                if details:  # it goes down with its job: the next one must not be given to it
                    await self._end()
                raise self._error(code, message, details)
            else:
                await self._end()
                raise AvatarRejected(*_FAILED)

    def _error(self, code: str, message: str, details: str) -> AvatarRejected | StorageError:
        if code == StorageError.code:
            return StorageError(message)
        if details:
            logger.error("the enrolment process failed:\n%s", details)
            return AvatarRejected(*_FAILED)
        return AvatarRejected(message, code)

    async def _cancel(self, child: _Child) -> None:
        """Ask the job to stop; the process ends if it does not."""
        stopped = False
        try:
            child.send(CANCEL)
            async with asyncio.timeout(CANCEL_S):
                while (await child.messages.get())[0] == "progress":
                    pass
            stopped = True
        except (OSError, TimeoutError):
            pass
        finally:
            if not stopped:
                self.kill()

    def _rest(self) -> None:
        if not self._turn.locked():
            self._resting = asyncio.get_running_loop().create_task(self.close())

    def kill(self) -> None:
        """End the process at once; a job under way fails."""
        if self._child is not None:
            self._child.process.kill()

    async def _end(self) -> None:
        """Let the process end, and see to it that it does."""
        child, self._child = self._child, None
        if child is None:
            return
        child.process.kill()
        await asyncio.to_thread(child.process.join, 5)
        child.writer.close()
        with suppress(OSError):
            await child.writer.wait_closed()
        await child.pump

    async def close(self) -> None:
        """End the process when the job under way is over; `kill` first to be quick."""
        if self._idle is not None:
            self._idle.cancel()
        async with self._turn:
            await self._end()
