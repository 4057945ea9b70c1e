"""Between a batch in the host's memory and a device: one copy in, few copies out, out of the way.

What a step made is put aside on the device, and leaves it on a stream of its own while the next
step is computed. There are two places to put it, so that a step waits only for what was made two
steps before. On a CPU everything is copied at once.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.batch import Batch
from pipelines.pipeline import UnderWay

logger = logging.getLogger(__name__)

PLACES = 2


class OnDevice:
    """What goes into a step and what comes out beside planes, on a device: as in a batch.

    `tensors` are by the names of the batch's arrays; their addresses never change.
    """

    def __init__(self, slots: int, motion_dim: int, device: torch.device) -> None:
        host = Batch.of(slots, ((2, 2),), motion_dim)
        sides = [
            torch.zeros(part.stop - part.start, dtype=torch.uint8, device=device)
            for part in host.parts
        ]
        self.inputs, self.outputs = sides
        self.tensors: dict[str, Tensor] = {}
        begin = host.memory.ctypes.data
        for name, like in host.tensors.items():
            at = like.data_ptr() - begin
            for side, part in zip(sides, host.parts, strict=True):
                if part.start <= at < part.stop:
                    held = side[at - part.start :][: like.numel() * like.element_size()]
                    self.tensors[name] = held.view(like.dtype).view(like.shape)


class Drawn(NamedTuple):
    """rows: slots, rising. planes: uint8 [n, bytes], their pictures, and perhaps others after
    them."""

    rows: NDArray[np.int64]
    planes: Tensor


class Host(NamedTuple):
    """A batch, all of its memory as uint8 [bytes], and its planes."""

    batch: Batch
    memory: Tensor
    planes: Tensor


class _Place:
    """Where on the device that waits which a step made, until it has left."""

    def __init__(self, outputs: Tensor) -> None:
        self.planes = outputs.new_empty(0)
        self.outputs = torch.empty_like(outputs)
        self.left: torch.cuda.Event | None = None


class Transfer:
    """Copies for a pipeline whose steps run one after the other."""

    def __init__(self, here: OnDevice) -> None:
        self._here = here
        self._hosts: dict[int, Host] = {}
        self._places = [_Place(here.outputs) for _ in range(PLACES)]
        self._next = 0
        self._stream = stream_of(here.inputs.device)

    def bring_in(self, batch: Batch) -> None:
        """What goes into a step, in one copy. Of 64 slots it is 0.2 MB, 4 µs on a PCIe 5 bus: not
        worth a stream of its own."""
        inputs, _ = batch.parts
        self._here.inputs.copy_(self.host(batch).memory[inputs], non_blocking=True)

    def take_out(self, batch: Batch, drawn: Iterable[Drawn]) -> UnderWay:
        """Copy pictures, motion and behaviour into `batch`."""
        host, place = self.host(batch), self._places[self._next]
        self._next = (self._next + 1) % PLACES
        if place.left is not None:
            torch.cuda.current_stream(place.outputs.device).wait_event(place.left)
        aside = list(self._put_aside(place, drawn))
        _, outputs = batch.parts
        copies = [(host.memory[outputs], place.outputs)]
        for rows, planes in aside:
            copies += _copies(host.planes, rows, planes)
        if self._stream is None:
            _copy(copies)
            return UnderWay()
        computed = _recorded(torch.cuda.current_stream(self._stream.device))
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            _copy(copies)
        place.left = _recorded(self._stream)
        return UnderWay(computed.synchronize, place.left.synchronize)

    def _put_aside(
        self, place: _Place, drawn: Iterable[Drawn]
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        place.outputs.copy_(self._here.outputs)
        begin = 0
        for rows, planes in drawn:
            size = len(rows) * planes.shape[1]
            held = place.planes[begin : begin + size].view(len(rows), -1)
            held.copy_(planes[: len(rows)])
            begin += size
            yield rows, held

    def host(self, batch: Batch) -> Host:
        """A batch as tensors, pinned where there is a GPU; it is kept as long as this is. To
        be called once outside of inference mode, which they outlive."""
        address = batch.memory.ctypes.data
        if address not in self._hosts:
            memory = torch.from_numpy(batch.memory)
            if self._stream is not None:
                unpin = _pin(memory, self._here.inputs.device)
                weakref.finalize(self, _let_go, memory, unpin, self._stream).atexit = False
                self._stream.synchronize()  # nothing leaves while places may be made anew
            self._hosts[address] = Host(batch, memory, batch.tensors["planes"])
            for place in self._places:
                if place.planes.numel() < batch.planes.size:
                    place.planes = place.outputs.new_empty(batch.planes.size)
        return self._hosts[address]


def _recorded(stream: torch.cuda.Stream) -> torch.cuda.Event:
    """When the stream has come so far. Who waits sleeps: encoders want the core."""
    event: torch.cuda.Event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    event.record(stream)
    return event


def stream_of(device: torch.device) -> torch.cuda.Stream | None:
    """A stream of its own on a GPU; None on a CPU."""
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _copies(
    host: Tensor, rows: NDArray[np.int64], planes: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of (host, device), each as they lie: one for each run of rows where pictures fill their
    rows, else one for each row."""
    count, size = planes.shape
    whole = size == host.shape[1]
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1 if whole else np.arange(1, count)
    for begin, end in pairwise([0, *breaks.tolist(), count]):
        row = int(rows[begin])
        yield host[row : row + end - begin, :size], planes[begin:end]


def _copy(copies: Sequence[tuple[Tensor, Tensor]]) -> None:
    for host, device in copies:
        host.copy_(device, non_blocking=True)


def _pin(memory: Tensor, device: torch.device) -> Callable[[], object]:
    """Lock memory in place, so that a device copies from and to it by itself; how to unlock it.

    That must be done before it is freed, or the driver takes what comes to lie there for it.
    """
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    status = int(runtime.cudaHostRegister(memory.data_ptr(), memory.numel(), 0))
    if status == 0:
        return partial(runtime.cudaHostUnregister, memory.data_ptr())
    # The driver then copies through memory of its own: right, but slower.
    logger.warning("%d bytes could not be pinned (error %d)", memory.numel(), status)
    with suppress(RuntimeError):  # the next launch would report that error as its own
        torch.zeros(1, device=device)
    return lambda: None


def _let_go(memory: Tensor, unpin: Callable[[], object], stream: torch.cuda.Stream) -> None:
    """Unlock memory, which is here so that it is not freed before."""
    stream.synchronize()
    unpin()
