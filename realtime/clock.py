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
