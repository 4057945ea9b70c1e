"""Session tokens and WebSocket tickets: minted by a key's owner, short-lived, kept in memory.

In memory, because that is the simplest that is safe: nothing to sign, nothing on disk, taken back
at once, and gone with the sessions when the server ends. Only hashes are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from realtime.access.caller import Caller, Scope
from realtime.access.credentials import TICKET_PREFIX, TOKEN_PREFIX, digest, new_secret, utc_now
from realtime.errors import BadRequest, InsufficientScope, TooManyRequests

MIN_EXPIRES_S, MAX_EXPIRES_S = 10, 24 * 3600
TICKET_EXPIRES_S = 30
OF_ONE_SESSION: frozenset[Scope] = frozenset({"view", "push", "control"})
"""What a token of one session can be for."""
MAX_LINKS = 50
"""View tokens alive that the bearer of one token has given to others."""
MAX_PER_KEY = 5000
"""Tokens and tickets alive at once; 400 bytes each."""


@dataclass(frozen=True)
class Minted:
    """A token or ticket for its bearer; `secret` is not kept."""

    secret: str
    expires_at: str
    """UTC, ISO 8601, to the second."""


@dataclass(frozen=True)
class _Kept:
    who: Caller
    dies: float
    parent: str = ""
    """The hash of the token that it was minted from."""


class Tokens:
    """Those that are alive. `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tokens: dict[str, _Kept] = {}
        self._tickets: dict[str, _Kept] = {}

    def mint(
        self, by: Caller, scopes: frozenset[Scope], expires_s: int, session: str | None = None
    ) -> Minted:
        """A token of these scopes, which may be bound to one session. Who has a token, and no key,
        can let others watch a session: for as long as that token lives, and no more.

        Raises:
            BadRequest: scopes that its key does not have, or an expiry out of range.
            InsufficientScope: a token cannot give that.
            TooManyRequests: the key has too many alive.
        """
        if by.kind != "key":
            return self._mint_link(by, scopes, expires_s, session)
        if not scopes or not scopes <= by.scopes:
            raise BadRequest(f"scopes: this key can give {', '.join(sorted(by.scopes))}")
        _check(expires_s)
        if session is not None and not scopes <= OF_ONE_SESSION:
            raise BadRequest("scopes: a token of one session can only view, push and control")
        who = replace(by, kind="token", scopes=scopes, session=session)
        return self._keep(self._tokens, TOKEN_PREFIX, who, expires_s)

    def _mint_link(
        self, by: Caller, scopes: frozenset[Scope], expires_s: int, session: str | None
    ) -> Minted:
        if session is None or scopes != {"view"} or not by.scopes & {"view", "control", "open"}:
            raise InsufficientScope(
                "an API key itself: a token only gives view tokens of a session"
            )
        _check(expires_s)
        if sum(each.parent == by.token for each in self._tokens.values()) >= MAX_LINKS:
            raise TooManyRequests("this token has given away too many links", expires_s)
        who = replace(by, kind="token", scopes=scopes, session=session)
        left_s = int(by.dies - self._now())
        return self._keep(self._tokens, TOKEN_PREFIX, who, min(expires_s, left_s), by.token)

    def mint_ticket(self, by: Caller, session: str) -> Minted:
        """What opens one WebSocket of a session, once, with the scopes of whoever asked.

        Raises:
            TooManyRequests: the key has too many alive.
        """
        who = replace(by, kind="ticket", session=session)  # who came by it stays as long as `by`
        return self._keep(self._tickets, TICKET_PREFIX, who, TICKET_EXPIRES_S)

    def find(self, secret: str) -> Caller | None:
        """Whose token this is; None for a wrong one and for one that has expired."""
        return self._alive(self._tokens.get(digest(secret)))

    def holds(self, who: Caller) -> bool:
        """Whether the token that `who` came with, if any, is alive."""
        return not who.token or self._alive(self._tokens.get(who.token)) is not None

    def redeem(self, ticket: str) -> Caller | None:
        """Whose ticket this is; the next time it is nobody's."""
        return self._alive(self._tickets.pop(digest(ticket), None))

    def revoke(self, secret: str) -> None:
        """Take one token back, and those that its bearer gave to others."""
        hashed = digest(secret)
        self._tokens.pop(hashed, None)
        for other in [other for other, each in self._tokens.items() if each.parent == hashed]:
            del self._tokens[other]

    def revoke_all(self, key: str) -> None:
        """Take back what a key minted, by its id."""
        for kept in (self._tokens, self._tickets):
            for hashed in [hashed for hashed, each in kept.items() if each.who.key == key]:
                del kept[hashed]

    def _keep(
        self,
        kept: dict[str, _Kept],
        prefix: str,
        who: Caller,
        expires_s: int,
        parent: str = "",
    ) -> Minted:
        now = self._now()
        for hashed in [hashed for hashed, each in kept.items() if each.dies <= now]:
            del kept[hashed]
        if sum(each.who.key == who.key for each in kept.values()) >= MAX_PER_KEY:
            raise TooManyRequests("this key has too many tokens alive; let some expire", expires_s)
        secret = new_secret(prefix)
        hashed, dies = digest(secret), now + expires_s
        if who.kind == "token":
            who = replace(who, token=hashed, dies=dies)
        kept[hashed] = _Kept(who, dies, parent)
        return Minted(secret, _iso(utc_now() + timedelta(seconds=expires_s)))

    def _alive(self, kept: _Kept | None) -> Caller | None:
        return None if kept is None or kept.dies <= self._now() else kept.who


def _check(expires_s: int) -> None:
    if not MIN_EXPIRES_S <= expires_s <= MAX_EXPIRES_S:
        raise BadRequest(f"expires_s: must be from {MIN_EXPIRES_S} to {MAX_EXPIRES_S}")


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
