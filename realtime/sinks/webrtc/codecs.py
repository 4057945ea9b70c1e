"""Video and audio encoders of one stream, tuned for a talking face on a live link.

They take frames as rendered (yuv420p planes, 48 kHz mono) and give RTP payloads. Each stream
owns its encoders; bitrate limits are theirs, not the process's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

import av
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from realtime.media import FPS, VIDEO_CLOCK_HZ, VOICE_RATE_HZ, Size, own_frame
from realtime.sinks.webrtc.vpx import Vp8

VideoCodec = Literal["VP8", "H264"]

_VIDEO_TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)
_AUDIO_TIME_BASE = Fraction(1, VOICE_RATE_HZ)
_USEFUL = 1.6
"""Bitrate above which a talking face gains nothing, times the default."""


@dataclass(frozen=True, kw_only=True)
class BitrateConfig:
    """Video bitrates in bit/s."""

    start_bps: int | None = None
    """Before the receiver reports; None asks `default_bitrate`."""
    min_bps: int = 120_000
    max_bps: int = 2_500_000

    def __post_init__(self) -> None:
        if not 0 < self.min_bps <= self.max_bps:
            raise ValueError(f"min_bps {self.min_bps} must be in (0, max_bps {self.max_bps}]")


def default_bitrate(width: int, height: int) -> int:
    """What a talking face of this size needs: 0.5 Mbit/s at 256 px, 1.2 at 512."""
    area: float = width * height / 256**2
    return int(500_000 * math.pow(area, 0.63))


class VideoEncoder(Protocol):
    """Frames in, RTP payloads out. `encode` runs in a worker thread, one call at a time."""

    def encode(self, frame: av.VideoFrame, *, pts: int, keyframe: bool) -> tuple[list[bytes], bool]:
        """Encode a yuv420p frame as of time `pts` in 1/90000 s; also whether it became a key frame.
        Others may encode the same frame meanwhile."""
        ...

    @property
    def target_bps(self) -> int:
        """The bitrate aimed at."""
        ...

    def set_target(self, bps: int) -> None:
        """Aim at another bitrate from the next frame on."""
        ...


class _Encoder(ABC):
    """What both codecs share: opening when needed, targets, packing."""

    def __init__(self, codec: RTCRtpCodecParameters, config: BitrateConfig) -> None:
        self._config = config
        self._packer = get_encoder(codec)
        self._size: Size | None = None
        self._target_bps = 0

    @property
    def target_bps(self) -> int:
        return self._target_bps or self._config.start_bps or 0

    def set_target(self, bps: int) -> None:
        self._target_bps = max(self._config.min_bps, min(bps, self._config.max_bps))

    def encode(self, frame: av.VideoFrame, *, pts: int, keyframe: bool) -> tuple[list[bytes], bool]:
        if frame.format.name != "yuv420p":
            raise ValueError(f"frames must be yuv420p, got {frame.format.name}")
        size = frame.width, frame.height
        if not self._target_bps:
            self.set_target(self._config.start_bps or default_bitrate(*size))
        bps = min(self._target_bps, self._ceiling(size))
        if size != self._size:
            self._open(size, bps)
            self._size = size
        else:
            self._adjust(bps)
        payloads: list[bytes] = []
        is_key = False
        for packet in self._encode(frame, pts, keyframe=keyframe):
            packet.time_base = _VIDEO_TIME_BASE
            payloads += self._packer.pack(packet)[0]
            is_key = is_key or packet.is_keyframe
        return payloads, is_key

    def _ceiling(self, size: Size) -> int:
        """More than this a face of this size does not need, whatever the link can take."""
        useful = max(_USEFUL * default_bitrate(*size), self._config.start_bps or 0)
        return min(self._config.max_bps, round(useful))

    @abstractmethod
    def _open(self, size: Size, bps: int) -> None:
        """Begin anew with frames of this size at this bitrate."""

    @abstractmethod
    def _adjust(self, bps: int) -> None:
        """Follow the target from the next frame on, without a key frame."""

    @abstractmethod
    def _encode(
        self, frame: av.VideoFrame, pts: int, *, keyframe: bool
    ) -> Iterable[av.Packet[Any]]:
        """Packets of one frame."""


class Vp8Encoder(_Encoder):
    """libvpx, real time, constant bitrate."""

    _stream: Vp8

    def _open(self, size: Size, bps: int) -> None:
        self._stream = Vp8(*size, bps, VIDEO_CLOCK_HZ)

    def _adjust(self, bps: int) -> None:
        self._stream.set_bitrate(bps)

    def _encode(
        self, frame: av.VideoFrame, pts: int, *, keyframe: bool
    ) -> Iterable[av.Packet[Any]]:
        data, is_key = self._stream.encode(frame, pts, VIDEO_CLOCK_HZ // FPS, keyframe=keyframe)
        if not data:
            return []
        packet = av.Packet(data)
        packet.pts, packet.is_keyframe = pts, is_key
        return [packet]


class H264Encoder(_Encoder):
    """x264, constrained baseline, veryfast.

    x264 takes a new bitrate only in constant-bitrate mode and only up to the one it was opened
    with, so it is opened at the ceiling and turned down before the second frame.
    """

    _context: VideoCodecContext

    def _adjust(self, bps: int) -> None:
        if abs(bps - (self._context.bit_rate or 0)) > 0.03 * bps:
            self._context.bit_rate = bps

    def _open(self, size: Size, bps: int) -> None:
        ceiling = self._ceiling(size)
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = size
        context.pix_fmt = "yuv420p"
        context.bit_rate = ceiling
        context.framerate = Fraction(FPS, 1)
        context.time_base = _VIDEO_TIME_BASE
        context.gop_size = 3_000  # keyframes come on request
        context.thread_count = 1
        context.max_b_frames = 0
        context.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "level": "31",
            "forced-idr": "1",
            "maxrate": str(ceiling),
            "bufsize": str(ceiling // 10),  # bits; at 512 px a keyframe takes most of it
        }
        self._context = context

    def _encode(
        self, frame: av.VideoFrame, pts: int, *, keyframe: bool
    ) -> Iterable[av.Packet[Any]]:
        frame = own_frame(frame)
        frame.pts, frame.time_base = pts, _VIDEO_TIME_BASE
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        return self._context.encode(frame)


def video_encoder(codec: RTCRtpCodecParameters, config: BitrateConfig) -> VideoEncoder:
    """The encoder for a negotiated codec."""
    if codec.mimeType.lower() == "video/vp8":
        return Vp8Encoder(codec, config)
    if codec.mimeType.lower() == "video/h264":
        return H264Encoder(codec, config)
    raise ValueError(f"no encoder for {codec.mimeType}; negotiate video/VP8 or video/H264")


class OpusEncoder:
    """20 ms mono frames in, one packet each out."""

    def __init__(self, *, bps: int = 48_000, expected_loss_percent: int = 5) -> None:
        context = av.CodecContext.create("libopus", "w")
        context.bit_rate = bps
        context.format = "s16"
        context.layout = "mono"
        context.sample_rate = VOICE_RATE_HZ
        context.time_base = _AUDIO_TIME_BASE
        context.options = {
            "application": "voip",
            "frame_duration": "20",
            "fec": "1",
            "packet_loss": str(expected_loss_percent),
        }
        self._context = context

    def encode(self, frame: av.AudioFrame) -> Sequence[av.Packet[Any]]:
        """Packets for a 20 ms frame; their PTS (48 kHz) is of the sound they decode to."""
        packets: Sequence[av.Packet[Any]] = self._context.encode(frame)
        return packets
