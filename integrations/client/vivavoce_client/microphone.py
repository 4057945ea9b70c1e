"""Sound that a session hears as a microphone: in real time, silence where there is none."""

from __future__ import annotations

import asyncio
from collections import deque
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

RATE_HZ = 48_000
TIME_BASE = Fraction(1, RATE_HZ)
PACKET = 960
"""Samples: 20 ms."""
MOST_S = 300.0
NOTHING: NDArray[np.int16] = np.zeros(0, np.int16)


class RealTimeTrack(MediaStreamTrack):
    """A track of 20 ms packets, one every 20 ms; what is in them, `packet` says."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0
        self._start: float | None = None

    def packet(self, number: int) -> NDArray[np.int16]:
        """int16 [960] at 48 kHz of the packet of this number; called when it is due."""
        raise NotImplementedError

    async def recv(self) -> av.AudioFrame | av.Packet[Any]:
        """The next 20 ms, when it is time."""
        return self._frame(await self._due())

    def _frame(self, number: int) -> av.AudioFrame:
        frame = av.AudioFrame.from_ndarray(self.packet(number)[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts, frame.time_base = number * PACKET, TIME_BASE
        return frame

    async def _due(self) -> int:
        """Wait until it is time for the next packet; its number.

        Raises:
            MediaStreamError: the track was stopped.
        """
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        self._start = self._start if self._start is not None else loop.time()
        await asyncio.sleep(max(0.0, self._start + self._sent * 0.02 - loop.time()))
        self._sent += 1
        return self._sent - 1


class Microphone(RealTimeTrack):
    """A microphone that hears what is written to it, in order and in real time; silence where
    nothing is waiting.

    Args:
        most_s: seconds that may wait. Of more, the oldest are dropped (`dropped_s`): half a second
            suits a live voice, whose clock may run a little faster than this one; who writes
            recordings that are longer looks at `waiting_s` and waits himself.
    """

    def __init__(self, most_s: float = MOST_S) -> None:
        super().__init__()
        self._most = max(PACKET, round(most_s * RATE_HZ))
        self._parts: deque[NDArray[np.int16]] = deque()
        self._unheard = self._dropped = 0  # samples
        self._resampler: tuple[int, av.AudioResampler] | None = None  # and the rate it takes

    @property
    def waiting_s(self) -> float:
        """Written and not heard yet."""
        return self._unheard / RATE_HZ

    @property
    def dropped_s(self) -> float:
        """Never heard, because too much was waiting."""
        return self._dropped / RATE_HZ

    def write(self, pcm: NDArray[np.int16], rate_hz: int = RATE_HZ) -> None:
        """Have it heard after what was written before: int16 [n], mono. A voice that comes in parts
        has no seams at these."""
        if self._resampler is not None and self._resampler[0] != rate_hz:
            self._flush()
        if rate_hz != RATE_HZ:
            if self._resampler is None:
                self._resampler = rate_hz, av.AudioResampler("s16", "mono", RATE_HZ)
            frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
            frame.sample_rate = rate_hz
            pcm = _samples(self._resampler[1].resample(frame))
        self._add(pcm)
        while self._unheard > self._most:
            self._dropped += len(self._take(self._unheard - self._most))

    def packet(self, number: int) -> NDArray[np.int16]:
        """What is waiting, else silence."""
        if self._unheard < PACKET:
            self._flush()
        samples = self._take(PACKET)
        return np.pad(samples, (0, PACKET - len(samples)))

    def _flush(self) -> None:
        """Take what the resampler holds back: nothing follows it."""
        if self._resampler is not None:
            self._add(_samples(self._resampler[1].resample(None)))
            self._resampler = None

    def _add(self, pcm: NDArray[np.int16]) -> None:
        self._parts.append(pcm)
        self._unheard += len(pcm)

    def _take(self, most: int) -> NDArray[np.int16]:
        """Up to so many samples, the oldest."""
        taken = [NOTHING]
        while self._parts and most:
            part = self._parts.popleft()
            if len(part) > most:
                self._parts.appendleft(part[most:])
            taken.append(part[:most])
            most -= len(taken[-1])
            self._unheard -= len(taken[-1])
        return np.concatenate(taken)


def _samples(frames: list[av.AudioFrame]) -> NDArray[np.int16]:
    return np.concatenate([NOTHING, *(frame.to_ndarray().reshape(-1) for frame in frames)])
