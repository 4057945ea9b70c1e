"""What stands between the network and the application: body sizes, hosts and origins."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.errors import BodyTooLarge

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer that does not say otherwise."""


def error_body(code: str, message: str) -> dict[str, dict[str, str]]:
    """The one shape of every error answer."""
    return {"error": {"code": code, "message": message}}


class Guard:
    """ASGI middleware that turns requests away before the application reads them.

    - a body above the limit of its path: 413, whether declared or found while reading;
    - on a loopback server, a foreign `Host` (DNS rebinding): 403;
    - a state-changing request whose `Origin` is not the page's own: 403 (CORS is off).

    It also answers HEAD as GET without a body, and sets `HEADERS`.

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
        headers, limit = Headers(scope=scope), self._limit_bytes(scope["path"])
        send = _answering(send, without_body=scope["method"] == "HEAD")
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        refusal = self._refuse(scope["method"], headers)
        length = headers.get("content-length", "0")
        if refusal is None and (not re.fullmatch(r"\d{1,18}", length) or int(length) > limit):
            refusal = _refusal(413, BodyTooLarge.code, _too_large(limit))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise BodyTooLarge(_too_large(limit))
            return message

        await self._app(scope, counted, send)

    def _refuse(self, method: str, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._loopback and _hostname(host) not in LOOPBACK_NAMES:
            words = f"this server does not answer for the host {host!r}"
            return _refusal(403, "forbidden_host", words)
        origin = headers.get("origin")
        changes = method not in ("GET", "OPTIONS")
        if changes and origin is not None and _location(origin) != host.lower():
            return _refusal(403, "forbidden_origin", "requests from other sites are not taken")
        return None


def _answering(send: Send, *, without_body: bool) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        elif without_body and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return answer


def _hostname(host: str) -> str:
    return re.sub(r":\d+$", "", host).lower()


def _location(origin: str) -> str | None:
    """Host and port of an origin; None where it has none, or is malformed."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _too_large(limit: int) -> str:
    return f"the body is larger than the {limit} bytes taken here"


def _refusal(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse(error_body(code, message), status_code=status)
