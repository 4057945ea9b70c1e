"""How long the sample tables of an MP4 say they are, before a demuxer believes them.

A table of equal sizes is one number in the file, and FFmpeg makes 24 bytes of index for each entry:
a file of a few hundred bytes can ask for 4 GB. Compressed headers, which nothing writes any more,
could ask for as much.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from pipelines.photo.errors import EnrolmentError

_FOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_MOST_BOXES = 100_000
_MOST_ENTRIES = 50  # of other streams (sound, titles, time codes) for each picture allowed
_COUNT_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4}  # bytes into the box


def check_tables(path: Path, frames: int) -> None:
    """Refuse an MP4 whose tables are meant for far more than `frames` pictures.

    Raises:
        EnrolmentError: they are, or its boxes make no sense.
    """
    with path.open("rb") as file:
        entries = sum(_entries(file, 0, path.stat().st_size))
    if entries > frames * _MOST_ENTRIES:
        raise EnrolmentError(
            "video_too_long",
            f"The video says that it has {entries} pieces, which is far too many. Cut it shorter, "
            "or export it again.",
        )


def _entries(file: BinaryIO, start: int, size: int) -> list[int]:
    """The counts of all sample tables between `start` and `size`."""
    found, waiting, boxes = [], [(start, size)], 0
    while waiting:
        at, end = waiting.pop()
        while at + 8 <= end:
            boxes += 1
            file.seek(at)
            length, name = struct.unpack(">I4s", file.read(8))
            inner = at + 8
            if length == 1:
                (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
                inner += 8
            elif length == 0:
                length = end - at
            if name == b"cmov" or boxes > _MOST_BOXES:
                raise EnrolmentError(
                    "not_a_video", "The video's header is not a usual one. Export it again."
                )
            if name in _FOLDERS:
                waiting.append((inner, min(at + length, end)))
            elif name in _COUNT_AT:
                file.seek(inner + _COUNT_AT[name])
                (count,) = struct.unpack(">I", file.read(4).ljust(4, b"\0"))
                found.append(count)
            if length < inner - at:  # damaged: nothing behind it can be found
                break
            at += length
    return found
