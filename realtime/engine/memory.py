"""Pictures in memory that the inference process and a media process share.

Each pipeline has two batches, used in turn, so that a picture can be read from one while the other
is written. A place (one row of one batch) is taken when a picture was drawn into it and given back
by the reader; while it is taken nothing is drawn there, so no picture changes under its reader.
The memory has no name (`memfd`): its descriptor goes over the socket, and the kernel frees it
when the last process that maps it has ended, however that ended.
"""

from __future__ import annotations

import mmap
import os
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.batch import Batch, frame_bytes
from pipelines.pipeline import Size

BATCHES = 2


class Layout(NamedTuple):
    """What both sides must know to find their way in the memory of a pipeline."""

    pipeline: str
    slots: int
    sizes: tuple[Size, ...]
    motion_dim: int


class PictureMemory:
    """The two batches of one pipeline, mapped into this process.

    Args:
        layout: as the maker of the memory has it.
        descriptor: of the memory; stays the caller's.
    """

    def __init__(self, layout: Layout, descriptor: int) -> None:
        self.layout = layout
        shape = (layout.slots, layout.sizes, layout.motion_dim)
        flags, each = _flag_bytes(layout), _batch_bytes(layout)
        view = memoryview(mmap.mmap(descriptor, flags + BATCHES * each))
        self.taken: NDArray[np.bool_] = np.ndarray((BATCHES, layout.slots), np.bool_, view)
        """[2, B], set by the process that draws, cleared by the one that reads."""
        self.batches = tuple(
            Batch.over(view[flags + n * each : flags + (n + 1) * each], *shape)
            for n in range(BATCHES)
        )

    def has_place(self, row: int, busy: int | None = None) -> bool:
        """Whether a picture of `row` could be drawn into one of the batches but `busy`."""
        return any(not self.taken[n, row] for n in range(BATCHES) if n != busy)

    def roomiest(self, rows: list[int], busy: int | None = None) -> int:
        """The batch, not `busy`, in which the fewest of `rows` are taken."""
        free = [n for n in range(BATCHES) if n != busy]
        return min(free, key=lambda n: int(self.taken[n, rows].sum()))

    def take(self, batch: int, row: int, size: Size) -> av.VideoFrame:
        """Copy a picture out and give its place back."""
        frame = video_frame(self.batches[batch].planes[row], size)
        self.give_back(batch, row)
        return frame

    def give_back(self, batch: int, row: int) -> None:
        """Let the place be drawn into again."""
        self.taken[batch, row] = False


def create_memory(layout: Layout) -> int:
    """Memory of zeros for `layout`; returns its descriptor."""
    descriptor = os.memfd_create("vivavoce-pictures", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _flag_bytes(layout) + BATCHES * _batch_bytes(layout))
    return descriptor


def video_frame(planes: NDArray[np.uint8], size: Size) -> av.VideoFrame:
    """The I420 picture at the beginning of `planes`, uint8 [bytes], copied for an encoder."""
    width, height = size
    frame = av.VideoFrame(width, height, "yuv420p")
    offset = 0
    for plane in frame.planes:
        end = offset + plane.width * plane.height
        source = planes[offset:end].reshape(plane.height, plane.width)
        lines: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
        lines.reshape(-1, plane.line_size)[: plane.height, : plane.width] = source
        offset = end
    assert offset == frame_bytes(size)
    return frame


def _flag_bytes(layout: Layout) -> int:
    return _whole_pages(BATCHES * layout.slots)


def _batch_bytes(layout: Layout) -> int:
    return _whole_pages(Batch.nbytes(layout.slots, layout.sizes, layout.motion_dim))


def _whole_pages(count: int) -> int:
    """No page holds two parts: for a GPU each batch is locked in place by itself, page by page."""
    return -(-count // mmap.PAGESIZE) * mmap.PAGESIZE
