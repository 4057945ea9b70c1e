"""Which media process has which session, and which sessions were lost with one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from realtime.access.caller import Caller, caller
from realtime.errors import SessionLost, UnknownSession
from realtime.life import Presence
from realtime.seats import Seat

Place = TypeVar("Place")

MAX_LOST = 10_000
"""Lost sessions that are remembered; 200 bytes each."""


class Whereabouts(Generic[Place]):
    """By session id. A session belongs to whoever opened it; for others it does not exist."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._openers: dict[str, Caller] = {}
        self._lost: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, session_id: str, place: Place) -> None:
        """It is there now, or about to be opened; it belongs to whoever asks."""
        self._places[session_id] = place
        self._openers[session_id] = caller()

    def remove(self, session_id: str) -> None:
        """It has ended."""
        if self._places.pop(session_id, None) is not None:
            del self._openers[session_id]

    def openers(self) -> list[Caller]:
        """Whoever has opened each, or is opening it."""
        return [self._openers[session_id] for session_id in self._places]

    def seats(self, presences: Mapping[str, Presence]) -> list[Seat]:
        """All, the oldest first; of whom nothing else is known, somebody is there."""
        return [
            Seat(session_id, self._openers[session_id], presences.get(session_id, "held"))
            for session_id in self._places
        ]

    def at(self, place: Place) -> list[str]:
        """The sessions that are there."""
        return [id for id, where in self._places.items() if where is place]

    def lose(self, place: Place) -> int:
        """The place is gone; how many sessions with it."""
        lost = self.at(place)
        for session_id in lost:
            del self._places[session_id]
            self._lost.append(session_id)
        while len(self._lost) > MAX_LOST:
            del self._openers[self._lost.popleft()]
        return len(lost)

    def find(self, session_id: str) -> Place:
        """Where the session is.

        Raises:
            UnknownSession: there is none for whoever asks.
            SessionLost: it has ended with its process.
        """
        opener = self._openers.get(session_id)
        if opener is None or not caller().may_reach(session_id, opener.owner):
            raise UnknownSession(f"no session {session_id!r}: it has ended or never was")
        if session_id not in self._places:
            raise SessionLost(
                f"the session {session_id!r} has ended: the media process that it was in has failed"
            )
        return self._places[session_id]
