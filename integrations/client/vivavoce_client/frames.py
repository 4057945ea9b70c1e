"""Pictures and sound of the same media time, put together. Sans I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

FPS = 25
SOUND_RATE_HZ = 48_000
SOUND_SAMPLES = SOUND_RATE_HZ // FPS
PATIENCE_S = 0.2
"""So long sound waits for a picture that is missing; then the last one is shown again."""
SOUND_MISSING_S = 0.5
"""So far pictures may run ahead of the sound; then it is taken for silence."""


@dataclass(frozen=True)
class Frame:
    """A 25th of a second."""

    time_s: float
    """Since the first frame."""
    picture: av.VideoFrame
    """yuv420p; of whatever size the server draws now, which may change."""
    sound: NDArray[np.int16]
    """[1920], mono, 48 kHz: what is heard while the picture is shown."""
    fresh: bool = True
    """Whether the picture is of this moment; else it is of one before, because that is missing."""

    def image(self) -> NDArray[np.uint8]:
        """The picture as RGB: uint8 [height, width, 3]."""
        return np.asarray(self.picture.to_ndarray(format="rgb24"), np.uint8)


class Aligner:
    """Takes pictures and sound with their media times; gives frames once they are whole.

    Times are seconds on one scale, whose zero may lie anywhere.
    """

    def __init__(self) -> None:
        self._pictures: deque[tuple[float, av.VideoFrame]] = deque()  # not shown yet
        self._sound: NDArray[np.int16] = np.zeros(0, np.int16)  # from the next frame's start on
        self._shown: av.VideoFrame | None = None
        self._zero: float | None = None  # time of frame 0
        self._next = 0  # number of the next frame

    def add_picture(self, time_s: float, picture: av.VideoFrame) -> None:
        """A picture that is shown from `time_s` on."""
        if self._zero is None:
            self._zero = time_s
        self._pictures.append((time_s, picture))

    def add_sound(self, time_s: float, pcm: NDArray[np.int16]) -> None:
        """int16 [n], mono, 48 kHz; what lies before the first picture is left out."""
        if self._zero is None:
            return
        at = round((time_s - self._start) * SOUND_RATE_HZ)
        if at < 0:
            pcm, at = pcm[-at:], 0
        end = at + len(pcm)
        if end > len(self._sound):
            self._sound = np.pad(self._sound, (0, end - len(self._sound)))
        self._sound[at:end] = pcm

    @property
    def _start(self) -> float:
        assert self._zero is not None
        return self._zero + self._next / FPS

    def take(self) -> list[Frame]:
        """The frames that are whole now."""
        frames = []
        while (frame := self._frame()) is not None:
            frames.append(frame)
        return frames

    def _frame(self) -> Frame | None:
        if self._zero is None:
            return None
        start, half = self._start, 0.5 / FPS
        heard_s = len(self._sound) / SOUND_RATE_HZ
        ahead_s = self._pictures[-1][0] - start if self._pictures else 0.0
        if max(heard_s, ahead_s - SOUND_MISSING_S) < 1 / FPS - 1e-6:
            return None
        fresh = False
        while self._pictures and self._pictures[0][0] < start + half:
            at, self._shown = self._pictures.popleft()
            fresh = at >= start - half  # else it is late, but newer than what was shown
        missing = not fresh and not self._pictures and heard_s < 1 / FPS + PATIENCE_S - 1e-6
        if missing or self._shown is None:
            return None
        sound = self._sound[:SOUND_SAMPLES]
        sound = np.pad(sound, (0, SOUND_SAMPLES - len(sound)))
        frame = Frame(self._next / FPS, self._shown, sound, fresh)
        self._sound = self._sound[SOUND_SAMPLES:]
        self._next += 1
        return frame
