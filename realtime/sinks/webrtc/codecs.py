"""Video and audio encoders of one stream, tuned for a talking face on a live link.

They take frames as rendered (yuv420p planes, 48 kHz mono) and give RTP payloads. Each stream
owns its encoders; bitrate limits are theirs, not the process's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

import av
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from realtime.media import FPS, VIDEO_CLOCK_HZ, VOICE_RATE_HZ, own_frame

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
    """What both codecs share: opening when needed, keyframes, packing."""

    def __init__(self, codec: RTCRtpCodecParameters, config: BitrateConfig) -> None:
        self._config = config
        self._packer = get_encoder(codec)
        self._context: VideoCodecContext | None = None
        self._opened_bps = 0
        self._target_bps = 0
        self._bps = 0  # the target, but no more than the picture's size can use
        self._frames_since_open = 0

    @property
    def target_bps(self) -> int:
        return self._target_bps or self._config.start_bps or 0

    def set_target(self, bps: int) -> None:
        self._target_bps = max(self._config.min_bps, min(bps, self._config.max_bps))

    def encode(self, frame: av.VideoFrame, *, pts: int, keyframe: bool) -> tuple[list[bytes], bool]:
        if frame.format.name != "yuv420p":
            raise ValueError(f"frames must be yuv420p, got {frame.format.name}")
        if not self._target_bps:
            self.set_target(self._config.start_bps or default_bitrate(frame.width, frame.height))
        self._bps = min(self._target_bps, self._ceiling(frame.width, frame.height))
        context = self._context
        resized = context is not None and (context.width, context.height) != (
            frame.width,
            frame.height,
        )
        if context is None or resized or self._must_reopen():
            context = self._context = self._open(frame.width, frame.height, self._bps)
            self._opened_bps = self._bps
            self._frames_since_open = 0
        else:
            self._adjust(context)
        self._frames_since_open += 1
        frame = own_frame(frame)
        frame.pts, frame.time_base = pts, _VIDEO_TIME_BASE
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        payloads: list[bytes] = []
        is_key = False
        for packet in context.encode(frame):
            packet.time_base = _VIDEO_TIME_BASE
            payloads += self._packer.pack(packet)[0]
            is_key = is_key or packet.is_keyframe
        return payloads, is_key

    def _ceiling(self, width: int, height: int) -> int:
        """More than this a face of this size does not need, whatever the link can take."""
        useful = max(_USEFUL * default_bitrate(width, height), self._config.start_bps or 0)
        return min(self._config.max_bps, round(useful))

    @abstractmethod
    def _must_reopen(self) -> bool:
        """Whether the target can be followed only by opening the codec anew."""

    def _adjust(self, context: VideoCodecContext) -> None:  # noqa: B027
        """Follow the target without a keyframe; nothing to do where the codec cannot."""

    @abstractmethod
    def _open(self, width: int, height: int, bps: int) -> VideoCodecContext:
        """A new codec context for frames of this size at this bitrate."""


def _context(name: str, width: int, height: int, bps: int) -> VideoCodecContext:
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.width = width
    context.height = height
    context.pix_fmt = "yuv420p"
    context.bit_rate = bps
    context.framerate = Fraction(FPS, 1)
    context.time_base = _VIDEO_TIME_BASE
    context.gop_size = 3_000  # keyframes come on request
    context.thread_count = 1
    return context


class Vp8Encoder(_Encoder):
    """libvpx, real time. FFmpeg cannot change its bitrate while it runs: a change large enough to
    matter opens it anew, which costs a keyframe, so rises wait for `_RISE_FRAMES`."""

    _RISE_FRAMES = 5 * FPS

    def _must_reopen(self) -> bool:
        ratio = self._bps / self._opened_bps
        return ratio < 0.8 or (ratio > 1.35 and self._frames_since_open >= self._RISE_FRAMES)

    def _open(self, width: int, height: int, bps: int) -> VideoCodecContext:
        context = _context("libvpx", width, height, bps)
        context.qmin, context.qmax = 2, 56
        context.options = {
            "deadline": "realtime",
            "cpu-used": "-8",
            "lag-in-frames": "0",
            "error-resilient": "default",
            "noise-sensitivity": "0",
            "static-thresh": "1",
            "minrate": str(bps),  # with maxrate: constant bitrate
            "maxrate": str(bps),
            "bufsize": str(bps * 6 // 10),
            "undershoot-pct": "100",
            "overshoot-pct": "15",
        }
        return context


class H264Encoder(_Encoder):
    """x264, constrained baseline, veryfast. Follows any target while it runs, without keyframes.

    x264 takes a new bitrate only in constant-bitrate mode and only up to the one it was opened
    with, so it is opened at the ceiling and turned down before the second frame.
    """

    def _must_reopen(self) -> bool:
        return False

    def _adjust(self, context: VideoCodecContext) -> None:
        if abs(self._bps - (context.bit_rate or 0)) > 0.03 * self._bps:
            context.bit_rate = self._bps

    def _open(self, width: int, height: int, bps: int) -> VideoCodecContext:
        ceiling = self._ceiling(width, height)
        context = _context("libx264", width, height, ceiling)
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
        return context


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
