"""Every number of the media timeline, each derived from the one before, and what travels on it.

Media time is a sample index at 16 kHz since the stream began; video frame n covers the samples
[640 n, 640 (n + 1)). Positions are integers; seconds appear only at the clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import SpeechEdge
from pipelines.motion.space import Behaviour
from pipelines.pipeline import FPS, HOP_SAMPLES, SAMPLE_RATE_HZ, Size

__all__ = [
    "FPS",
    "HOP_SAMPLES",
    "SAMPLE_RATE_HZ",
    "Frame",
    "Hop",
    "Picture",
    "Size",
    "Voice",
    "own_frame",
]

HOP_S = HOP_SAMPLES / SAMPLE_RATE_HZ
VOICE_RATE_HZ = 48_000
"""Of the sound that viewers hear."""
VOICE_FACTOR = VOICE_RATE_HZ // SAMPLE_RATE_HZ
VOICE_SAMPLES = HOP_SAMPLES * VOICE_FACTOR
"""A hop's span at 48 kHz: 1920."""
PACKET_SAMPLES = SAMPLE_RATE_HZ // 50
"""A 20 ms packet's span on the timeline: 320."""
VIDEO_CLOCK_HZ = 90_000
"""Of RTP video timestamps (RFC 7741, RFC 6184)."""


@dataclass(frozen=True)
class Hop:
    """40 ms of speech, one video frame's worth."""

    start: int
    """Sample index at 16 kHz since the stream began."""
    samples: NDArray[np.float32]
    """[640] at 16 kHz in [-1, 1]."""
    voice: NDArray[np.int16]
    """[1920] or, of several channels, [1920, C]: the same span at 48 kHz, what is played."""
    speech: bool
    """Someone is speaking at the end of the hop."""
    arrived: float
    """Local time at which its last sample arrived, or was given up."""
    edges: tuple[SpeechEdge, ...] = ()
    """Speech starting or stopping, seen in this hop."""
    listens: bool = False
    """Somebody else is speaking to the avatar."""
    unseen: bool = False
    """Nobody will see the frame that it completes."""


@dataclass(frozen=True)
class Frame:
    """One video frame of one stream, on its way from the engine to the sinks."""

    start: int
    """First sample of the frame on the media timeline."""
    picture: av.VideoFrame | None
    """yuv420p, as every encoder takes it; None where drawing was left out. Not written to."""
    motion: NDArray[np.float32]
    """[D], what the system's `motion_names` say."""
    behaviour: Behaviour
    arrived: float
    """Local time at which the last sample that the frame shows came in."""
    ready: float
    """Local time at which the frame was done."""


@dataclass(frozen=True)
class Voice:
    """20 ms of what viewers hear, as it leaves."""

    start: int
    """Sample index at 16 kHz, a multiple of 320."""
    pcm: NDArray[np.int16]
    """[960] or [960, C] at 48 kHz."""


@dataclass(frozen=True)
class Picture:
    """What viewers see for 40 ms, as it leaves."""

    start: int
    """Sample index at 16 kHz, a multiple of 640."""
    image: av.VideoFrame
    """yuv420p. Sinks of one stream share it, so none writes to it: an encoder takes `own_frame`."""
    fresh: bool
    """It was not shown before."""


def own_frame(image: av.VideoFrame) -> av.VideoFrame:
    """A frame of the caller's own over the same pixels, which are not copied (15 us at any size).

    Encoding writes to a frame, its time at the least, and sinks encode in threads of their own.
    """
    planes = tuple(image.planes)
    return av.VideoFrame.from_dlpack(
        planes, format=image.format.name, width=image.width, height=image.height
    )
