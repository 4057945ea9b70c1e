"""A WebSocket whose other end may be slow: what is sent waits in a queue of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from starlette.types import Message

from realtime.errors import VivavoceError
from realtime.http.guard import error_body
from realtime.protocol import ErrorDetail, ErrorEvent

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 15 * 1024 * 1024
"""What OpenAI's Realtime API takes in one `input_audio_buffer.append`."""
_MOST_WAITING = 2_000  # messages; a client that reads none has gone
_OVER, _TOO_SLOW = 1000, 1008  # RFC 6455, section 7.4.1
_FAREWELL_S = 10.0  # for a client to read how it ended


async def deny(socket: WebSocket, error: VivavoceError) -> None:
    """Refuse a WebSocket before it is one, by an HTTP answer."""
    await socket.send_denial_response(
        JSONResponse(error_body(error.code, str(error)), error.status)
    )


class Socket:
    """An accepted WebSocket. `async with` it: its sender runs meanwhile.

    Sessions speak to it by `send`, which never waits; a client that does not read is cut off: its
    `messages` end, however long its connection stays open.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        self._sender: asyncio.Task[None] | None = None
        self._code = _OVER
        self._ended = False
        self._cut_off = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Socket:
        self._sender = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._sender is not None
        if self._ended:
            await asyncio.wait({self._sender}, timeout=_FAREWELL_S)
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)

    def send(self, text: str) -> bool:
        """Queue one message; False where its client reads none and is cut off."""
        if self._waiting.full() and not self._cut_off.done():
            logger.warning("a client of a WebSocket does not read: it is cut off")
            self._code = _TOO_SLOW
            self._cut_off.set_result(None)
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self.end()
        if self._code == _OVER:
            self._waiting.put_nowait(text)
        return self._code == _OVER

    def end(self) -> None:
        """Close it, once what waits was sent."""
        if not self._waiting.full():
            self._waiting.put_nowait(None)
            self._ended = True

    def refuse(self, error: VivavoceError) -> None:
        """Say why there is nothing to hear here, and close it."""
        detail = ErrorDetail(code=error.code, message=str(error))
        self.send(ErrorEvent(error=detail).model_dump_json())
        self.end()

    async def messages(self) -> AsyncIterator[str | bytes]:
        """What the client says until it goes, or is cut off."""
        try:
            while (message := await self._receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                yield message["bytes"] if text is None else text
        except (WebSocketDisconnect, RuntimeError):  # the latter once it was closed from here
            return

    async def _receive(self) -> Message:
        receiving = asyncio.ensure_future(self._socket.receive())
        try:
            ends: set[asyncio.Future[Any]] = {receiving, self._cut_off}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return {"type": "websocket.disconnect"} if self._cut_off.done() else receiving.result()
        finally:
            receiving.cancel()

    async def _send_all(self) -> None:
        try:
            while (text := await self._waiting.get()) is not None:
                await self._socket.send_text(text)
            await self._socket.close(self._code)
        except (WebSocketDisconnect, RuntimeError):
            return
