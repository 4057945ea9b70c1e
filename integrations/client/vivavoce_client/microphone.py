"""Sound that a session hears as a microphone: in real time, silence where there is none."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

RATE_HZ = 48_000
PACKET = 960
"""Samples: 20 ms."""


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

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms, when it is time."""
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        self._start = self._start if self._start is not None else loop.time()
        await asyncio.sleep(max(0.0, self._start + self._sent * 0.02 - loop.time()))
        samples = self.packet(self._sent)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts, frame.time_base = self._sent * PACKET, Fraction(1, RATE_HZ)
        self._sent += 1
        return frame


class Microphone(RealTimeTrack):
    """A microphone that hears what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self._written: NDArray[np.int16] = np.zeros(0, np.int16)

    def write(self, pcm: NDArray[np.int16], rate_hz: int = RATE_HZ) -> None:
        """Have it heard after what was written before: int16 [n], mono."""
        if rate_hz != RATE_HZ:
            frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
            frame.sample_rate = rate_hz
            resampler = av.AudioResampler("s16", "mono", RATE_HZ)
            frames = [*resampler.resample(frame), *resampler.resample(None)]
            pcm = np.concatenate([part.to_ndarray().reshape(-1) for part in frames])
        self._written = np.concatenate([self._written, pcm])

    def packet(self, number: int) -> NDArray[np.int16]:
        """What is waiting, else silence."""
        samples, self._written = np.split(self._written, [PACKET])
        return np.pad(samples, (0, PACKET - len(samples)))
