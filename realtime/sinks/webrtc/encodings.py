"""A stream's encoders: each runs once per frame, however many watch.

A viewer joins at any time and waits for a key frame, which it asks for. Requests of all viewers are
gathered, and the bitrate is the highest that any of them can take: a slow viewer misses frames, but
lowers nobody else's quality.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import av
import numpy as np
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from numpy.typing import NDArray

from realtime.avatar_stream import AvatarStream
from realtime.cursor import Cursor
from realtime.media import SAMPLE_RATE_HZ, VIDEO_CLOCK_HZ, VOICE_RATE_HZ, Picture, Size, Voice
from realtime.sinks.webrtc.bitrate import BitrateGovernor
from realtime.sinks.webrtc.codecs import BitrateConfig, OpusEncoder, VideoEncoder, video_encoder

Media = TypeVar("Media", Voice, Picture)

PACE = 4
"""Large frames leave at this multiple of the bitrate: a narrow link need not queue or drop them."""
_VIDEO_DEPTH = 10  # frames that a sender may be behind
_VOICE_DEPTH = 25


@dataclass(frozen=True)
class Encoded:
    """RTP payloads of one frame and their time in the codec's clock, media time 0 = 0."""

    payloads: list[bytes]
    time: int
    keyframe: bool = True
    audio_level: tuple[bool, int] | None = None


class Viewer(Cursor[Encoded]):
    """One viewer's place at an encoding; what its receiver reports may steer it."""

    rate = VOICE_RATE_HZ
    """Of `Encoded.time`, Hz."""

    def __init__(self, depth: int, on_leave: Callable[[Viewer], None]) -> None:
        super().__init__(depth)
        self._on_leave = on_leave

    @property
    def pace_bps(self) -> int | None:
        """Packets of a large frame are sent no faster than this; None: all at once."""
        return None

    def request_keyframe(self) -> None:
        """The receiver cannot go on without one."""

    def received_estimate(self, bps: int, now: float) -> None:
        """The receiver believes it can take this many bit/s (REMB)."""

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        """Share of packets lost, and the round-trip time, as far as they are known."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._on_leave(self)


class VideoViewer(Viewer):
    """Gets whole groups of pictures: whatever cannot be decoded for want of others is left out."""

    rate = VIDEO_CLOCK_HZ

    def __init__(self, encoding: VideoEncoding) -> None:
        super().__init__(_VIDEO_DEPTH, encoding.leave)
        self._governor: BitrateGovernor | None = None
        self._encoding = encoding
        self._needs_keyframe = True
        self._fell_behind = False

    @property
    def target_bps(self) -> int:
        """What the encoder aims at."""
        return self._encoding.encoder.target_bps

    @property
    def pace_bps(self) -> int | None:
        return PACE * self.target_bps

    def put(self, item: Encoded) -> None:
        if self.full:
            self.dropped += len(self)
            self._items.clear()
            self._needs_keyframe = self._fell_behind = True
        if self._needs_keyframe and not item.keyframe:
            self.dropped += 1
            return
        self._needs_keyframe = False
        super().put(item)

    def pop(self) -> Encoded | None:
        if self._fell_behind:  # and is back
            self._fell_behind = False
            self.request_keyframe()
        return super().pop()

    def request_keyframe(self) -> None:
        self._encoding.keyframe_wanted = True

    def asks(self, now: float) -> int:
        """The bitrate this viewer can take."""
        if self._governor is None:
            return self._encoding.start_bps
        return self._governor.target(now)

    def received_estimate(self, bps: int, now: float) -> None:
        if (governor := self._govern()) is not None:
            governor.received_estimate(bps)
            self._encoding.aim(now)

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        if (governor := self._govern()) is not None:
            governor.received_report(loss, rtt_s, now)
            self._encoding.aim(now)

    def _govern(self) -> BitrateGovernor | None:
        """The governor, from the first frame on: its size says what to start with."""
        if self._governor is None and self._encoding.start_bps:
            self._governor = BitrateGovernor(self._encoding.start_bps)
        return self._governor


class Encoding(ABC, Generic[Media]):
    """One codec of one stream, and who watches it."""

    def __init__(self, media: Cursor[Media], on_empty: Callable[[], None]) -> None:
        self.viewers: list[Viewer] = []
        self._media: Cursor[Media] = media
        self._on_empty = on_empty

    @property
    def dropped(self) -> int:
        """Items that the encoder was too slow for."""
        return self._media.dropped

    @abstractmethod
    async def encode(self, item: Media) -> list[Encoded]:
        """Encode the next item, off the event loop where that takes long."""

    async def run(self) -> None:
        """Encode until the stream ends or nobody watches any more."""
        try:
            async for item in self._media:
                for encoded in await self.encode(item):
                    for viewer in self.viewers:
                        viewer.put(encoded)
        finally:
            for viewer in self.viewers:
                viewer.end()

    def leave(self, viewer: Viewer) -> None:
        self.viewers = [other for other in self.viewers if other is not viewer]
        if not self.viewers:
            self._media.close()
            self._on_empty()


class VideoEncoding(Encoding[Picture]):
    """The encoder runs in an executor, one frame at a time; a picture that comes meanwhile waits,
    and gives way to a newer one (`pictures` holds one)."""

    def __init__(
        self,
        pictures: Cursor[Picture],
        on_empty: Callable[[], None],
        encoder: VideoEncoder,
        owner: Encodings,
    ) -> None:
        super().__init__(pictures, on_empty)
        self.encoder = encoder
        self.keyframe_wanted = True
        self.start_bps = 0
        """What the first frame's size asks for; 0 before it."""
        self._owner = owner

    def join(self) -> VideoViewer:
        viewer = VideoViewer(self)
        self.viewers.append(viewer)
        self.keyframe_wanted = True
        return viewer

    def aim(self, now: float) -> None:
        """Set the bitrate to the highest that any viewer can take."""
        targets = [viewer.asks(now) for viewer in self.viewers if isinstance(viewer, VideoViewer)]
        self.encoder.set_target(max(targets))

    async def encode(self, item: Picture) -> list[Encoded]:
        keyframe, self.keyframe_wanted = self.keyframe_wanted, False
        loop, begin = asyncio.get_running_loop(), time.monotonic()
        encoded, cpu_s = await loop.run_in_executor(
            self._owner.executor, self._encode, item, keyframe
        )
        self.start_bps = self.start_bps or self.encoder.target_bps
        size = item.image.width, item.image.height
        self._owner.on_encoded(size, cpu_s, time.monotonic() - begin)
        return [encoded] if encoded.payloads else []

    def _encode(self, picture: Picture, keyframe: bool) -> tuple[Encoded, float]:
        begin = time.thread_time()
        pts = picture.start * VIDEO_CLOCK_HZ // SAMPLE_RATE_HZ
        payloads, is_key = self.encoder.encode(picture.image, pts=pts, keyframe=keyframe)
        return Encoded(payloads, pts, keyframe=is_key), time.thread_time() - begin


