"""The two tracks of a session: thin shells that wait on the playout clock and hand media over."""

from __future__ import annotations

import asyncio
import logging
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from realtime.playout import (
    FRAME_SAMPLES,
    HOPELESS_S,
    MODEL_RATE_HZ,
    PlayoutBuffer,
    PlayoutClock,
)

logger = logging.getLogger(__name__)

AUDIO_RATE_HZ = 48_000
AUDIO_SAMPLES = MODEL_RATE_HZ // 50
"""Samples at 16 kHz that one 20 ms audio frame covers."""
VIDEO_CLOCK_HZ = 90_000

_AUDIO_TIME_BASE = Fraction(1, AUDIO_RATE_HZ)
_VIDEO_TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)
_GRACE_S = 0.015  # a picture may leave this much late rather than be replaced
_QUIET = 300  # peak of 20 ms, int16, in which nobody hears a 10 ms pause


class _PacedTrack(MediaStreamTrack):
    def __init__(self, playout: PlayoutClock, buffer: PlayoutBuffer) -> None:
        super().__init__()
        self._playout = playout
        self._buffer = buffer

    async def _wait_until(self, position: int) -> float:
        """Wait until `position` is due; returns local time."""
        clock = self._playout.clock
        while (due := self._playout.due(position)) > clock.now():
            await clock.sleep_until(due)
        self._check_live()
        return clock.now()

    def _check_live(self) -> None:
        if self.readyState != "live" or self._buffer.closed:
            raise MediaStreamError


class AvatarAudioTrack(_PacedTrack):
    """20 ms frames of the session's voice: mono, 16 bit, 48 kHz, PTS in media time."""

    kind = "audio"

    def __init__(self, playout: PlayoutClock, buffer: PlayoutBuffer) -> None:
        super().__init__(playout, buffer)
        self._position = 0

    async def recv(self) -> av.AudioFrame:
        """The next frame, no earlier than it is due and never out of order."""
        self._check_live()
        now = await self._wait_until(self._position)
        behind = now - self._playout.due(self._position)
        if behind > HOPELESS_S:
            self._catch_up(now)
        while (voice := self._buffer.take_voice(self._position, AUDIO_SAMPLES)) is None:
            await self._buffer.changed()
            self._check_live()
        frame = av.AudioFrame.from_ndarray(voice[None, :], format="s16", layout="mono")
        frame.sample_rate = AUDIO_RATE_HZ
        frame.pts = self._position * AUDIO_RATE_HZ // MODEL_RATE_HZ
        frame.time_base = _AUDIO_TIME_BASE
        self._position += AUDIO_SAMPLES
        self._playout.pause(quiet=int(np.abs(voice.astype(np.int32)).max()) < _QUIET)
        return frame

    def _catch_up(self, now: float) -> None:
        position = max(0, self._playout.position(now)) // AUDIO_SAMPLES * AUDIO_SAMPLES
        logger.warning(
            "audio is %.1f s behind: skipped to %.2f s",
            (position - self._position) / MODEL_RATE_HZ,
            position / MODEL_RATE_HZ,
        )
        self._buffer.skip_audio(position)
        self._position = position


class AvatarVideoTrack(_PacedTrack):
    """25 frames a second of the session's pictures, yuv420p as rendered, PTS in media time."""

    kind = "video"

    def __init__(self, playout: PlayoutClock, buffer: PlayoutBuffer) -> None:
        super().__init__(playout, buffer)
        self._position = 0

    async def recv(self) -> av.VideoFrame:
        """The picture that is due next; whatever can no longer be in time is left out."""
        while True:
            self._check_live()
            self._skip()
            await self._wait_until(self._position)
            await self._wait_for_picture()
            picture = self._buffer.take_picture(self._position)
            position = self._position
            self._position += FRAME_SAMPLES
            if picture is not None:
                break
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = position * VIDEO_CLOCK_HZ // MODEL_RATE_HZ
        frame.time_base = _VIDEO_TIME_BASE
        return frame

    def _skip(self) -> None:
        """Leave out positions whose successor is due as well."""
        due = self._playout.position(self._playout.clock.now()) // FRAME_SAMPLES * FRAME_SAMPLES
        if due > self._position:
            self._buffer.stats.skipped_pictures += (due - self._position) // FRAME_SAMPLES
            self._position = due

    async def _wait_for_picture(self) -> None:
        clock = self._playout.clock
        deadline = self._playout.due(self._position) + _GRACE_S
        while not self._buffer.has_picture(self._position) and clock.now() < deadline:
            tasks = [
                asyncio.ensure_future(clock.sleep_until(deadline)),
                self._buffer.changed(),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
            self._check_live()
