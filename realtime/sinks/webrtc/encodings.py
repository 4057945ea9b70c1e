"""A stream's encoders: each runs once per frame, however many watch.

Viewers of one codec share one encoder, whose bitrate is the highest that any of them can take.
Those whose links cannot follow share a second one, which aims at what the best of them can take: a
slow viewer lowers nobody else's quality, and many slow ones cost one more encode, not many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from typing import Any

import av
import numpy as np
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from numpy.typing import NDArray

from realtime.avatar_stream import AvatarStream
from realtime.cursor import Cursor
from realtime.media import SAMPLE_RATE_HZ, VOICE_RATE_HZ, Picture, Size, Voice
from realtime.sinks.webrtc.codecs import BitrateConfig, OpusEncoder, video_encoder
from realtime.sinks.webrtc.pictures import DEPTH, VideoEncoding, VideoViewer
from realtime.sinks.webrtc.viewer import Encoded, Encoding, Viewer

_VOICE_DEPTH = 25


class VoiceEncoding(Encoding[Voice]):
    """Opus, encoded on the event loop: 0.15 ms per 20 ms, less than a thread switch under load."""

    def __init__(self, voice: Cursor[Voice], on_empty: Callable[[], None]) -> None:
        super().__init__(voice, on_empty)
        self._encoder = OpusEncoder()

    def join(self, depth: int) -> Viewer:
        viewer = Viewer(depth, self.leave)
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
        self._reduced: dict[str, VideoEncoding] = {}  # only beside one of the same codec in _video
        self._voice: VoiceEncoding | None = None
        self._dropped = 0

    def video(self, codec: RTCRtpCodecParameters, depth: int = DEPTH) -> VideoViewer:
        """Watch the pictures in a negotiated codec. depth: how many one may be behind."""
        name = codec.mimeType.lower()
        if name not in self._video:
            self._video[name] = self._start(codec)
        return self._video[name].join(depth)

    def _start(self, codec: RTCRtpCodecParameters) -> VideoEncoding:
        pictures: Cursor[Picture] = self.stream.subscribe(Picture, depth=1)
        encoding = VideoEncoding(
            pictures,
            video_encoder(codec, self._bitrate),
            executor=self.executor,
            on_encoded=self.on_encoded,
            on_report=lambda now: self._sort(codec, now),
            on_empty=lambda: self._drop_video(encoding),
        )
        self._spawn(encoding.run())
        return encoding

    def _sort(self, codec: RTCRtpCodecParameters, now: float) -> None:
        """Who cannot follow the others gets less, and who could again goes back to them."""
        name = codec.mimeType.lower()
        full, reduced = self._video[name], self._reduced.get(name)
        for viewer in full.left_behind(now):
            if reduced is None:
                reduced = self._reduced[name] = self._start(codec)
            viewer.move(reduced)
        if reduced is not None:
            for viewer in reduced.recovered(full.encoder.target_bps, now):
                viewer.move(full)

    def voice(self, codec: RTCRtpCodecParameters, depth: int = _VOICE_DEPTH) -> Viewer:
        """Listen to the voice in Opus. depth: how many packets one may be behind."""
        if self._voice is None:
            voice: Cursor[Voice] = self.stream.subscribe(Voice, depth=_VOICE_DEPTH)
            self._voice = VoiceEncoding(voice, self._drop_voice)
            self._spawn(self._voice.run())
        return self._voice.join(depth)

    @property
    def dropped(self) -> int:
        """Pictures that were not encoded, for a newer one had come."""
        return self._dropped + sum(encoding.dropped for encoding in self._all())

    def _all(self) -> Iterator[VideoEncoding]:
        yield from self._video.values()
        yield from self._reduced.values()

    def _drop_video(self, encoding: VideoEncoding) -> None:
        self._dropped += encoding.dropped
        for encodings in (self._reduced, self._video):
            for name in [name for name, other in encodings.items() if other is encoding]:
                del encodings[name]
                if encodings is self._video and name in self._reduced:  # nobody else is left
                    self._video[name] = self._reduced.pop(name)

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
