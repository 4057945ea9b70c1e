"""The enrolment process, seen from the server: jobs one after another, none of which can harm it.

Enrolling takes seconds to minutes of computation on untrusted bytes, so it runs in a process of
its own: neither a running session nor the server notices, whatever the material holds. The process
is started on demand and ends when it was idle for a while. It may crash, be killed or stand still:
that fails the job under way and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from realtime.avatars.worker import CANCEL, Job, run_worker
from realtime.errors import AvatarRejected, StorageError

logger = logging.getLogger(__name__)

IDLE_S = 60.0
CANCEL_S = 10.0  # for a cancelled job to stop by itself
OnProgress = Callable[[float, str], None]


class EnrolmentProcess:
    """Carries out jobs of `worker`, one at a time.

    Args:
        stall_s: a job that gives no sign of progress for so long is ended.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._turn = asyncio.Lock()
        self._process: Any = None
        self._pipe: Any = None
        self._messages: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, where one is running."""
        return None if self._process is None else int(self._process.pid)

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
            try:
                self._start()
                self._pipe.send(Job(work, args))
                return await self._outcome(on_progress)
            except asyncio.CancelledError:
                await self._cancel()
                raise
            except OSError as error:
                await self._end()
                raise AvatarRejected(*_FAILED) from error
            finally:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(IDLE_S, self._rest)

    def _start(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self._forget()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # From this thread and no other: the process dies with the thread that started it.
        self._process = context.Process(
            target=run_worker, args=(theirs, os.getpid()), name="vivavoce-enrolment", daemon=True
        )
        self._process.start()
        theirs.close()
        self._messages = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), self._readable, self._pipe, self._messages)

    def _readable(self, pipe: Any, messages: asyncio.Queue[tuple[Any, ...]]) -> None:
        try:
            messages.put_nowait(pipe.recv())
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            messages.put_nowait(("ended",))

    async def _outcome(self, on_progress: OnProgress) -> Any:
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    message = await self._messages.get()
            except TimeoutError:
                await self._end()
                raise AvatarRejected(
                    f"the enrolment made no progress for {self._stall_s:.0f} s and was ended; "
                    "try again, or try another file",
                    "enrolment_failed",
                ) from None
            if message[0] == "progress":
                on_progress(message[1], message[2])
            elif message[0] == "ok":
                return message[1]
            elif message[0] == "error":
                raise self._error(*message[1:])
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

    async def _cancel(self) -> None:
        """Ask the job to stop; the process ends if it does not."""
        stopped = False
        try:
            self._pipe.send(CANCEL)
            async with asyncio.timeout(CANCEL_S):
                while (await self._messages.get())[0] == "progress":
                    pass
                stopped = True
        except (OSError, TimeoutError):
            pass
        finally:
            if not stopped:
                self.kill()

    def _rest(self) -> None:
        if not self._turn.locked():
            self._closing = asyncio.get_running_loop().create_task(self.close())

    def kill(self) -> None:
        """End the process at once; a job under way fails."""
        with suppress(ValueError, AttributeError):  # never started, or over already
            self._process.kill()

    def _forget(self) -> None:
        """Let go of a process that has ended, or is about to."""
        if self._pipe is not None:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.join(1)
            self._process = None

    async def _end(self) -> None:
        self.kill()
        if self._process is not None:
            await asyncio.to_thread(self._process.join, 5)
        self._forget()

    async def close(self) -> None:
        """End the process when the job under way is over; cancel that first to be quick."""
        if self._idle is not None:
            self._idle.cancel()
        async with self._turn:
            if self._pipe is not None:
                asyncio.get_running_loop().remove_reader(self._pipe.fileno())
                self._pipe.close()
                self._pipe = None
            if self._process is not None:
                await asyncio.to_thread(self._process.join, 5)
                await self._end()


_FAILED = (
    "the material made the enrolment fail; try another file",
    "enrolment_failed",
)
