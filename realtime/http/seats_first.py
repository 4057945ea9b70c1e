"""Whoever wants a session learns that there is none for it before its offer is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from realtime.access.table import find_call
from realtime.errors import VivavoceError
from realtime.http.guard import refusal


class SeatsFirst:
    """ASGI middleware, behind `Access`.

    Args:
        app: the application.
        check_seat: raises where whoever asks gets no session now.
    """

    def __init__(self, app: ASGIApp, check_seat: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._check_seat = check_seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] in ("http", "websocket"):
            method = "WS" if scope["type"] == "websocket" else scope["method"]
            call = find_call(method, get_route_path(scope))
            if call is not None and call.opens:
                try:
                    await self._check_seat()
                except VivavoceError as error:
                    await refusal(error)(scope, receive, send)
                    return
        await self._app(scope, receive, send)
