"""The open sessions of a server, and whose each is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from realtime.access.caller import Caller, caller
from realtime.errors import UnknownSession
from realtime.session import Session


class OpenSessions:
    """By id. A session belongs to whoever opened it; for others it does not exist."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._since: dict[str, float] = {}
        self._openers: dict[str, Caller] = {}

    def __len__(self) -> int:
        """Of all, whoever asks."""
        return len(self._sessions)

    def add(self, session: Session, now: float) -> None:
        """One that whoever asks has opened at local time `now`."""
        self._sessions[session.id] = session
        self._since[session.id] = now
        self._openers[session.id] = caller()

    def remove(self, session: Session) -> None:
        """One that has ended, if it ever was open."""
        self._sessions.pop(session.id, None)
        self._openers.pop(session.id, None)
        self._since.pop(session.id, None)

    def opener(self, session: Session) -> Caller:
        """Who opened it."""
        return self._openers[session.id]

    def gives_way(self, now: float, grace_s: float) -> Session | None:
        """The session to end for one more, of those that nobody has come to; None: there is none.

        The oldest of whoever else keeps several such waiting; else the oldest, after `grace_s`.
        """
        waiting = [s for s in self.all() if not s.closing and not s.claimed]  # the oldest first
        several = Counter(self._whose(session) for session in waiting)
        for session in waiting:
            whose = self._whose(session)
            if several[whose] > 1 and whose != _name(caller()):
                return session
        return next((s for s in waiting if now - self._since[s.id] > grace_s), None)

    def _whose(self, session: Session) -> tuple[str, ...]:
        return _name(self._openers[session.id])

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


def _name(who: Caller) -> tuple[str, ...]:
    """A key and each of its tokens is somebody of its own."""
    return who.kind, who.key, who.token
