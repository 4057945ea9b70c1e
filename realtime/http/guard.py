"""What stands between the network and the application: body sizes, hosts and origins."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.errors import BodyTooLarge

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


def error_body(code: str, message: str) -> dict[str, dict[str, str]]:
    """The one shape of every error answer."""
    return {"error": {"code": code, "message": message}}


class Guard:
    """ASGI middleware that turns requests away before the application reads them.

    - a body above the limit of its path: 413, whether declared or found while reading;
    - on a loopback server, a foreign `Host` (DNS rebinding): 403;
    - a state-changing request whose `Origin` is not the page's own: 403 (CORS is off).

    Args:
        app: the application.
        limit_bytes: path -> largest body.
        loopback: whether the server is bound to loopback only.
    """

    def __init__(self, app: ASGIApp, limit_bytes: Callable[[str], int], loopback: bool) -> None:
        self._app = app
        self._limit_bytes = limit_bytes
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refuse_origin(scope["method"], headers)
        limit = self._limit_bytes(scope["path"])
        length = headers.get("content-length", "0")
        if refusal is None and (not re.fullmatch(r"\d{1,18}", length) or int(length) > limit):
            refusal = _too_large(limit)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise BodyTooLarge(f"the body is larger than the {limit} bytes taken here")
            return message

        await self._app(scope, counted, send)

    def _refuse_origin(self, method: str, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._loopback and _hostname(host) not in LOOPBACK_NAMES:
            return JSONResponse(
                error_body("forbidden_host", f"this server does not answer for the host {host!r}"),
                status_code=403,
            )
        origin = headers.get("origin")
        changes = method not in ("GET", "HEAD", "OPTIONS")
        if changes and origin is not None and urlsplit(origin).netloc != host:
            return JSONResponse(
                error_body("forbidden_origin", "requests from other sites are not taken"),
                status_code=403,
            )
        return None


def _hostname(host: str) -> str:
    return re.sub(r":\d+$", "", host)


def _too_large(limit: int) -> JSONResponse:
    return JSONResponse(
        error_body("body_too_large", f"the body is larger than the {limit} bytes taken here"),
        status_code=413,
    )
