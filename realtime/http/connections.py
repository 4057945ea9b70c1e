"""How many connections there are at once, and how long each may take. No I/O.

A connection that says nothing costs a file descriptor, and there are few of them. Where there is no
more room, the one goes that has waited longest for a request to begin or to be whole; only where
all are being answered, the newcomer is refused.
"""

from __future__ import annotations

import logging
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from realtime.access.rates import CountedAddresses

logger = logging.getLogger(__name__)

MOST = 1024


@dataclass(frozen=True)
class Limits:
    """What one connection may take, and how many there may be.

    connections: at once, WebSockets among them.
    per_address: of these from one address, except those of this machine and of trusted proxies.
    url_bytes, head_bytes: of a request's first line, and of that and its headers.
    head_s: until a request is there with its headers; until the next one begins.
    stall_s: in which nothing of a body comes, or nothing of an answer is taken.
    body_bytes_per_s: that a body must come with on average, once `stall_s` have gone by.
    """

    connections: int = MOST
    per_address: int = MOST // 8
    url_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    head_s: float = 10.0
    stall_s: float = 20.0
    body_bytes_per_s: int = 1024


def limits_here() -> Limits:
    """What fits into the file descriptors of this process: half of them are for everything else."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = MOST if descriptors == resource.RLIM_INFINITY else max(8, min(MOST, descriptors // 2))
    return Limits(room, max(4, room // 8))


class Held(Protocol):
    """A connection, as far as it is counted."""

    address: str
    """Of the other end; empty where that has none."""

    @property
    def waits(self) -> bool:
        """No request is whole, and none is answered: it may go."""

    def look(self, now: float, passed_s: float) -> None:
        """End if it takes too long; `passed_s` after it was last asked to."""

    def make_room(self) -> None:
        """End: another one wants the place."""


class Connections:
    """Those that there are, the oldest first.

    Args:
        trusted: addresses and networks of proxies.
        now: local time in seconds.
    """

    def __init__(
        self, limits: Limits, now: Callable[[], float], trusted: Sequence[str] = ()
    ) -> None:
        self.limits = limits
        self.now = now
        self.refused = 0
        self._counted = CountedAddresses(trusted)
        self._held: dict[Held, str] = {}
        self._by_address: Counter[str] = Counter()
        self._looked = now()
        self._next_word = 1

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, connection: Held) -> bool:
        """One more; False if there is no room for it."""
        address = self._counted.find(connection.address)
        limits, full = self.limits, False
        if address and self._by_address[address] >= limits.per_address:
            full = not self._let_one_go(address)
        elif len(self) >= limits.connections:
            full = not self._let_one_go()
        if full:
            self.refused += 1
            return False
        self._held[connection] = address
        self._by_address[address] += 1
        return True

    def leave(self, connection: Held) -> None:
        """It has ended. Safe to call again."""
        address = self._held.pop(connection, None)
        if address is None:
            return
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def look(self) -> None:
        """Once in a while: end those that take too long."""
        now = self.now()
        passed_s, self._looked = now - self._looked, now
        if self.refused >= self._next_word:
            logger.warning("%d connections were refused: too many at once", self.refused)
            self._next_word = 10 * self.refused
        for connection in list(self._held):
            connection.look(now, passed_s)

    def _let_one_go(self, address: str | None = None) -> bool:
        for connection, counted_as in self._held.items():
            if connection.waits and address in (None, counted_as):
                connection.make_room()
                self.leave(connection)
                return True
        return False
