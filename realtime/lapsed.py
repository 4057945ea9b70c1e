"""Ends what runs by a key that was revoked, or by a token that was taken back or has expired."""

from __future__ import annotations

import logging
from collections.abc import Callable
from weakref import WeakSet

from realtime.access.caller import Caller
from realtime.clock import Clock
from realtime.open_sessions import OpenSessions
from realtime.parties import Party
from realtime.session import Session

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks. Whoever is told in one is gone with the next: the word needs time to arrive,
for an ending connection takes what it has not sent with it."""
REASON = "access_ended"
_SESSION = "the key or token that opened this session is valid no more"
_PARTY = "the key or token that you came with is valid no more"


class LapsedAccess:
    """Looks every second who may still be there: a session as long as what opened it is valid, a
    party of it as long as what it came with is.

    Args:
        holds: whether what a caller has shown is valid still; raises ValueError or OSError where
            nobody can tell now, and then all go on.
    """

    def __init__(
        self, sessions: OpenSessions, holds: Callable[[Caller], bool], clock: Clock
    ) -> None:
        self._sessions = sessions
        self._holds = holds
        self._clock = clock
        self._told: WeakSet[Session | Party] = WeakSet()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self._clock.sleep_until(self._clock.now() + LOOK_S)
            try:
                self.look()
            except (ValueError, OSError) as error:
                logger.error("cannot tell whose access has ended: %s", error)

    def look(self) -> None:
        """Tell those whose access has ended; end those who were told by the look before."""
        for session in self._sessions.all():
            if session.closing:
                continue
            if not self._holds(self._sessions.opener(session)):
                self._end_session(session)
                continue
            for party in session.parties:
                if not self._holds(party.who):
                    self._end_party(session, party)

    def _end_session(self, session: Session) -> None:
        if session in self._told:
            session.end_soon(REASON)
        else:
            self._told.add(session)
            session.announce_end(_SESSION)

    def _end_party(self, session: Session, party: Party) -> None:
        if party in self._told:
            session.parties.leave(party, REASON)
        else:
            self._told.add(party)
            if party.listener is not None:
                party.listener.refuse("session_ending", _PARTY)
