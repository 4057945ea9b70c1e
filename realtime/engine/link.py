"""One connection of a media process to an inference process: calls, streams, pictures."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable
from typing import Any

from realtime.clock import Clock
from realtime.engine import wire
from realtime.engine.handle import StreamRequest
from realtime.engine.memory import PictureMemory
from realtime.engine.stream import EngineStream
from realtime.engine.supervisor import EngineAddress
from realtime.engine.turns import WaitingHop
from realtime.errors import EngineError

CALL_S = 30.0
"""Deadline of a call that builds nothing: generous, for a machine with every core busy."""
GONE = "the inference process has ended"
READS = 32  # messages taken in one go, before the event loop gets its turn

Observer = Callable[[str, float], None]
"""Told a stage, "wait" or "step", and its seconds, for every frame."""


class Link:
    """Lives from `connect` until `close`, or until the other end is gone; then `lost` is done.

    The event loop itself reads and writes the socket: messages are a few kilobytes, and a helper
    thread would only add two waits for the interpreter lock.
    """

    def __init__(
        self,
        sock: socket.socket,
        clock: Clock,
        observe: Observer,
        on_lost: Callable[[str], None],
    ) -> None:
        self._sock = sock
        self._clock = clock
        self._observe = observe
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Why it is over."""
        self.answered = False
        """Something has come from the other end."""
        self._outbox = wire.Outbox(sock)
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._memories: dict[int, PictureMemory] = {}
        self._streams: dict[int, EngineStream] = {}
        self._loop.add_reader(sock.fileno(), self._readable)

    @classmethod
    def connect(
        cls,
        address: EngineAddress,
        clock: Clock,
        observe: Observer,
        on_lost: Callable[[str], None],
    ) -> Link:
        """Connect and say the secret.

        Raises:
            EngineError: nobody listens there.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            sock.connect(address.name)
        except OSError as error:
            sock.close()
            raise EngineError(f"cannot reach the inference process: {error}") from error
        link = cls(sock, clock, observe, on_lost)
        link._send(wire.HELLO + address.secret, must=True)
        return link

    async def call(self, method: str, *args: Any, timeout_s: float = CALL_S) -> Any:
        """Call a method of the inference process and wait for its answer.

        Raises:
            EngineError: no answer in time, or the process is gone.
            VivavoceError: what the method raised.
        """
        number = next(self._numbers)
        reply = self._loop.create_future()
        self._calls[number] = reply
        try:
            self.tell(method, *args, number=number)
            async with asyncio.timeout(timeout_s):
                return await reply
        except TimeoutError:
            self._refuse(reply)
            raise EngineError(f"the inference process did not answer {method!r} in time") from None
        except asyncio.CancelledError:
            self._refuse(reply)
            raise
        finally:
            self._calls.pop(number, None)

    def _refuse(self, reply: asyncio.Future[Any]) -> None:
        """An answer may have come although its caller has gone."""
        if reply.done() and not reply.cancelled() and reply.exception() is None:
            self._give_back(reply.result())

    def _give_back(self, value: Any) -> None:
        if isinstance(value, wire.Opened) and not self.lost.done():
            self._memories[value.memory].give_back(value.batch, value.row)
            self.tell("close", value.stream)

    def tell(self, method: str, *args: Any, number: int = 0) -> None:
        """Call a method whose answer nobody waits for."""
        if self.lost.done():
            raise EngineError(self.lost.result())
        self._send(wire.pack(wire.CALL, wire.Call(number, method, args)), must=True)

    async def open(self, request: StreamRequest) -> EngineStream:
        """Open a stream; see `StreamOpener.open`."""
        opened: wire.Opened = await self.call("open", request)
        if self.lost.done():  # between its answer and this line
            raise EngineError(self.lost.result())
        still = self._memories[opened.memory].take(opened.batch, opened.row, opened.size)
        stream = EngineStream(self, opened, still, self._clock)
        self._streams[opened.stream] = stream
        return stream

    def send_hop(self, stream: int, hop: WaitingHop) -> bool:
        """Hand a hop in; False where the process is too far behind to take it."""
        return not self.lost.done() and self._send(wire.pack_hop(stream, hop))

    def send_clear(self, stream: int) -> None:
        """Hand a barge-in in."""
        if not self.lost.done():
            self._send(wire.pack_clear(stream), must=True)

    def forget(self, stream: int) -> None:
        """Give a stream's slot back."""
        self._streams.pop(stream, None)
        if not self.lost.done():
            self.tell("close", stream)

    def close(self, reason: str) -> None:
        """End it: calls fail, streams hear of it."""
        if self.lost.done():
            return
        self.lost.set_result(reason)
        self._on_lost(reason)
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for reply in self._calls.values():
            if not reply.done():
                reply.set_exception(EngineError(reason))
        for stream in self._streams.values():
            self._loop.call_soon(stream.end, reason)  # one that raises spoils nothing
        self._streams.clear()
        self._memories.clear()

    def _send(self, message: bytes, *, must: bool = False) -> bool:
        try:
            taken = self._outbox.send(message, must=must)
        except OSError:
            self.close(GONE)
            return False
        if self._outbox:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        return taken

    def _writable(self) -> None:
        try:
            self._outbox.flush()
        except OSError:
            self.close(GONE)
            return
        if not self._outbox:
            self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        for _ in range(READS):
            if self.lost.done():  # by something that a message led to
                return
            try:
                message, descriptors, _, _ = socket.recv_fds(self._sock, wire.MESSAGE_BYTES, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close(GONE)
                return
            if not message:
                self.close(GONE)
                return
            self.answered = True
            self._take(message, descriptors)

    def _take(self, message: bytes, descriptors: list[int]) -> None:
        kind = message[:1]
        if kind == wire.FRAME:
            self._take_frame(wire.unpack_frame(message))
        elif kind == wire.REPLY:
            self._take_reply(wire.unpack(message))
        elif kind == wire.ENDED:
            self._take_end(wire.unpack(message))
        elif kind == wire.MEMORY:
            memory: wire.Memory = wire.unpack(message)
            self._memories[memory.number] = PictureMemory(memory.layout, descriptors[0])
            os.close(descriptors[0])

    def _take_frame(self, message: wire.FrameMessage) -> None:
        stream, picture = self._streams.get(message.stream), None
        if message.drawn:
            memory = self._memories[message.memory]
            if stream is None:
                memory.give_back(message.batch, message.row)
            else:
                picture = memory.take(message.batch, message.row, message.size)
        if stream is not None:
            self._observe("wait", message.wait_s)
            self._observe("step", message.step_s)
            stream.deliver(message, picture)

    def _take_end(self, ended: wire.Ended) -> None:
        stream = self._streams.pop(ended.stream, None)
        if stream is not None:
            stream.end(ended.reason)
        elif ended.stream == 0:  # everything
            self.close(ended.reason)

    def _take_reply(self, reply: wire.Reply) -> None:
        waiting = self._calls.get(reply.number)
        if waiting is not None and not waiting.done():
            if reply.error is None:
                waiting.set_result(reply.value)
            else:
                waiting.set_exception(reply.error)
        else:
            self._give_back(reply.value)
