"""Encoders as the RTP sender sees them: a frame in, RTP payloads and their time out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import av
import numpy as np

from realtime.sinks.webrtc.bitrate import BitrateGovernor
from realtime.sinks.webrtc.codecs import OpusEncoder, VideoEncoder

PACE = 4
"""Large frames leave at this multiple of the bitrate: a narrow link need not queue or drop them."""


@dataclass(frozen=True)
class Encoded:
    """RTP payloads of one frame and their time in the codec's clock, media time 0 = 0."""

    payloads: list[bytes]
    time: int
    audio_level: tuple[bool, int] | None = None


class FrameEncoder(Protocol):
    """Takes what the track gives."""

    rate: int

    @property
    def pace_bps(self) -> int | None:
        """Packets of a large frame are sent no faster than this; None: all at once."""
        ...

    async def encode(self, frame: Any, keyframe: bool) -> list[Encoded]:
        """Encode one frame off the event loop where it takes long."""
        ...

    def received_estimate(self, bps: int, now: float) -> None:
        """The receiver believes it can take this many bit/s (REMB)."""
        ...

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        """Share of packets lost, and the round-trip time, as far as they are known."""
        ...


class VideoFrameEncoder:
    """Runs a video encoder in the loop's default executor."""

    rate = 90_000

    def __init__(self, encoder: VideoEncoder, on_encoded: Callable[[float], None]) -> None:
        self.encoder = encoder
        self._governor: BitrateGovernor | None = None
        self._on_encoded = on_encoded

    @property
    def pace_bps(self) -> int | None:
        return PACE * self.encoder.target_bps

    async def encode(self, frame: av.VideoFrame, keyframe: bool) -> list[Encoded]:
        loop = asyncio.get_running_loop()
        payloads, seconds = await loop.run_in_executor(None, self._encode, frame, keyframe)
        self._on_encoded(seconds)
        assert frame.pts is not None
        return [Encoded(payloads, frame.pts)] if payloads else []

    def _encode(self, frame: av.VideoFrame, keyframe: bool) -> tuple[list[bytes], float]:
        begin = time.thread_time()
        payloads = self.encoder.encode(frame, keyframe=keyframe)
        return payloads, time.thread_time() - begin

    def received_estimate(self, bps: int, now: float) -> None:
        if (governor := self._govern()) is not None:
            governor.received_estimate(bps)
            self.encoder.set_target(governor.target(now))

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        if (governor := self._govern()) is not None:
            governor.received_report(loss, rtt_s, now)
            self.encoder.set_target(governor.target(now))

    def _govern(self) -> BitrateGovernor | None:
        """The governor, from the first frame on: its size says what to start with."""
        if self._governor is None and self.encoder.target_bps:
            self._governor = BitrateGovernor(self.encoder.target_bps)
        return self._governor


class AudioFrameEncoder:
    """Opus on the event loop: 0.15 ms per 20 ms, less than a thread switch under load."""

    rate = 48_000
    pace_bps = None

    def __init__(self, encoder: OpusEncoder) -> None:
        self._encoder = encoder

    async def encode(self, frame: av.AudioFrame, keyframe: bool) -> list[Encoded]:
        level = _audio_level(frame)
        encoded = []
        for packet in self._encoder.encode(frame):
            assert packet.pts is not None
            encoded.append(Encoded([bytes(packet)], packet.pts, level))
        return encoded

    def received_estimate(self, bps: int, now: float) -> None:
        pass

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        pass


def _audio_level(frame: av.AudioFrame) -> tuple[bool, int]:
    """(voice activity, level in -dBov 0..127), RFC 6464."""
    x = frame.to_ndarray().astype(np.float32) / 32768.0
    power = float(np.mean(x * x))
    level = 127 if power <= 1e-12 else min(127, round(-10 * np.log10(power)))
    return level < 50, level
