"""In the front: what is asked of a session goes to the media process that has it."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import httpx
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.access.table import OPENING, Call, find_call
from realtime.errors import EngineError, SessionError, SessionLost, VivavoceError
from realtime.http.guard import refusal
from realtime.media_processes.front import MediaProcesses
from realtime.media_processes.member import MediaProcess
from realtime.media_processes.relay import LOST, UNANSWERED, relay_socket
from realtime.media_processes.said_caller import HEADER, say_caller

_HERE = {("POST", "/v1/sessions/{session}/tickets")}
"""Calls about a session that the front answers itself."""
_ANYWHERE = OPENING | {("GET", "/whip/{avatar}"), ("OPTIONS", "/whip/{avatar}")}
"""Calls that any process answers."""
_OFFER = "/api/offer"
_OF_ONE_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"content-length"}
"""Headers that are about a connection, not about what goes over it (RFC 9110, 7.6.1)."""
_WITHOUT_BODY = (204, 304)
"""Statuses whose answers say no length (RFC 9110, 8.6): a cache would take 0 for the picture's."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""One for all: by default each connection would read the authorities of the web anew, for which
nothing else runs for 20 ms, and a Unix socket needs none."""


class Handover:
    """ASGI middleware, behind `SeatsFirst`: hands calls about sessions over, and leaves the others.

    Args:
        check_seat: raises where no session can be had now.
    """

    def __init__(
        self, app: ASGIApp, media: MediaProcesses, check_seat: Callable[[], Awaitable[None]]
    ) -> None:
        self._app = app
        self._media = media
        self._check_seat = check_seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        call = None
        if scope["type"] in ("http", "websocket"):
            method = "WS" if scope["type"] == "websocket" else scope["method"]
            call = find_call(method, get_route_path(scope))
        if call is None or not is_of_sessions(call):
            await self._app(scope, receive, send)
            return
        try:
            await self._hand_over(call, scope, receive, send)
        except VivavoceError as error:
            await refusal(error)(scope, receive, send)

    async def _hand_over(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        body = b"" if call.method == "WS" else await _read(receive, Headers(scope=scope))
        if body is None:
            return  # the client has gone, perhaps in the middle of an offer
        process = self._find(call, body)
        if process is not None:
            try:
                await _pass_on(process, scope, body, receive, send)
            except EngineError as error:
                if await process.has_ended():
                    raise SessionLost(LOST) from error
                raise  # it has its sessions still: descriptors, say, or its queue have run out
            return
        opens = call.method in ("POST", "WS")
        if opens and not call.opens:  # it depends on what was sent
            await self._check_seat()
        process = self._media.choose()
        with contextlib.ExitStack() as opening:
            if opens:
                opening.enter_context(process.opens())

            async def answer(message: Message) -> None:
                opening.close()  # what was opened counts by itself, however long a socket lives
                await send(message)

            await _pass_on(process, scope, body, receive, answer)

    def _find(self, call: Call, body: bytes) -> MediaProcess | None:
        """The one whose session the call is about; None: it is about none, or none that is there
        and the call does without.

        Raises:
            UnknownSession, SessionLost.
        """
        if call.session is not None:
            return self._media.sessions.find(call.session)
        session = _session_of_offer(body) if call.pattern == _OFFER else ""
        with contextlib.suppress(SessionError):
            return self._media.sessions.find(session)
        return None


def is_of_sessions(call: Call) -> bool:
    """Whether media processes answer it."""
    known = call.method, call.pattern
    if known in _ANYWHERE or call.pattern == _OFFER:
        return True
    return call.session is not None and known not in _HERE


def _session_of_offer(body: bytes) -> str:
    """Of Pipecat's clients, who say it in the body; see `realtime.http.pipecat`."""
    try:
        said = json.loads(body)["pc_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return said.partition(".")[0] if isinstance(said, str) else ""


async def _read(receive: Receive, headers: Headers) -> bytes | None:
    """The body; None: there is one, and the client has gone before all of it was there."""
    announced = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":  # whoever hangs up need not wait for the answer
            return None if announced else b""
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _pass_on(
    process: MediaProcess, scope: Scope, body: bytes, receive: Receive, send: Send
) -> None:
    target = quote(get_route_path(scope), safe="/:@!$&'()*+,;=~")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in _OF_ONE_HOP and name != HEADER.encode()
    ]
    name, value = say_caller()
    if scope["type"] == "websocket":
        await relay_socket(process, target, (name, value), scope, receive, send)
        return
    headers.append((name.encode(), value.encode()))
    await _forward(process.path, scope["method"], target, headers, body, send)


async def _forward(
    path: str, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes, send: Send
) -> None:
    """One request to a process, on a connection of its own: one that was kept might be closed just
    then, and what opens a session must not be sent twice.

    Raises:
        EngineError: the process did not answer; perhaps it has ended.
    """
    request = httpx.Request(method, f"http://media{target}", headers=headers, content=body)
    async with httpx.AsyncHTTPTransport(uds=path, verify=_NO_TLS) as transport:
        try:
            response = await transport.handle_async_request(request)
            content = b"".join([part async for part in response.aiter_raw()])
            await response.aclose()
        except httpx.TransportError as error:
            raise EngineError(UNANSWERED) from error
    told = [
        (name.lower(), value)
        for name, value in response.headers.raw
        if name.lower() not in _OF_ONE_HOP
    ]
    if response.status_code not in _WITHOUT_BODY:
        told.append((b"content-length", str(len(content)).encode()))
    status = response.status_code
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": content})
