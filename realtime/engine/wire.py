"""What goes over the socket between a media process and the inference process.

Messages of a sequenced-packet socket keep their bounds, so there is no framing. The first byte
tells their kind. Hops and frames, of which every stream has 25 a second, are structs and bare
samples; the rare rest is pickled, which both ends may read: they are one user's, and whoever
connects says a secret first.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.machine import Machine
from realtime.engine.backends import BackendInUse
from realtime.engine.memory import Layout
from realtime.engine.turns import WaitingHop
from realtime.errors import VivavoceError
from realtime.media import Size

MESSAGE_BYTES = 1 << 16
"""No message is longer; a socket's default buffer holds several."""

HELLO, HOP, CLEAR, CALL = b"H", b"h", b"c", b"C"  # to the inference process
FRAME, REPLY, MEMORY, ENDED = b"f", b"R", b"M", b"E"  # from it

_HOP = struct.Struct("<cI???qd")
_CLEAR = struct.Struct("<cI")
_FRAME = struct.Struct("<cIqb?IBHHHffBII")


class Call(NamedTuple):
    """A request by name; `number` 0 wants no reply."""

    number: int
    method: str
    args: tuple[Any, ...]


class Reply(NamedTuple):
    """The answer to the call of that number: a value, or an exception to raise."""

    number: int
    value: Any
    error: VivavoceError | None = None


class Memory(NamedTuple):
    """The picture memory of a pipeline; its descriptor comes with the message."""

    number: int
    layout: Layout


class Opened(NamedTuple):
    """A stream stands; its still picture waits in a place of its memory."""

    stream: int
    memory: int
    batch: int
    row: int
    look_ahead: int
    expected_latency_s: float
    size: Size
    """The largest of its pictures."""


class Pulse(NamedTuple):
    """How the inference process is."""

    device: str
    pipelines: dict[str, str]
    sessions: int
    rung: int
    costs: dict[str, float]
    machine: Machine
    first_sizes: dict[str, Size]
    """By pipeline: of the pictures that the first session at the size warmed up for begins with."""
    backends: dict[str, BackendInUse]


class EncodingTimes(NamedTuple):
    """What encoding pictures of a size took a media process, per picture."""

    size: Size
    pictures: int
    cpu_s: float
    wall_s: float
    """From the wish to encode to its end."""


class Ended(NamedTuple):
    """The engine has given a stream up, or all of them: number 0."""

    stream: int
    reason: str


class FrameMessage(NamedTuple):
    """One frame of a stream. If `drawn`, its picture lies in `batch` and `row` of `memory`."""

    stream: int
    start: int
    behaviour: int
    drawn: bool
    memory: int
    batch: int
    row: int
    width: int
    height: int
    wait_s: float
    """From the hop handed in to the step's beginning."""
    step_s: float
    rung: int
    skipped: int
    dropped: int
    motion: NDArray[np.float32]
    """[D]."""

    @property
    def size(self) -> Size:
        """Of the pictures drawn now."""
        return self.width, self.height


def pack_hop(stream: int, hop: WaitingHop) -> bytes:
    """A hop of a stream."""
    flags = hop.speech, hop.listens, hop.unseen
    head = _HOP.pack(HOP, stream, *flags, hop.start, hop.sent)
    return head + hop.samples.astype(np.float32, copy=False).tobytes()


def unpack_hop(message: bytes) -> tuple[int, WaitingHop]:
    """The stream and its hop."""
    _, stream, speech, listens, unseen, start, sent = _HOP.unpack_from(message)
    samples = np.frombuffer(message[_HOP.size :], np.float32)
    return stream, WaitingHop(start, samples, speech, sent, listens, unseen)


def pack_clear(stream: int) -> bytes:
    """A stream's wish to forget what was heard and not shown."""
    return _CLEAR.pack(CLEAR, stream)


def unpack_clear(message: bytes) -> int:
    """The stream."""
    return int(_CLEAR.unpack(message)[1])


def pack_frame(frame: FrameMessage) -> bytes:
    """A frame without its picture."""
    return _FRAME.pack(FRAME, *frame[:-1]) + frame.motion.tobytes()


def unpack_frame(message: bytes) -> FrameMessage:
    """The frame."""
    motion = np.frombuffer(message[_FRAME.size :], np.float32)
    return FrameMessage._make((*_FRAME.unpack_from(message)[1:], motion))


def pack(kind: bytes, content: Call | Reply | Memory | Ended) -> bytes:
    """A message of the rare sort."""
    message = kind + pickle.dumps(content)
    if len(message) > MESSAGE_BYTES:
        raise ValueError(f"a message may have {MESSAGE_BYTES} bytes, this one has {len(message)}")
    return message


def unpack(message: bytes) -> Any:
    """Its content."""
    return pickle.loads(message[1:])


class Outbox:
    """What leaves by a non-blocking socket; what the socket does not take at once waits here.

    Args:
        most: messages that may wait; `send` refuses further ones unless they must go.
    """

    def __init__(self, sock: socket.socket, most: int = 256) -> None:
        self._sock = sock
        self._most = most
        self._waiting: deque[tuple[bytes, Sequence[int]]] = deque()

    def __bool__(self) -> bool:
        """Whether something waits: call `flush` when the socket is writable."""
        return bool(self._waiting)

    def send(self, message: bytes, descriptors: Sequence[int] = (), *, must: bool = False) -> bool:
        """Send or queue; False where the message was refused.

        Raises:
            OSError: the other end is gone.
        """
        if len(self._waiting) >= self._most and not must:
            return False
        self._waiting.append((message, descriptors))
        self.flush()
        return True

    def flush(self) -> None:
        """Send what the socket takes now."""
        while self._waiting:
            message, descriptors = self._waiting[0]
            try:
                if descriptors:
                    socket.send_fds(self._sock, [message], descriptors)
                else:
                    self._sock.send(message)
            except (BlockingIOError, InterruptedError):
                return
            self._waiting.popleft()
