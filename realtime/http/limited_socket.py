"""uvicorn's WebSocket (0.54.0, on websockets' sans-I/O core) with limits on what is no message.

Messages wait until they are read, and have a size. Pings are answered whether anybody reads the
answers or not, and pieces of a message are kept however many and however empty they are.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from realtime.control import TokenBucket

MAX_FRAGMENTS = 1000
"""Of a message of 15 MB; browsers send it in one, or in pieces of 128 KB."""
PINGS_PER_S, BURST_PINGS = 2.0, 30.0
_POLICY = 1008  # RFC 6455, section 7.4.1


class LimitedSocket(WebSocketsSansIOProtocol):
    """One WebSocket; a peer that overdoes it is told so and left."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._pings = TokenBucket(PINGS_PER_S, BURST_PINGS, self.loop.time())

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
