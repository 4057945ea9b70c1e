"""Who asks, as the front says it to a media process with each request."""

from __future__ import annotations

import dataclasses
import json

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from realtime.access.caller import NOBODY, Caller, acting, caller

HEADER = "x-vivavoce-caller"
"""The front passes on no such header of others."""


def say_caller() -> tuple[str, str]:
    """The header that says who asks now."""
    return HEADER, write_caller(caller())


def write_caller(who: Caller) -> str:
    """What `read_caller` reads."""
    return json.dumps(dataclasses.asdict(who) | {"scopes": sorted(who.scopes)})


def read_caller(said: str) -> Caller:
    """Who it is."""
    fields = json.loads(said)
    return Caller(**fields | {"scopes": frozenset(fields["scopes"])})


class ActingAsSaid:
    """ASGI middleware: requests are carried out on behalf of whom the front names."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get(HEADER)
        with acting(NOBODY if said is None else read_caller(said)):
            await self._app(scope, receive, send)
