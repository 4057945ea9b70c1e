"""What a video file is by its first bytes, and what it may be. Imports no decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.photo.errors import EnrolmentError

HEAD_BYTES = 64
"""Of a file, that `sniff` wants to see."""
VideoType = Literal["mp4", "matroska", "avi"]
"""Names of FFmpeg's demuxers; "mp4" stands for QuickTime too, "matroska" for WebM."""
_PICTURES = (b"heic", b"heix", b"mif1", b"msf1", b"avif")  # in the same boxes as MP4


@dataclass(frozen=True, kw_only=True)
class VideoLimits:
    """What is decoded at most, and what is too little. `pixels` and `side` are of a picture, on
    its longer side; `aspect` is the longer side over the shorter one."""

    bytes: int = 512 * 1024 * 1024
    pixels: int = 9_500_000  # 4096 x 2304
    side: int = 4608
    aspect: float = 4.0
    shortest_s: float = 2.0
    longest_s: float = 360.0
    frames: int = 360 * 120


def sniff(head: bytes) -> VideoType:
    """Tell the container from a file's first `HEAD_BYTES`, whatever name it came with.

    Raises:
        EnrolmentError: it is none that is taken.
    """
    if head[4:8] == b"ftyp" and head[8:12] not in _PICTURES:
        return "mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    raise EnrolmentError(
        "not_a_video",
        "This is not a video that can be read. Use an MP4, MOV, WebM, MKV or AVI file.",
    )
