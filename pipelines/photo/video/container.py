"""Video files to timed pictures and sound, with every limit checked before anything is decoded.

The one module of the pipelines that knows a decoder (PyAV). FFmpeg is told which demuxer to use and
may open nothing but the file itself, so that no playlist reaches other files or the network, and
only decoders of `_CODECS` run. Its own allocations are bounded by `max_pixels` and `mp4_tables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.photo.decode import WORK_SIDE, Image8
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.video.mp4_tables import check_tables
from pipelines.photo.video.sniff import HEAD_BYTES, VideoLimits, VideoType, sniff
from pipelines.photo.video.upright import Display

LIMITS = VideoLimits()
VIDEO_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "prores", "ffv1"})
_DECODERS = {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}
_ENDS_EARLY_S = 1.0  # before the length that the file states: it was cut off
_PROBED_PIXELS = 7680 * 4320  # enough to say how large it is; what is larger has no size
_DAMAGED = 25  # undecodable packets before a file is given up
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class VideoFacts:
    """What a file says of itself. width, height: as it is to be shown; seconds: None if unsaid."""

    kind: VideoType
    codec: str
    width: int
    height: int
    seconds: float | None
    has_sound: bool


@dataclass(frozen=True)
class TimedPicture:
    """An upright picture with square pixels, uint8 [H, W, 3] RGB, and when it is to be shown."""

    time_s: float
    pixels: Image8


def inspect(path: Path, limits: VideoLimits = LIMITS) -> VideoFacts:
    """What a video file holds, of which one picture is decoded.

    Raises:
        EnrolmentError: it cannot be used; the message says why and what to do.
    """
    with opened(path, limits) as container:
        stream = container.streams.video[0]
        frame, display = _first(container, stream)
        width, height = display.size(frame.width, frame.height)
        return VideoFacts(
            kind=_kind(path),
            codec=_codec(stream),
            width=width,
            height=height,
            seconds=_stated_s(container),
            has_sound=bool(container.streams.audio),
        )


def read_pictures(
    path: Path, limits: VideoLimits = LIMITS, side: int = WORK_SIDE
) -> Iterator[TimedPicture]:
    """Decode the pictures of a file one by one, in order of their times, the first at 0.

    Pictures whose longer side is above `side` are reduced to it. What cannot be decoded is left
    out, as is what comes at no later time than the picture before.

    Raises:
        EnrolmentError: it cannot be used, or ends before it should.
    """
    with opened(path, limits) as container:
        stream = container.streams.video[0]
        clock = _PictureClock(stream)
        for n, frame in enumerate(_frames(container, stream, limits)):
            if n >= limits.frames:
                raise _too_long(f"more than {limits.frames} pictures", limits)
            _check_size(frame.width, frame.height, limits)
            time_s = clock.time_of(frame)
            if time_s is None:
                continue
            if time_s > limits.longest_s:
                raise _too_long(f"at least {time_s:.0f} s", limits)
            yield TimedPicture(time_s, Display.of(frame, stream).show(frame, side))
        _check_end(clock.last_s + clock.usual_s, _stated_s(container), limits)


def first_time_s(path: Path, limits: VideoLimits = LIMITS) -> float:
    """When the first picture is shown, on the file's own clock: what `read_pictures` calls 0."""
    with opened(path, limits) as container:
        stream = container.streams.video[0]
        frame, _ = _first(container, stream)
        return frame.time or 0.0


@contextmanager
def opened(path: Path, limits: VideoLimits) -> Iterator[InputContainer]:
    """The file's container, checked and with its first video stream ready to decode."""
    kind = _kind(path, limits)
    if kind == "mp4":
        check_tables(path, limits.frames)
    options = {"protocol_whitelist": "file", "max_pixels": str(max(_PROBED_PIXELS, limits.pixels))}
    url = f"file:{path.resolve()}"
    try:
        with av.open(url, format=kind, options=options, metadata_errors="replace") as container:
            _check(container, limits)
            yield container
    except av.FFmpegError as error:
        raise EnrolmentError(
            "not_a_video",
            "The video file is damaged or cut off and cannot be read. Export or copy it again.",
        ) from error


def _kind(path: Path, limits: VideoLimits = LIMITS) -> VideoType:
    size = path.stat().st_size
    if size > limits.bytes:
        raise EnrolmentError(
            "video_too_large",
            f"The file has {size / _MEBIBYTE:.0f} MiB; at most {limits.bytes // _MEBIBYTE} MiB "
            "are accepted. Cut it shorter or export it at a lower resolution.",
        )
    if size == 0:
        raise EnrolmentError("not_a_video", "The video file is empty. Record or export it again.")
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES))


