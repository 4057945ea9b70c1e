"""The background tasks of one owner, none of which can fail unnoticed or outlive it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)


def log_failure(task: asyncio.Task[None]) -> None:
    """Done callback of a task that nobody awaits before it is stopped: it shall not fail unseen."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s failed", task.get_name(), exc_info=error)


class Tasks:
    """Starts tasks and ends them.

    Args:
        on_failure: called with the error of a task that failed.
        prepare: called first in each task's own context, which then carries what it sets.
    """

    def __init__(
        self, on_failure: Callable[[BaseException], None], prepare: Callable[[], object]
    ) -> None:
        self._on_failure = on_failure
        self._prepare = prepare
        self._running: set[asyncio.Task[None]] = set()
        self._finishing: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], *, finish: bool = False) -> None:
        """Start a task; one with `finish` is awaited in the end, not cancelled."""
        context = contextvars.copy_context()
        context.run(self._prepare)
        task = asyncio.create_task(work, context=context)
        (self._finishing if finish else self._running).add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._finishing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    async def close(self) -> None:
        """End all of them but the caller's own; returns when they have ended."""
        for task in self._others(self._running):
            task.cancel()
        while others := self._others(self._running | self._finishing):
            await asyncio.gather(*others, return_exceptions=True)

    @staticmethod
    def _others(tasks: set[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        return [task for task in tasks if task is not asyncio.current_task()]
