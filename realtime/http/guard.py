"""What stands between the network and the application: body sizes, hosts and origins."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette._utils import get_route_path
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.errors import BodyTooLarge, VivavoceError

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
LOCAL_PAGES = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
"""Origins of pages that this machine itself serves, whatever their port."""
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


def refusal(error: VivavoceError) -> JSONResponse:
    """The answer that reports an error of ours; a WebSocket is refused with it too."""
    return JSONResponse(error_body(error.code, str(error)), error.status, error.headers)


class Guard:
    """ASGI middleware that turns requests away before the application reads them.

    - a body above the limit of its path: 413, whether declared or found while reading;
    - on a loopback server, a foreign `Host` (DNS rebinding): 403;
    - a state-changing request, or a WebSocket, whose `Origin` is neither the page's own nor one of
      `origins`, nor one of `LOCAL_PAGES` where these may call: 403.

    It also answers HEAD as GET without a body, and sets `HEADERS`.

    Args:
        app: the application.
        limit_bytes: path -> largest body.
        loopback: whether the server is bound to loopback only.
        origins: of other pages that may call; a loopback server answers for their hosts too if it
            is `public_host`, the name under which a proxy shows it.
        local_pages: whether pages of this machine may call.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit_bytes: Callable[[str], int],
        loopback: bool,
        origins: frozenset[str] = frozenset(),
        public_host: str = "",
        local_pages: bool = False,
    ) -> None:
        self._app = app
        self._local_pages = re.compile(LOCAL_PAGES if local_pages else r"(?!)")
        self._limit_bytes = limit_bytes
        self._hosts = LOOPBACK_NAMES | {public_host} if loopback else None
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            no = self._refuse("WS", Headers(scope=scope))
            await (no or self._app)(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, limit = Headers(scope=scope), self._limit_bytes(get_route_path(scope))
        send = _answering(send, without_body=scope["method"] == "HEAD")
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        no = self._refuse(scope["method"], headers)
        length = headers.get("content-length", "0")
        if no is None and (not re.fullmatch(r"\d{1,18}", length) or int(length) > limit):
            no = refusal(BodyTooLarge(_too_large(limit)))
        if no is not None:
            await no(scope, receive, send)
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
        if self._hosts is not None and _hostname(host) not in self._hosts:
            words = f"this server does not answer for the host {host!r}"
            return _refusal(403, "forbidden_host", words)
        changes = method not in ("GET", "OPTIONS")
        if changes and not self._known(headers.get("origin"), host):
            return _refusal(403, "forbidden_origin", "requests from other sites are not taken")
        return None

    def _known(self, origin: str | None, host: str) -> bool:
        if origin is None or origin.lower() in self._origins:
            return True
        local = self._local_pages.fullmatch(origin.lower()) is not None
        return local or _location(origin) == host.lower()


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
