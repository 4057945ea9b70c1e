"""uvicorn's WebSocket (0.54.0, on websockets' sans-I/O core) with limits on what is no message.

Messages wait until they are read, and have a size. Pings are answered whether anybody reads the
answers or not, pieces of a message are kept however many and however empty they are, and all that
comes at once, which may be forty thousand messages, is taken apart at once.
"""

from __future__ import annotations

from typing import Any

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from realtime.control import TokenBucket

MAX_FRAGMENTS = 1000
"""Of a message of 15 MB; browsers send it in one, or in pieces of 128 KB."""
SLICE_BYTES = 16 * 1024
"""Taken apart at once, between which others have their turns: 8 ms for the smallest messages."""
PINGS_PER_S, BURST_PINGS = 2.0, 30.0
_POLICY = 1008  # RFC 6455, section 7.4.1


class LimitedSocket(WebSocketsSansIOProtocol):
    """One WebSocket; a peer that overdoes it is told so and left."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._pings = TokenBucket(PINGS_PER_S, BURST_PINGS, self.loop.time())
        self._unread = bytearray()

    def data_received(self, data: bytes) -> None:
        waits = bool(self._unread)
        self._unread += data
        if not waits:
            self._read_on()

    def _read_on(self) -> None:
        if not self._unread:  # it is over
            return
        piece = bytes(self._unread[:SLICE_BYTES])
        del self._unread[:SLICE_BYTES]
        super().data_received(piece)
        if self.transport.is_closing():
            self._unread.clear()
        elif self._unread:
            self.transport.pause_reading()
            self.loop.call_soon(self._read_on)
        elif not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        if self._unread:  # or more would come than is taken apart
            self.transport.pause_reading()
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        self._unread.clear()
        super().connection_lost(exc)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self._leave("a message of too many pieces")
        elif not self.close_sent:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        if not self._pings.take(self.loop.time()):
            self._leave("too many pings")
        elif not self.close_sent:
            super().handle_ping()

    def _leave(self, reason: str) -> None:
        if self.close_sent:
            return
        self.frames = []
        self.conn.send_close(_POLICY, reason)
        self.handle_parser_exception()
