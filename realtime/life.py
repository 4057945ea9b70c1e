"""What a session goes through."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from realtime.errors import SessionError

Presence = Literal["held", "awaited", "left", "ending"]
"""Whether anybody is in a session: somebody is; whoever opened it may still come; nobody is, and it
gives way to whoever comes; it ends already."""


class Life(IntEnum):
    """What a session goes through, in this order; it may be closed at any time."""

    NEW = 0
    OPEN = 1
    """It has its place in the engine and waits for somebody to watch."""
    RUNNING = 2
    CLOSING = 3
    CLOSED = 4

    def to(self, later: Life) -> Life:
        """The one that follows.

        Raises:
            SessionError: it cannot.
        """
        if later <= self or (later is Life.RUNNING and self is not Life.OPEN):
            raise SessionError(f"the session is {self.name}: it cannot be {later.name}")
        return later
