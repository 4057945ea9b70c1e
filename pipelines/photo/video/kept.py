"""Pictures kept encoded, in short stretches that are decoded by themselves: a clip in memory that
can be played forwards and backwards.

H.264 in its byte stream, the first picture of each stretch whole, none predicted from a later one.
The pictures are I420 in BT.601, limited range, as encoders get them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipelines.pipeline import FPS, Size

Planes = NDArray[np.uint8]
"""An I420 picture, [height * 3 / 2, width]."""
STRETCH = 8
"""Pictures that are decoded together."""
_QUALITY = 20  # of x264: nobody sees it from the source at 720 lines
_MOST_BITS_S = 12_000_000


@dataclass(frozen=True)
class KeptClip:
    """data: uint8 [bytes], stretch after stretch. starts: int64 [stretches + 1], where each begins
    in it. count: of pictures, all of `size`."""

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    count: int
    size: Size

    @property
    def nbytes(self) -> int:
        """Memory it takes, in bytes."""
        return self.data.nbytes

    def pictures(self) -> Iterator[Planes]:
        """All pictures in order."""
        for number in range(len(self.starts) - 1):
            yield from self.stretch(number)

    def stretch(self, number: int) -> list[Planes]:
        """Decode pictures [STRETCH * number, STRETCH * (number + 1)).

        Raises:
            ValueError: the data are damaged.
        """
        wanted = min(STRETCH, self.count - STRETCH * number)
        data = self.data[self.starts[number] : self.starts[number + 1]].tobytes()
        decoder = av.CodecContext.create("h264", "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.thread_count = 1  # each thread of a decoder holds pictures of its own
        try:
            packets = [*decoder.parse(data), *decoder.parse()]
            frames = [frame for packet in packets for frame in decoder.decode(packet)]
            frames += decoder.decode(None)
        except av.FFmpegError as error:
            raise ValueError(f"the kept clip is damaged: {error}") from error
        if len(frames) != wanted:
            raise ValueError(f"the kept clip is damaged: {len(frames)} pictures, not {wanted}")
        return [np.asarray(frame.to_ndarray(), np.uint8) for frame in frames]


def keep(pictures: Iterable[Planes], size: Size) -> KeptClip:
    """Encode I420 pictures of `size`; of as many as there are, none is held.

    Raises:
        ValueError: there is none.
    """
    parts: list[bytes] = []
    count = 0
    encoder = _encoder(size)
    for count, picture in enumerate(pictures, 1):
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), "yuv420p")
        frame.pts = count - 1
        _collect(parts, encoder.encode(frame))
    if not count:
        raise ValueError("a clip needs pictures")
    _collect(parts, encoder.encode(None))
    if len(parts) != -(-count // STRETCH):
        raise ValueError(f"{len(parts)} stretches were encoded of {count} pictures")
    starts = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return KeptClip(np.frombuffer(b"".join(parts), np.uint8), starts, count, size)


def _collect(parts: list[bytes], packets: Iterable[av.Packet[Any]]) -> None:
    for packet in packets:
        if packet.is_keyframe:
            parts.append(bytes(packet))
        else:
            parts[-1] += bytes(packet)


def _encoder(size: Size) -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.framerate = "yuv420p", Fraction(FPS)
    encoder.gop_size, encoder.max_b_frames = STRETCH, 0
    encoder.thread_count = 1
    encoder.options = {
        "preset": "veryfast",
        "crf": str(_QUALITY),
        "maxrate": str(_MOST_BITS_S),
        "bufsize": str(_MOST_BITS_S),
        "x264-params": f"keyint={STRETCH}:min-keyint={STRETCH}:scenecut=0:rc-lookahead=0",
    }
    return encoder


def resized(planes: Planes, size: Size) -> Planes:
    """The picture at another size."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    if (width, height) == size:
        return planes
    frame = VideoFrame.from_ndarray(planes, "yuv420p")
    way = "AREA" if size[0] < width else "BICUBIC"
    return np.asarray(frame.reformat(*size, interpolation=way).to_ndarray(), np.uint8)


def cropped(planes: Planes, left: int, top: int, size: Size) -> Planes:
    """A box of a picture; all even."""
    whole = planes.shape[0] * 2 // 3, planes.shape[1]
    width, height = size
    out = np.empty((height * 3 // 2, width), np.uint8)
    for (source, step), target in zip(channels(planes, whole), _parts(out, size), strict=True):
        y, x = top // step, left // step
        target[:] = source[y : y + height // step, x : x + width // step]
    return out


def to_rgb(planes: Planes) -> NDArray[np.uint8]:
    """The picture as RGB uint8 [H, W, 3]."""
    frame = VideoFrame.from_ndarray(planes, "yuv420p")
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def channels(planes: Planes, shape: tuple[int, int]) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Views of Y, Cb and Cr of a picture of (height, width), and how many pixels a sample spans."""
    height, width = shape
    yield planes[:height], 1
    chroma = planes.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    yield chroma[0], 2
    yield chroma[1], 2


def _parts(planes: Planes, size: Size) -> Sequence[NDArray[np.uint8]]:
    return [part for part, _ in channels(planes, (size[1], size[0]))]
