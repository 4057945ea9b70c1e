"""Who asks. Known to everything that runs on behalf of a request, so that nobody has to pass it on
and nobody can forget to: what a request spawns inherits it, as it does `logs.session_id`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

Scope = Literal["open", "view", "push", "control", "avatars"]
"""What a caller may do: open sessions and end them; watch; speak; steer; manage avatars."""
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks.

    kind: "local" where no key is asked for, and for what the server does by itself; "nobody" in
        a call that asks for nothing, while others need a key.
    owner: the name of the key that all goes back to; empty for "local".
    key: that key's id; a later key of the same name has another one.
    session: the only one it may reach; None: all of the owner's.
    token: the hash of the token that it shows, or has got its ticket by; empty for others.
    dies: when that expires, on the server's clock.
    address: where it asks from, as far as sessions are counted by that; see `CountedAddresses`.
    """

    kind: Literal["local", "nobody", "key", "token", "ticket"]
    owner: str = ""
    key: str = ""
    scopes: frozenset[Scope] = SCOPES
    session: str | None = None
    token: str = ""
    dies: float = inf
    address: str = ""

    def may_reach(self, session_id: str, owner: str) -> bool:
        """Whether a session of `owner` exists for this caller."""
        if self.kind == "local":
            return True
        if self.kind == "nobody":
            return False
        return owner == self.owner and self.session in (None, session_id)

    def may_see(self, owner: str) -> bool:
        """Whether an upload of `owner` exists for this caller; those of nobody are everybody's."""
        return self.kind == "local" or (self.kind != "nobody" and owner in ("", self.owner))


LOCAL = Caller(kind="local")
NOBODY = Caller(kind="nobody", scopes=frozenset())
_caller: ContextVar[Caller] = ContextVar("caller", default=LOCAL)


def caller() -> Caller:
    """Who asks."""
    return _caller.get()


@contextmanager
def acting(who: Caller) -> Iterator[None]:
    """Inside, `who` asks: in this task, and in those that it starts there."""
    before = _caller.set(who)
    try:
        yield
    finally:
        _caller.reset(before)
