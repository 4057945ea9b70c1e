"""The avatar as LiveKit's `AvatarRunner` wants it: audio in; audio and pictures out, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import av
import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, VideoGenerator
from numpy.typing import NDArray
from vivavoce_client.speaker import Shown, Speaker

COUNT_LIMIT_S = 0.5
"""A runner that takes longer waits for somebody to subscribe, and has nothing to count."""


class AvatarGenerator(VideoGenerator):
    """A session of a vivavoce server.

    Audio frames leave only while the avatar says a segment, so that the runner, who counts them,
    knows how much of it was said: exactly what was pushed, in pieces of 40 ms. Between segments
    there are pictures alone.

    Args:
        speaker: open; one that is asked for by nobody else.
        size: (width, height) of every picture; others are scaled.
    """

    def __init__(self, speaker: Speaker, size: tuple[int, int]) -> None:
        self._speaker = speaker
        self._size = size
        self._counted = asyncio.Event()  # clear while the runner has audio that it did not count
        self._counted.set()

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Have this said, or end the segment.

        Raises:
            SessionEnded: the server is gone or has ended the session.
        """
        if isinstance(frame, AudioSegmentEnd):
            await self._speaker.commit()  # of nothing, where an interruption ended it
        else:
            await self._speaker.push(_mono(frame), frame.sample_rate)

    async def clear_buffer(self) -> None:
        """The user interrupts.

        The runner counts a piece of audio once its queue has taken it, and says how much was said
        when this returns: a piece that it counted later would be added to the next segment. What
        its queue holds, 100 ms at most, is still heard, and counts.
        """
        await self._speaker.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._counted.wait(), COUNT_LIMIT_S)

    def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        return self._frames()

    async def _frames(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        async for shown in self._speaker.shown():
            for frame in self._in_order(shown):
                if isinstance(frame, rtc.AudioFrame):
                    self._counted.clear()
                yield frame
                self._counted.set()

    def _in_order(self, shown: Shown) -> list[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        said = shown.said
        frames: list[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd] = []
        if len(said.pcm):
            frames.append(rtc.AudioFrame(said.pcm.tobytes(), said.rate_hz, 1, len(said.pcm)))
        frames.append(_picture(shown.picture, self._size))
        if said.ended:
            frames.append(AudioSegmentEnd())
        return frames


def _mono(frame: rtc.AudioFrame) -> NDArray[np.int16]:
    samples = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
    return samples[:, 0] if frame.num_channels == 1 else samples.mean(axis=1).astype(np.int16)


def _picture(picture: av.VideoFrame, size: tuple[int, int]) -> rtc.VideoFrame:
    width, height = size
    if (picture.width, picture.height) != size:
        picture = picture.reformat(width, height)
    planes = np.ascontiguousarray(picture.to_ndarray(format="yuv420p"))
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, planes.tobytes())
