"""The face followed through the pictures of a clip, and how different its frames are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.photo.curves import head_angles
from pipelines.photo.detect import MAX_YAW_DEG
from pipelines.photo.video.steady import SteadyPicture
from pipelines.photo.video.track import track_face
from pipelines.pipeline import Progress, Size
from pipelines.swaptalk.square import Squares, corners

_SMALL = (48, 27)  # what pictures are compared by


@dataclass(frozen=True)
class Track:
    """The face of n frames in order.

    points: float32 [n, 478, 3] in their pixels, NaN where it is not seen. small: uint8
    [n, 27, 48, 3], the pictures.
    """

    points: NDArray[np.float32]
    small: NDArray[np.uint8]


def follow(pictures: Iterable[SteadyPicture], size: Size, progress: Progress, frames: int) -> Track:
    """The face in each picture, in pixels of `size`; about `frames` are to come. Raises as
    `track_face`."""
    points, small = [], []
    lost = np.full((478, 3), np.nan, np.float32)
    for frame in track_face(pictures):
        height, width = frame.pixels.shape[:2]
        scale = np.array([size[0] / width, size[1] / height, size[0] / width], np.float32)
        turned = frame.points is None or abs(head_angles(frame.points)[0]) > MAX_YAW_DEG
        points.append(lost if frame.points is None or turned else frame.points * scale)
        picture = Image.fromarray(frame.pixels)
        small.append(np.asarray(picture.resize(_SMALL, Image.Resampling.BOX, reducing_gap=2.0)))
        progress(min(1.0, len(points) / frames), "following the face")
    return Track(np.stack(points).astype(np.float32), np.stack(small))


def resumed(path: Path, make: Callable[[], Track]) -> Track:
    """What is kept at `path`, or made now and kept there."""
    if path.exists():
        with np.load(path) as held:
            return Track(held["points"], held["small"])
    track = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part.npz")
    np.savez(partial, points=track.points, small=track.small)
    partial.replace(path)
    return track


def filled(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points [n, 478, 3] with what is missing drawn from its neighbours in time."""
    seen = np.flatnonzero(~np.isnan(points[:, 0, 0]))
    after = np.searchsorted(seen, np.arange(len(points))).clip(0, len(seen) - 1)
    before = (after - 1).clip(0)
    a, b = seen[before], seen[after]
    share = np.clip((np.arange(len(points)) - a) / np.maximum(b - a, 1), 0.0, 1.0)
    share[a == b] = 0.0
    earlier, later = points[a].astype(np.float64), points[b].astype(np.float64)
    result: NDArray[np.float64] = earlier + share[:, None, None] * (later - earlier)
    return result


def steps_between(found: Squares, small: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much happens from each of n frames to the next, [n - 1]: the way of the square's corners
    and the change of the picture, each over its median; `loop.USUAL` is as much as usual."""
    at = corners(found.places)
    parts = _way(at[1:], at[:-1]), _change(small[1:], small[:-1])
    return _sum(parts, parts)


def differences(found: Squares, small: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The same between any two of n frames, [n, n]."""
    at = corners(found.places)
    usual = _way(at[1:], at[:-1]), _change(small[1:], small[:-1])
    rows = [
        _sum((_way(at, here), _change(small, picture)), usual)
        for here, picture in zip(at, small, strict=True)
    ]
    return np.stack(rows)


def _sum(parts: tuple[Any, Any], usual: tuple[Any, Any]) -> NDArray[np.float64]:
    over = [part / max(float(np.median(u)), 1e-9) for part, u in zip(parts, usual, strict=True)]
    return np.asarray(over[0] + over[1], np.float64)


def _way(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of corners [..., 4, 2]."""
    return np.asarray(np.sqrt(((a - b) ** 2).sum(-1).mean(-1)), np.float64)


def _change(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean difference of pictures [..., 27, 48, 3], of full scale."""
    change = np.abs(a.astype(np.int16) - b).mean((-3, -2, -1)) / 255.0
    return np.asarray(change, np.float64)
