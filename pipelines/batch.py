"""The arrays of a step, made once and used by every step: what goes into a pipeline and comes out.

They are numpy views of one buffer, which may be shared memory, so that whoever hands in sound and
whoever takes pictures out may be another process. Nothing in a step depends on how many slots are
in use. Importing this module imports no torch.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.pipeline import HOP_SAMPLES, Size

if TYPE_CHECKING:
    from torch import Tensor

_ALIGN = 64  # bytes, a cache line: no two arrays share one


def frame_bytes(size: Size) -> int:
    """Bytes of an I420 picture of (width, height) pixels."""
    width, height = size
    if width % 2 or height % 2 or width <= 0 or height <= 0:
        raise ValueError(f"width and height must be even and positive, got {width} x {height}")
    return width * height * 3 // 2


@dataclass(frozen=True)
class Batch:
    """Rows are slots. In: hops, speech, active, draw, clear, listens, size. Out: planes, drawn,
    motion, behaviour."""

    hops: NDArray[np.float32]
    """[B, 640], 16 kHz, in [-1, 1]."""
    speech: NDArray[np.bool_]
    """[B], whether a voice was detected in the hop."""
    active: NDArray[np.bool_]
    """[B], slots that advance."""
    draw: NDArray[np.bool_]
    """[B], slots to draw; a subset of `active`."""
    clear: NDArray[np.bool_]
    """[B], slots that forget the sound they heard but did not show yet, before they hear this hop
    (barge-in): lips close from where they are, the head goes on."""
    listens: NDArray[np.bool_]
    """[B], slots that somebody else is speaking to: those that do not speak themselves listen."""
    size: NDArray[np.int32]
    """[B, 2], width and height to draw at, one of the system's sizes."""
    planes: NDArray[np.uint8]
    """[B, stride], I420: the picture of `size` lies at the row's beginning."""
    drawn: NDArray[np.bool_]
    """[B], whether this step drew the slot."""
    motion: NDArray[np.float32]
    """[B, D]."""
    behaviour: NDArray[np.int8]
    """[B], index into `pipelines.motion.space.BEHAVIOURS`."""

    @property
    def slots(self) -> int:
        """Rows."""
        return len(self.active)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The arrays by name, as tensors of the same memory."""
        import torch

        return {field.name: torch.from_numpy(getattr(self, field.name)) for field in fields(self)}

    @cached_property
    def memory(self) -> NDArray[np.uint8]:
        """[bytes], all of them as they lie: what goes in, planes, what else comes out."""
        end = self.behaviour.ctypes.data + len(self.behaviour) - self.hops.ctypes.data
        first = self.hops.reshape(-1).view(np.uint8)
        return np.lib.stride_tricks.as_strided(first, (end,), (1,))  # `over` laid them in a row

    @cached_property
    def parts(self) -> tuple[slice, slice]:
        """Where in `memory` lies what goes in, and what comes out beside planes and drawn."""
        begin = self.memory.ctypes.data
        planes, motion = self.planes.ctypes.data - begin, self.motion.ctypes.data - begin
        return slice(0, planes), slice(motion, len(self.memory))

    def size_of(self, slot: int) -> Size:
        """(width, height) that `slot` is drawn at."""
        width, height = self.size[slot]
        return int(width), int(height)

    def picture(self, slot: int) -> NDArray[np.uint8]:
        """The planes of `slot` at its size, [height * 3 / 2, width]; a view."""
        width, height = self.size_of(slot)
        row: NDArray[np.uint8] = self.planes[slot, : frame_bytes((width, height))]
        return row.reshape(height * 3 // 2, width)

    @classmethod
    def nbytes(cls, slots: int, sizes: Sequence[Size], motion_dim: int) -> int:
        """Bytes of the buffer that `over` needs."""
        return sum(_padded(shape, kind) for shape, kind in _layout(slots, sizes, motion_dim))

    @classmethod
    def over(
        cls, buffer: memoryview | bytearray, slots: int, sizes: Sequence[Size], motion_dim: int
    ) -> Batch:
        """Lay the arrays into `buffer`, as they are: nothing is written."""
        arrays: list[NDArray[Any]] = []
        offset = 0
        for shape, kind in _layout(slots, sizes, motion_dim):
            arrays.append(np.ndarray(shape, kind, buffer, offset))
            offset += _padded(shape, kind)
        return cls(*arrays)

    @classmethod
    def of(cls, slots: int, sizes: Sequence[Size], motion_dim: int) -> Batch:
        """A batch of zeros in memory of its own: whole pages, for a GPU's driver locks those."""
        pages = mmap.mmap(-1, cls.nbytes(slots, sizes, motion_dim))
        return cls.over(memoryview(pages), slots, sizes, motion_dim)


def _layout(
    slots: int, sizes: Sequence[Size], motion_dim: int
) -> list[tuple[tuple[int, ...], np.dtype[np.generic]]]:
    stride = max(frame_bytes(size) for size in sizes)
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "hops": ((slots, HOP_SAMPLES), np.float32),
        "speech": ((slots,), np.bool_),
        "active": ((slots,), np.bool_),
        "draw": ((slots,), np.bool_),
        "clear": ((slots,), np.bool_),
        "listens": ((slots,), np.bool_),
        "size": ((slots, 2), np.int32),
        "planes": ((slots, stride), np.uint8),
        "drawn": ((slots,), np.bool_),
        "motion": ((slots, motion_dim), np.float32),
        "behaviour": ((slots,), np.int8),
    }
    return [(shapes[f.name][0], np.dtype(shapes[f.name][1])) for f in fields(Batch)]


def _padded(shape: tuple[int, ...], kind: np.dtype[np.generic]) -> int:
    count = int(np.prod(shape)) * kind.itemsize
    return -(-count // _ALIGN) * _ALIGN
