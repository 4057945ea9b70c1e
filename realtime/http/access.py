"""The one place where access is decided, for HTTP and WebSockets."""

from __future__ import annotations

from collections.abc import Callable

from starlette._utils import get_route_path
from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.access.caller import NOBODY, Caller, acting
from realtime.access.gate import Gate, Shown
from realtime.access.table import PUBLIC, Call, find_call
from realtime.errors import TooManyRequests, VivavoceError
from realtime.http.guard import refusal

SUBPROTOCOL = "openai-insecure-api-key."
"""How OpenAI's clients in browsers, whose WebSockets have no headers, send a key or token."""


class Access:
    """ASGI middleware: finds the call in the table and who asks, or refuses.

    Args:
        app: the application.
        gate: who decides.
        find_session: raises `UnknownSession` for one that does not exist for the caller.
    """

    def __init__(self, app: ASGIApp, gate: Gate, find_session: Callable[[str], object]) -> None:
        self._app = app
        self._gate = gate
        self._find_session = find_session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method = "WS" if scope["type"] == "websocket" else scope["method"]
        call = find_call(method, get_route_path(scope))
        if method == "OPTIONS" and "access-control-request-method" in headers:
            call = Call(method, "preflight", PUBLIC)  # a browser sends no key with it
        address = str((scope.get("client") or ("",))[0])
        who: Caller | None = None
        try:
            who = await self._gate.admit(call, _shown(scope, headers), address)
            with acting(who):
                if call is not None and call.session is not None and who is not NOBODY:
                    self._find_session(call.session)
        except VivavoceError as error:
            if not isinstance(error, TooManyRequests):  # they would fill the disk
                self._note(call, who, address, status=error.status)
            await refusal(error)(scope, receive, send)
            return
        if call is not None and _is_news(call, headers):
            send = self._noting(call, who, address, send)
        with acting(who):
            await self._app(scope, receive, send)

    def _noting(self, call: Call, who: Caller, address: str, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                made = Headers(raw=message.get("headers", [])).get("location")
                more = {"made": made} if made else {}
                self._note(call, who, address, status=message["status"], **more)
            elif message["type"] == "websocket.accept":
                self._note(call, who, address, status=101)
            await send(message)

        return answer

    def _note(
        self, call: Call | None, who: Caller | None, address: str, **about: str | int
    ) -> None:
        if not self._gate.required:
            return  # one's own machine keeps no book of its user
        what = "unknown" if call is None else f"{call.method} {call.pattern}"
        parts = {} if call is None else call.parts
        self._gate.audit.note(what, who, address, **parts, **about)


def _is_news(call: Call, headers: Headers) -> bool:
    """Whether the call changes something that is worth remembering; candidates of ICE are not."""
    candidates = headers.get("content-type", "").startswith("application/trickle-ice")
    return call.method not in ("GET", "OPTIONS") and call.need != PUBLIC and not candidates


def _shown(scope: Scope, headers: Headers) -> Shown:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Shown(bearer=bearer.strip())
    query = QueryParams(scope["query_string"])
    if scope["type"] == "websocket":
        for protocol in scope.get("subprotocols", []):
            if protocol.startswith(SUBPROTOCOL):
                return Shown(bearer=protocol.removeprefix(SUBPROTOCOL))
        if "ticket" in query:
            return Shown(ticket=query["ticket"])
    return Shown(link=query.get("token", ""))
