"""The media processes as the inference process sees them: who connects, what each sends."""

from __future__ import annotations

import hmac
import logging
import selectors
import socket
from collections.abc import Callable
from typing import Protocol

from realtime.engine import wire
from realtime.engine.turns import WaitingHop

logger = logging.getLogger(__name__)

READS = 64  # messages taken of one peer in one go


class Desk(Protocol):
    """What peers may ask for."""

    def hear(self, peer: Peer, stream: int, hop: WaitingHop) -> None:
        """Queue a hop."""

    def clear(self, peer: Peer, stream: int) -> None:
        """Forget what a stream has said and not shown."""

    def call(self, peer: Peer, call: wire.Call) -> None:
        """Carry out a call, and reply to it at some time."""

    def gone(self, peer: Peer) -> None:
        """End everything of a peer."""


class Peer:
    """One connected media process, which has said the secret."""

    def __init__(self, sock: socket.socket, selector: selectors.BaseSelector, desk: Desk) -> None:
        self._sock = sock
        self._selector = selector
        self._desk = desk
        self._outbox = wire.Outbox(sock)
        self.memories: set[int] = set()
        """Numbers of the memories it has."""
        self.closed = False

    def send(
        self, message: bytes, descriptors: tuple[int, ...] = (), *, must: bool = False
    ) -> bool:
        """Send a message; False where it was refused because too many wait, or the peer is gone."""
        if self.closed:
            return False
        try:
            taken = self._outbox.send(message, descriptors, must=must)
        except OSError:
            self.close()
            return False
        self._watch()
        return taken

    def on_events(self, events: int) -> None:
        """Read or write what the socket is ready for."""
        if self.closed:  # by what was done for another peer since
            return
        try:
            if events & selectors.EVENT_WRITE:
                self._outbox.flush()
                self._watch()
            if events & selectors.EVENT_READ:
                self._read()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()

    def _watch(self) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
        if self._selector.get_key(self._sock).events != events:
            self._selector.modify(self._sock, events, self.on_events)

    def _read(self) -> None:
        for _ in range(READS):
            message = self._sock.recv(wire.MESSAGE_BYTES)
            if not message:
                self.close()
            if self.closed:
                return
            kind = message[:1]
            if kind == wire.HOP:
                self._desk.hear(self, *wire.unpack_hop(message))
            elif kind == wire.CLEAR:
                self._desk.clear(self, wire.unpack_clear(message))
            elif kind == wire.CALL:
                self._call(message)

    def _call(self, message: bytes) -> None:
        try:
            call: wire.Call = wire.unpack(message)
        except Exception as error:  # the arguments' classes may be anybody's
            logger.error("a call cannot be read", exc_info=error)
            self.close()
        else:
            self._desk.call(self, call)

    def close(self) -> None:
        """End the connection and all that hangs on it."""
        if not self.closed:
            self.closed = True
            self._selector.unregister(self._sock)
            self._sock.close()
            self._desk.gone(self)


class Door:
    """Accepts connections; whoever does not begin with the secret is shown out."""

    def __init__(
        self,
        listener: socket.socket,
        secret: bytes,
        selector: selectors.BaseSelector,
        desk: Desk,
    ) -> None:
        self._listener = listener
        self._secret = secret
        self._selector = selector
        self._desk = desk
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def _accept(self, events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # it has gone already
            return
        sock.setblocking(False)
        greet: Callable[[int], None] = lambda events: self._greet(sock)  # noqa: E731
        self._selector.register(sock, selectors.EVENT_READ, greet)

    def _greet(self, sock: socket.socket) -> None:
        try:
            message = sock.recv(wire.MESSAGE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            message = b""
        self._selector.unregister(sock)
        if not hmac.compare_digest(message, wire.HELLO + self._secret):
            sock.close()
            return
        peer = Peer(sock, self._selector, self._desk)
        self._selector.register(sock, selectors.EVENT_READ, peer.on_events)
