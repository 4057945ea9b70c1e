"""A thread for what takes long in the inference process; it yields to streams."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from realtime.processes import take_turns_late, yield_thread

NICE = 10
"""How much it yields to the steps of streams."""

Result = TypeVar("Result")


class PreparingThread:
    """Carries out jobs, one after another.

    A thread cannot take back what it yielded. So where there are no streams any more, and no job is
    under way, another one takes its place: at nice 10, on a busy machine, whoever comes first would
    wait ten times as long for their face.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._yielding = False
        self._yielded = False
        self._under_way = 0
        self._thread: int | None = None
        self._executor = self._make()

    def _make(self) -> ThreadPoolExecutor:
        self._yielded = self._yielding
        self._thread = None
        return ThreadPoolExecutor(1, self._name, initializer=self._begin)

    def _begin(self) -> None:
        self._thread = threading.get_native_id()
        take_turns_late(NICE if self._yielding else 0)

    def submit(self, work: Callable[[], Result], done: Callable[[Future[Result]], None]) -> None:
        """Carry out `work`; `done` is told, in any thread, and says so by `finished`."""
        if self._yielded and not self._yielding and not self._under_way:
            self._executor.shutdown(wait=False)
            self._executor = self._make()
        self._under_way += 1
        self._executor.submit(work).add_done_callback(done)

    def finished(self) -> None:
        """A job was carried out. From the thread that submits."""
        self._under_way -= 1

    def yield_to_streams(self) -> None:
        """Streams come first from now on, also where a job is under way."""
        self._yielding = self._yielded = True
        if self._thread is not None:
            yield_thread(self._thread, NICE)

    def stop_yielding(self) -> None:
        """There are no streams any more."""
        self._yielding = False

    def close(self) -> None:
        """Take no more jobs."""
        self._executor.shutdown(wait=False)
