"""What ends a session though somebody is there: its time is over, or nothing happens in it."""

from __future__ import annotations

from collections.abc import Callable

from realtime.clock import Clock

NOTICE_S = 10.0
"""Between the word that a session's time is over, and its end."""
IDLE_NOTICE_S = 30.0
"""In which whoever was silent can say something after all."""
FAREWELL_S = 1.0
"""For a word to arrive: an ending connection takes what it has not sent with it."""


class Endings:
    """Tells that a session is about to end, and ends it.

    Args:
        warn: tells everybody, by a code and in words.
        end: ends it, for a reason.
    """

    def __init__(
        self, clock: Clock, warn: Callable[[str, str], None], end: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._warn = warn
        self._end = end

    async def in_time(self, limit_s: float, opened: float) -> None:
        """After `limit_s`."""
        await self._clock.sleep_until(opened + limit_s - NOTICE_S)
        self._warn("session_ending", f"sessions end after {limit_s / 60:.0f} minutes here")
        await self._clock.sleep_until(opened + limit_s)
        self._end("time_limit")

    async def when_idle(self, limit_s: float, last_sign: Callable[[], float]) -> None:
        """Once nothing has happened for `limit_s`; `last_sign` says when something last did."""
        silence = f"nothing was said or done for {in_words(limit_s)}"
        while True:
            last = last_sign()
            await self._clock.sleep_until(last + limit_s - IDLE_NOTICE_S)
            if last_sign() > last:
                continue
            soon = f"this session ends in {IDLE_NOTICE_S:.0f} seconds unless somebody speaks"
            almost = in_words(limit_s - IDLE_NOTICE_S)
            self._warn("session_idle", f"nothing was said or done for {almost}: {soon}")
            await self._clock.sleep_until(last + limit_s)
            if last_sign() > last:
                continue
            self._warn("session_ending", f"{silence}: the session ends, and leaves its seat")
            await self._clock.sleep_until(self._clock.now() + FAREWELL_S)
            self._end("idle")
            return


def in_words(seconds: float) -> str:
    """A duration for people: "90 seconds", "15 minutes"."""
    if seconds < 120 or seconds % 60:
        return f"{seconds:.0f} seconds" if seconds < 600 else f"{seconds / 60:.1f} minutes"
    return f"{seconds / 60:.0f} minutes"