def _check(container: InputContainer, limits: VideoLimits) -> None:
    """Refuse by what the header says, and have the decoder refuse what it does not say."""
    streams = container.streams.video
    if not streams:
        raise EnrolmentError(
            "not_a_video", "The file holds sound but no picture. Use a video of the person."
        )
    stream = streams[0]
    codec = _codec(stream)
    if codec not in VIDEO_CODECS:
        raise EnrolmentError(
            "unsupported_type",
            f"The video is coded as {codec}, which is not accepted. Export it as H.264 (MP4).",
        )
    _check_size(stream.codec_context.width, stream.codec_context.height, limits)
    seconds = _stated_s(container)
    if seconds is not None and seconds > limits.longest_s + _ENDS_EARLY_S:
        raise _too_long(f"{seconds:.0f} s", limits)
    if stream.frames > limits.frames:
        raise _too_long(f"{stream.frames} pictures", limits)
    stream.codec_context.options = {"max_pixels": str(limits.pixels)}
    stream.codec_context.thread_count = 1  # each thread of a decoder holds pictures of its own


def _check_size(width: int, height: int, limits: VideoLimits) -> None:
    if width < 1 or height < 1:
        raise EnrolmentError("not_a_video", "The video's header gives no picture size.")
    longer, shorter = max(width, height), min(width, height)
    if width * height > limits.pixels or longer > limits.side or longer > limits.aspect * shorter:
        raise EnrolmentError(
            "video_too_large",
            f"The pictures are {width} x {height} pixels; at most {limits.pixels / 1e6:.1f} "
            "million in a usual shape are accepted. Export the video at 1080p.",
        )


def _codec(stream: VideoStream) -> str:
    name = stream.codec_context.name
    return _DECODERS.get(name, name)


def _stated_s(container: InputContainer) -> float | None:
    return None if container.duration is None else container.duration / av.time_base


def _too_long(what: str, limits: VideoLimits) -> EnrolmentError:
    return EnrolmentError(
        "video_too_long",
        f"The video has {what}; at most {limits.longest_s:.0f} s are accepted. Cut it shorter.",
    )


def _check_end(end_s: float, stated_s: float | None, limits: VideoLimits) -> None:
    if stated_s is not None and stated_s - end_s > _ENDS_EARLY_S + 0.1 * stated_s:
        raise EnrolmentError(
            "not_a_video",
            f"The video should last {stated_s:.1f} s, but its pictures end after {end_s:.1f} s: "
            "it is damaged or cut off. Export or copy it again.",
        )
    if end_s < limits.shortest_s:
        raise EnrolmentError(
            "video_too_short",
            f"The video lasts only {end_s:.1f} s; at least {limits.shortest_s:.0f} s are needed.",
        )


def _frames(
    container: InputContainer, stream: VideoStream, limits: VideoLimits
) -> Iterator[VideoFrame]:
    """All that can be decoded. Packets are counted, for they may hold nothing, without end."""
    damaged = 0
    for n, packet in enumerate(container.demux(stream)):
        if n > 2 * limits.frames:
            raise _too_long(f"more than {limits.frames} pictures", limits)
        try:
            yield from stream.decode(packet)
        except av.FFmpegError:
            damaged += 1
            if damaged > _DAMAGED:
                raise


def _first(container: InputContainer, stream: VideoStream) -> tuple[VideoFrame, Display]:
    for frame in _frames(container, stream, LIMITS):
        return frame, Display.of(frame, stream)
    raise EnrolmentError(
        "not_a_video", "No picture of the video can be decoded. Export it again, as H.264 (MP4)."
    )


class _PictureClock:
    """Times of pictures from the first on, in seconds, each later than the one before."""

    def __init__(self, stream: VideoStream) -> None:
        rate = stream.average_rate
        self.usual_s = float(1 / rate) if rate else 0.04  # where a container gives no times
        self._origin_s: float | None = None
        self.last_s = 0.0

    def time_of(self, frame: VideoFrame) -> float | None:
        """When it is shown; None where its time does not follow the last one's."""
        told = frame.time
        if self._origin_s is None:
            self._origin_s = told or 0.0
            return 0.0
        time_s = self.last_s + self.usual_s if told is None else told - self._origin_s
        if not np.isfinite(time_s) or time_s <= self.last_s:
            return None
        self.last_s = time_s
        return time_s
