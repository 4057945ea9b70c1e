"""What each call needs: the one table that all access is decided by.

A call that is not in it is refused; `tests/realtime/test_access.py` walks the application's routes
and fails for one that is missing here. `{session}` in a pattern is the id of a session: the call is
answered as if there were none where it is not the caller's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from realtime.access.caller import SCOPES, Scope

PUBLIC: Final = "public"
"""Nothing is asked."""
ANY: Final = "any"
"""Any key or token."""
KEY: Final = "key"
"""A key itself, no token."""
Need = str | frozenset[Scope]
"""One of these, or scopes of which one suffices."""


def _one_of(*scopes: Scope) -> frozenset[Scope]:
    return frozenset(scopes)


_OPEN = _one_of("open")
_SEE = _one_of("view", "control", "open")
_STEER = _one_of("control", "open")
_FACES = _one_of("avatars", "open")
_MANAGE = _one_of("avatars")

TABLE: dict[tuple[str, str], Need] = {
    ("GET", "/health"): PUBLIC,
    ("GET", "/ready"): PUBLIC,
    ("GET", "/metrics"): KEY,
    ("GET", "/v1/openapi.json"): PUBLIC,
    ("GET", "/v1/pipelines"): ANY,
    ("GET", "/v1/ice-servers"): ANY,
    ("POST", "/v1/tokens"): ANY,  # a token gives less than a key: see `Tokens.mint`
    ("DELETE", "/v1/tokens"): ANY,
    ("GET", "/v1/avatars"): _FACES,
    ("POST", "/v1/avatars"): _MANAGE,
    ("GET", "/v1/avatars/{avatar}"): _FACES,
    ("DELETE", "/v1/avatars/{avatar}"): _MANAGE,
    ("GET", "/v1/avatars/{avatar}/image"): _FACES,
    ("GET", "/v1/avatars/{avatar}/preview"): _FACES,
    ("GET", "/v1/avatars/{avatar}/still"): _FACES,
    ("POST", "/v1/sessions"): _OPEN,
    ("GET", "/v1/sessions/{session}"): _SEE,
    ("GET", "/v1/sessions/{session}/matte"): _SEE,
    ("PATCH", "/v1/sessions/{session}"): _STEER,
    ("DELETE", "/v1/sessions/{session}"): _STEER,
    ("POST", "/v1/sessions/{session}/tickets"): SCOPES,
    ("WS", "/v1/sessions/{session}/audio"): _one_of("push"),
    ("WS", "/v1/sessions/{session}/events"): _SEE,
    ("WS", "/v1/sessions/{session}/recording"): _SEE,
    # OpenAI-Realtime: one connection opens a session and speaks in it.
    ("WS", "/v1/realtime"): _OPEN,
    ("POST", "/v1/realtime/calls"): _OPEN,
    ("DELETE", "/v1/realtime/calls/{session}"): _STEER,
    ("POST", "/v1/realtime/calls/{session}/hangup"): _STEER,
    # WHIP and WHEP: an endpoint, and a connection in its session.
    ("GET", "/whip/{avatar}"): _OPEN,
    ("OPTIONS", "/whip/{avatar}"): _OPEN,
    ("POST", "/whip/{avatar}"): _OPEN,
    ("GET", "/whip/{session}/{peer}"): _STEER,
    ("OPTIONS", "/whip/{session}/{peer}"): _STEER,
    ("PATCH", "/whip/{session}/{peer}"): _STEER,
    ("DELETE", "/whip/{session}/{peer}"): _STEER,
    ("GET", "/whep/{session}"): _SEE,
    ("OPTIONS", "/whep/{session}"): _SEE,
    ("POST", "/whep/{session}"): _SEE,
    ("GET", "/whep/{session}/{peer}"): _SEE,
    ("OPTIONS", "/whep/{session}/{peer}"): _SEE,
    ("PATCH", "/whep/{session}/{peer}"): _SEE,
    ("DELETE", "/whep/{session}/{peer}"): _SEE,
    # Pipecat's browser client; the session of a PATCH is in its body.
    ("POST", "/api/offer"): _OPEN,
    ("PATCH", "/api/offer"): _OPEN,
}
"""(method, path) -> what it needs. HEAD counts as GET, a WebSocket as WS."""

OPENING = frozenset(
    {
        ("POST", "/v1/sessions"),
        ("WS", "/v1/realtime"),
        ("POST", "/v1/realtime/calls"),
        ("POST", "/whip/{avatar}"),
    }
)
"""Calls that always want a new session."""
GUARDED = ("/v1", "/whip", "/whep", "/api", "/metrics")
"""Below these nothing is answered that is not in the table; the rest are the page's files."""


@dataclass(frozen=True)
class Call:
    """One request as the table knows it.

    pattern: the path with names for what varies; it holds nothing of a caller.
    """

    method: str
    pattern: str
    need: Need
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def session(self) -> str | None:
        """The session it is about, if one."""
        return self.parts.get("session")

    @property
    def opens(self) -> bool:
        """Whether it always wants a new session."""
        return (self.method, self.pattern) in OPENING


_PATTERNS = [
    (method, pattern, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)), need)
    for (method, pattern), need in TABLE.items()
]


def find_call(method: str, path: str) -> Call | None:
    """What the table says of a request; None: no such call is known."""
    for known, pattern, shape, need in _PATTERNS:
        if known == method and (found := shape.fullmatch(path)):
            return Call(method, pattern, need, found.groupdict())
    if any(path == prefix or path.startswith(f"{prefix}/") for prefix in GUARDED):
        return None
    return Call(method, "/", PUBLIC)
