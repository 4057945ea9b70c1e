"""The open sessions of a server, and whose each is."""

from __future__ import annotations

from collections.abc import Mapping

from realtime.access.caller import Caller, caller
from realtime.errors import UnknownSession
from realtime.seats import Seat
from realtime.session import Session


class OpenSessions:
    """By id. A session belongs to whoever opened it; for others it does not exist."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._openers: dict[str, Caller] = {}  # of those that are being opened, too

    def __len__(self) -> int:
        """Of all, whoever asks."""
        return len(self._sessions)

    def expect(self, session_id: str) -> None:
        """One that whoever asks is opening: it counts already. To be removed if it comes to
        nothing."""
        self._openers[session_id] = caller()

    def add(self, session: Session) -> None:
        """One that whoever asks has opened."""
        self._sessions[session.id] = session
        self._openers[session.id] = caller()

    def remove(self, session: Session) -> None:
        """One that has ended, if it ever was open."""
        self._sessions.pop(session.id, None)
        self._openers.pop(session.id, None)

    def opener(self, session: Session) -> Caller:
        """Who opened it."""
        return self._openers[session.id]

    def openers(self) -> list[Caller]:
        """Whoever has opened each, or is opening it."""
        return list(self._openers.values())

    def seats(self, now: float, grace_s: float) -> list[Seat]:
        """All, the oldest first; see `Session.presence`."""
        seats = []
        for session_id, who in self._openers.items():
            session = self._sessions.get(session_id)
            presence = "held" if session is None else session.presence(now, grace_s)
            seats.append(Seat(session_id, who, presence))
        return seats

    def all(self) -> list[Session]:
        """All, whoever asks."""
        return list(self._sessions.values())

    def seen(self) -> Mapping[str, Session]:
        """Those that exist for whoever asks."""
        who = caller()
        return {
            id: session
            for id, session in self._sessions.items()
            if who.may_reach(id, self._openers[id].owner)
        }

    def find(self, session_id: str) -> Session:
        """The one of this id.

        Raises:
            UnknownSession: there is none for whoever asks.
        """
        try:
            return self.seen()[session_id]
        except KeyError:
            raise UnknownSession(f"no session {session_id!r}: it has ended or never was") from None
