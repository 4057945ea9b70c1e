"""A WebSocket whose other end may be slow: what is sent waits in a queue of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from starlette.types import Message

from realtime.control import TokenBucket
from realtime.errors import VivavoceError
from realtime.http.guard import error_body
from realtime.protocol import ErrorDetail, ErrorEvent

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 15 * 1024 * 1024
"""What OpenAI's Realtime API takes in one `input_audio_buffer.append`."""
BYTES_PER_S, BURST_BYTES = 2 << 20, 64 << 20
"""What is read of one client: at once more than all speech that may wait, at 48 kHz in base64; then
ten times as much as it could say at that rate. The rest has to wait, in its own buffers."""
MESSAGES_PER_S, BURST_MESSAGES = 2_000.0, 20_000.0
"""At once as many as all speech that may wait has in pieces of 15 ms. One that sends more is cut
off: what it has sent would be read for minutes after it has gone."""
_MOST_WAITING = 2_000  # messages; a client that reads none has gone
_MOST_WAITING_BYTES = 16 << 20
_OVER, _POLICY = 1000, 1008  # RFC 6455, section 7.4.1
_FAREWELL_S = 10.0  # for a client to read how it ended


async def deny(socket: WebSocket, error: VivavoceError) -> None:
    """Refuse a WebSocket before it is one, by an HTTP answer."""
    await socket.send_denial_response(
        JSONResponse(error_body(error.code, str(error)), error.status)
    )


class Socket:
    """An accepted WebSocket. `async with` it: its sender runs meanwhile.

    Sessions speak to it by `send`, which never waits. A client that does not read, or says too much
    at once, is cut off: its `messages` end, however long its connection stays open.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        self._waiting_bytes = 0
        self._sender: asyncio.Task[None] | None = None
        self._code = _OVER
        self._ended = False
        self._loop = asyncio.get_running_loop()
        self._cut_off = self._loop.create_future()
        self._bytes = TokenBucket(BYTES_PER_S, BURST_BYTES, self._loop.time())
        self._messages = TokenBucket(MESSAGES_PER_S, BURST_MESSAGES, self._loop.time())

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
        full = self._waiting.full() or self._waiting_bytes > _MOST_WAITING_BYTES
        if full and not self._cut_off.done():
            self._leave("does not read")
        if self._code == _OVER:
            self._waiting.put_nowait(text)
            self._waiting_bytes += len(text)
        return self._code == _OVER

    def _leave(self, why: str) -> None:
        logger.warning("a client of a WebSocket %s: it is cut off", why)
        self._code = _POLICY
        self._cut_off.set_result(None)
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self.end()

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
                said = message["bytes"] if text is None else text
                yield said
                await self._take_turns(len(said))
        except (WebSocketDisconnect, RuntimeError):  # the latter once it was closed from here
            return

    async def _take_turns(self, size: int) -> None:
        """After a message of so many bytes: until others have had theirs."""
        now = self._loop.time()
        if not self._messages.take(now) and not self._cut_off.done():
            self._leave("says too much at once")
        if wait_s := self._bytes.owe(size, now):
            await asyncio.wait({self._cut_off}, timeout=wait_s)

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
                self._waiting_bytes -= len(text)
            await self._socket.close(self._code)
        except (WebSocketDisconnect, RuntimeError):
            return