class VoiceEncoding(Encoding[Voice]):
    """Opus, encoded on the event loop: 0.15 ms per 20 ms, less than a thread switch under load."""

    def __init__(self, voice: Cursor[Voice], on_empty: Callable[[], None]) -> None:
        super().__init__(voice, on_empty)
        self._encoder = OpusEncoder()

    def join(self) -> Viewer:
        viewer = Viewer(_VOICE_DEPTH, self.leave)
        self.viewers.append(viewer)
        return viewer

    async def encode(self, item: Voice) -> list[Encoded]:
        return encode_voice(self._encoder, item)


class Encodings:
    """The encoders of one stream, made when they are first asked for and dropped with their last
    viewer.

    Args:
        stream: whose pictures and voice are encoded.
        bitrate: of the video.
        executor: where video is encoded; None: the event loop's own.
        on_encoded: told each picture's size, the CPU seconds it took, and those it was waited for.
        spawn: starts the tasks and minds their failures.
    """

    def __init__(
        self,
        stream: AvatarStream,
        *,
        bitrate: BitrateConfig | None = None,
        executor: Executor | None = None,
        on_encoded: Callable[[Size, float, float], None] = lambda size, cpu_s, wall_s: None,
        spawn: Callable[[Coroutine[Any, Any, None]], object] = asyncio.ensure_future,
    ) -> None:
        self.stream = stream
        self.executor = executor
        self.on_encoded = on_encoded
        self._bitrate = bitrate or BitrateConfig()
        self._spawn = spawn
        self._video: dict[str, VideoEncoding] = {}
        self._voice: VoiceEncoding | None = None
        self._dropped = 0

    def video(self, codec: RTCRtpCodecParameters) -> VideoViewer:
        """Watch the pictures in a negotiated codec."""
        name = codec.mimeType.lower()
        if name not in self._video:
            encoder = video_encoder(codec, self._bitrate)
            pictures: Cursor[Picture] = self.stream.subscribe(Picture, depth=1)
            self._video[name] = VideoEncoding(
                pictures, lambda: self._drop_video(name), encoder, self
            )
            self._spawn(self._video[name].run())
        return self._video[name].join()

    def voice(self, codec: RTCRtpCodecParameters) -> Viewer:
        """Listen to the voice in Opus."""
        if self._voice is None:
            voice: Cursor[Voice] = self.stream.subscribe(Voice, depth=_VOICE_DEPTH)
            self._voice = VoiceEncoding(voice, self._drop_voice)
            self._spawn(self._voice.run())
        return self._voice.join()

    @property
    def dropped(self) -> int:
        """Pictures that were not encoded, for a newer one had come."""
        return self._dropped + sum(encoding.dropped for encoding in self._video.values())

    def _drop_video(self, name: str) -> None:
        self._dropped += self._video.pop(name).dropped

    def _drop_voice(self) -> None:
        self._voice = None


def encode_voice(encoder: OpusEncoder, voice: Voice) -> list[Encoded]:
    """20 ms of voice -> its packet; several channels become their mean."""
    pcm = voice.pcm if voice.pcm.ndim == 1 else voice.pcm.mean(axis=1).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
    frame.sample_rate = VOICE_RATE_HZ
    frame.pts = voice.start * VOICE_RATE_HZ // SAMPLE_RATE_HZ
    level = audio_level(pcm)
    encoded = []
    for packet in encoder.encode(frame):
        assert packet.pts is not None
        encoded.append(Encoded([bytes(packet)], packet.pts, audio_level=level))
    return encoded


def audio_level(pcm: NDArray[np.int16]) -> tuple[bool, int]:
    """(voice activity, level in -dBov 0..127), RFC 6464."""
    x = pcm.astype(np.float32) / 32768.0
    power = float(np.mean(x * x))
    level = 127 if power <= 1e-12 else min(127, round(-10 * np.log10(power)))
    return level < 50, level
