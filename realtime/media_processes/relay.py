"""In the front: a client's WebSocket, joined to one of the media process that has the session."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.http11 import Response
from websockets.typing import Subprotocol

from realtime.errors import EngineError, SessionLost
from realtime.http.access import SUBPROTOCOL
from realtime.http.socket import MAX_MESSAGE_BYTES
from realtime.media_processes.member import MediaProcess
from realtime.protocol import ErrorDetail, ErrorEvent

SERVICE_RESTART, INTERNAL_ERROR, UNKNOWN = 1012, 1011, 1005
"""Close codes: "connect again", "that failed", and none was said (RFC 6455, 7.4.1, and IANA's
registry)."""
CLOSE_S = 2.0
"""For the process to say that it has closed; one that does not loses nothing by it."""
UNANSWERED = "the media process did not answer; try again"
BROKEN = "the media process has broken this connection off"
LOST = "the media process that the session was in has ended, and the session with it"


async def relay_socket(
    process: MediaProcess,
    target: str,
    who: tuple[str, str],
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Pass everything on, both ways, until one end goes; an end that waits holds the other up.

    target: path and query there.
    who: the header that says who asks.

    Raises:
        EngineError: the process did not answer; perhaps it has ended.
    """
    await receive()  # websocket.connect
    offered = [p for p in scope.get("subprotocols", []) if not p.startswith(SUBPROTOCOL)]
    connecting = unix_connect(
        process.path,
        f"ws://media{target}",
        subprotocols=[Subprotocol(p) for p in offered] or None,
        additional_headers=[who],
        compression=None,
        user_agent_header=None,
        open_timeout=None,
        ping_interval=None,  # the front pings its clients
        close_timeout=CLOSE_S,
        max_size=MAX_MESSAGE_BYTES,
    )
    try:
        upstream = await connecting
    except InvalidStatus as refused:
        await _deny(refused.response, send)
        return
    except (OSError, WebSocketException) as error:
        raise EngineError(UNANSWERED) from error
    async with upstream:
        await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol, "headers": []})
        up = asyncio.create_task(_up(receive, upstream))
        try:
            await _down(upstream, process, send)
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)


async def _deny(response: Response, send: Send) -> None:
    """Refuse the client's as ours was refused."""
    headers = [
        (name.lower().encode(), value.encode())
        for name, value in response.headers.raw_items()
        if name.lower() not in ("connection", "date", "server")
    ]
    await send(
        {
            "type": "websocket.http.response.start",
            "status": response.status_code,
            "headers": headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": bytes(response.body or b"")})


async def _up(receive: Receive, upstream: ClientConnection) -> None:
    """What the client says, until it goes."""
    try:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                break
            text = message.get("text")
            await upstream.send(message["bytes"] if text is None else text)
    except ConnectionClosed:
        return
    await upstream.close()


async def _down(upstream: ClientConnection, process: MediaProcess, send: Send) -> None:
    """What the process says, until it ends the connection, or itself."""
    try:
        while True:
            try:
                message = await upstream.recv()
            except ConnectionClosed as closed:
                await _end(closed, process, send)
                return
            kind = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", kind: message})
    except (OSError, RuntimeError):  # the client has gone
        return


async def _end(closed: ConnectionClosed, process: MediaProcess, send: Send) -> None:
    """End the client's connection as the process ended ours; with a word where it could not."""
    if closed.rcvd is not None:
        code = 1000 if closed.rcvd.code == UNKNOWN else closed.rcvd.code
        await _close(send, code, closed.rcvd.reason)
    elif closed.sent is not None:  # the client has gone
        return
    elif await process.has_ended():
        detail = ErrorDetail(type="server_error", code=SessionLost.code, message=LOST)
        text = ErrorEvent(error=detail).model_dump_json()
        await send({"type": "websocket.send", "text": text})
        await _close(send, SERVICE_RESTART, LOST)
    else:
        await _close(send, INTERNAL_ERROR, BROKEN)


async def _close(send: Send, code: int, reason: str) -> None:
    await send({"type": "websocket.close", "code": code, "reason": reason})
