"""Crops of a face as SyncNet's tracker makes them.

The same are: the square around the box, its median over 13 frames, the share of it that is cut
out, its padding and its size. Other than there:

- The box is that around the FaceMesh of our lip reader, where the tracker has the S3FD detector's;
  both are meant from forehead to chin and cheek to cheek, and do not agree to the pixel.
- The median repeats the first and last box, where the tracker takes in zeros.
- There are neither cuts nor several faces to tell apart.
- Frames are seen as they were drawn, where the tracker keeps crops as a compressed video first.

So compare figures from here with each other rather than with a paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from benchmarks.lips.syncnet.network import SIZE
from pipelines.photo.decode import Image8
from pipelines.photo.detect import Points
from pipelines.photo.follow import FaceFollower

_MEDIAN_FRAMES = 13
_MARGIN = 0.4  # of the box's half size: once to the left and right, twice below
_PADDING = 110  # beyond the picture

Curve = NDArray[np.float64]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, pixels."""


@dataclass(frozen=True)
class Track:
    """Where the face is, pixels of each frame."""

    x: Curve
    y: Curve
    half: Curve
    """Of the longer side of the box around the face."""

    @classmethod
    def of(cls, boxes: Sequence[Box | None]) -> Track:
        """From the box in each frame; between frames where the face was lost lies
        what joins them.

        Raises:
            ValueError: no face in any frame.
        """
        seen = [n for n, box in enumerate(boxes) if box is not None]
        if not seen:
            raise ValueError(f"no face in any of {len(boxes)} frames")
        left, top, right, bottom = np.array([box for box in boxes if box is not None]).T
        half = np.maximum(right - left, bottom - top) / 2.0
        curves = ((left + right) / 2.0, (top + bottom) / 2.0, half)
        frames = np.arange(len(boxes))
        whole = (np.interp(frames, seen, curve) for curve in curves)
        return cls(*(median_filter(curve, _MEDIAN_FRAMES, mode="nearest") for curve in whole))


def face_crops(pictures: Sequence[Image8]) -> NDArray[np.uint8]:
    """The face of each BGR picture [H, W, 3] of a clip, uint8 [T, 224, 224, 3].

    Raises:
        ValueError: no face in any of them.
    """
    with FaceFollower() as follower:
        track = Track.of([_box(follower.read(_rgb(picture))) for picture in pictures])
    wheres = zip(pictures, track.x, track.y, track.half, strict=True)
    return np.stack([cropped(picture, x, y, half) for picture, x, y, half in wheres])


def _rgb(bgr: Image8) -> Image8:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _box(points: Points | None) -> Box | None:
    """Around a mesh."""
    if points is None:
        return None
    (left, top), (right, bottom) = points[:, :2].min(0), points[:, :2].max(0)
    return float(left), float(top), float(right), float(bottom)


def cropped(picture: Image8, x: float, y: float, half: float) -> Image8:
    """From `half` above to 1.8 below y and 1.4 to either side of x: BGR uint8 [224, 224, 3]."""
    pad = int(half * (1.0 + 2.0 * _MARGIN))
    wide = cv2.copyMakeBorder(
        picture, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(_PADDING,) * 3
    )
    x, y = x + pad, y + pad
    rows = slice(int(y - half), int(y + half * (1.0 + 2.0 * _MARGIN)))
    columns = slice(int(x - half * (1.0 + _MARGIN)), int(x + half * (1.0 + _MARGIN)))
    return np.asarray(cv2.resize(wide[rows, columns], (SIZE, SIZE)), np.uint8)
