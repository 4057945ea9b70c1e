"""Talking-head recordings as training faces: decode, find the face, crop it the same all through.

A file is one identity. Its motion is not known, so no other identity shares its group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.anitalker.crop import choose_square
from pipelines.photo.crop import Crop, cut
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh, find_face
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.geometry import LOWER_LID, LOWER_OUTER, SIDES, UPPER_LID, UPPER_OUTER
from training.flow_warp.store import Clip

SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"})
_LEAST = 8  # frames with a face that make a clip worth keeping
_MOUTH = UPPER_OUTER + LOWER_OUTER
_EYES = tuple(UPPER_LID[side] + LOWER_LID[side] for side in SIDES)


class ClipError(ValueError):
    """A recording that cannot be used, and why."""


def find_clips(folder: Path) -> list[Path]:
    """Recordings anywhere below `folder`, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def recorded_clip(path: Path, count: int, size: int) -> Clip:
    """Up to `count` frames of `size` pixels, spread over the recording.

    Raises:
        ClipError: not a video, or a face is seen in too few of its frames.
    """
    seen = list(_faces(path, count))
    if len(seen) < _LEAST:
        raise ClipError(f"{path}: one face was found in {len(seen)} frames; {_LEAST} are needed")
    points = np.median([face.points for _, face in seen], axis=0)
    square = choose_square(FaceMesh(points.astype(np.float32)))
    frames = np.stack([cut(picture, square, size) for picture, _ in seen])
    regions = np.stack([_regions(face, square) for _, face in seen])
    return Clip(frames, regions, None, path.as_posix())


def _faces(path: Path, count: int) -> Iterator[tuple[Image8, FaceMesh]]:
    for picture in _pictures(path, count):
        try:
            yield picture, find_face(picture)
        except EnrolmentError:
            continue


def _pictures(path: Path, count: int) -> Iterator[Image8]:
    """`count` pictures at even distances, upright, uint8 [H, W, 3]; all of a shorter recording."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ClipError(f"{path}: holds no video")
            stream: Any = container.streams.video[0]
            total = stream.frames or sum(1 for _ in container.decode(stream))
            container.seek(0)
            wanted = set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist())
            for index, frame in enumerate(container.decode(stream)):
                if index in wanted:
                    turns = round(frame.rotation / 90)  # counter-clockwise, of a telephone's video
                    yield np.rot90(frame.to_ndarray(format="rgb24"), turns).copy()
    except av.FFmpegError as error:
        raise ClipError(f"{path}: cannot be decoded: {error}") from error


def _regions(face: FaceMesh, square: Crop) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Mouth, right eye, left eye in the crop: x, y, half width in [-1, 1], [3, 3]."""
    rows = []
    for chain in (_MOUTH, *_EYES):
        low, high = face.points[list(chain), :2].min(0), face.points[list(chain), :2].max(0)
        x, y = ((low + high) / 2 - (square.left, square.top)) * 2 / square.side - 1
        rows.append((x, y, (high[0] - low[0]) / square.side))
    return np.array(rows, np.float32)
