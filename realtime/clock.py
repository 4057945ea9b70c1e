"""Local time, injectable: everything in this package that waits asks one of these."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock in seconds that one can wait on."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    async def sleep_until(self, deadline: float) -> None:
        """Return at `deadline`, give or take the scheduler; at once if it has passed."""
        ...


class MonotonicClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep_until(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)


class VirtualClock:
    """Time that jumps to whatever is waited for: work done by deadlines goes as fast as it can."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    async def sleep_until(self, deadline: float) -> None:
        if deadline == float("inf"):  # something else must happen
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)  # others may do what is due before
        self._now = max(self._now, deadline)


class Alarm:
    """Lets one loop wait for a deadline, or for something to happen before it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = False
        self._sleeper: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """End the wait that goes on, or else the next one, at once."""
        self._rung = True
        if self._sleeper is not None:
            self._sleeper.cancel()

    async def wait(self, deadline: float) -> None:
        """Return at `deadline`, or when `ring` was called since the last wait ended."""
        if not self._rung:
            self._sleeper = asyncio.ensure_future(self._clock.sleep_until(deadline))
            try:
                await asyncio.wait((self._sleeper,))
            finally:
                self._sleeper.cancel()
                self._sleeper = None
        self._rung = False
