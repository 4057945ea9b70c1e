"""The media timeline at 48 kHz: the sound not yet pulled from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.media import VOICE_SAMPLES as HOP


@dataclass(frozen=True)
class Stretch:
    """One hop as it came."""

    position: int
    pcm: NDArray[np.int16]  # [1920]
    present: NDArray[np.bool_]  # [1920]: what of it came
    touched: float | None  # local time of the last packet that added to it


class Window:
    """The next `length` samples of the timeline, filled in any order, taken hop by hop."""

    def __init__(self, length: int) -> None:
        self.start = 0
        """Position of the next sample to be taken."""
        self._pcm = np.zeros(length, np.int16)
        self._present = np.zeros(length, np.bool_)
        self._touched: dict[int, float] = {}  # by hop

    @property
    def complete(self) -> bool:
        """Whether the next hop has all its samples."""
        return bool(self._present[:HOP].all())

    def write(self, position: int, pcm: NDArray[np.int16], now: float) -> None:
        """Add sound where there is none yet; what lies outside the window is dropped."""
        skip = max(0, self.start - position)
        first = position + skip - self.start
        pcm = pcm[skip : skip + max(0, len(self._pcm) - first)]
        if not len(pcm):
            return
        last = first + len(pcm)
        free = ~self._present[first:last]
        self._pcm[first:last][free] = pcm[free]
        self._present[first:last] = True
        for hop in range((self.start + first) // HOP, (self.start + last - 1) // HOP + 1):
            self._touched[hop] = now

    def take(self) -> Stretch:
        """Remove the next hop, complete or not."""
        touched = self._touched.pop(self.start // HOP, None)
        taken = Stretch(
            self.start,
            self._pcm[:HOP].copy(),
            self._present[:HOP].copy(),
            touched,
        )
        self._pcm[:-HOP] = self._pcm[HOP:]
        self._present[:-HOP] = self._present[HOP:]
        self._present[-HOP:] = False
        self.start += HOP
        return taken

    def forget(self) -> None:
        """Drop all that was not taken yet."""
        self._present[:] = False
        self._touched.clear()
