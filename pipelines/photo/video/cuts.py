"""Notices where a video was cut: another scene, or a face that is suddenly elsewhere."""

from __future__ import annotations

from collections import deque

import numpy as np
from PIL import Image

from pipelines.photo.curves import face_height
from pipelines.photo.decode import Image8
from pipelines.photo.detect import Points
from pipelines.pipeline import FPS

_SIDE = 48  # pixels of what pictures are compared by
_CHANGE = 0.05  # mean change of a cut, of full scale, brightness apart
_TIMES = 5.0  # as large as usual before
_USUAL = 0.002  # a still camera's
_COLOURS = 0.2  # share of pixels that change to another of 64 colours
_MEMORY = FPS  # frames that "usual" is the median of

_STEP = 0.35  # face heights that a face moves in a frame at most, 2 m/s
_SCALE = 1.25  # that it grows or shrinks by
_FORGET = 5  # frames after which a face that was lost may be anywhere


class SceneCuts:
    """Compares each picture with the one before. Gestures and shaken cameras go on for several
    frames and mix no new colours in; a cut is alone and does."""

    def __init__(self) -> None:
        self._before: tuple[Image8, np.ndarray[tuple[int], np.dtype[np.float64]]] | None = None
        self._usual: deque[float] = deque(maxlen=_MEMORY)

    def add(self, picture: Image8) -> bool:
        """Whether the scene changes with this new picture, RGB uint8 [H, W, 3]."""
        small = np.asarray(
            Image.fromarray(picture).resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=2.0)
        )
        codes = (small >> 6).astype(np.int64) @ np.array([16, 4, 1])
        colours = np.bincount(codes.ravel(), minlength=64) / codes.size
        before, self._before = self._before, (small, colours)
        if before is None:
            return False
        change = small.astype(np.float32).mean(2) - before[0].astype(np.float32).mean(2)
        size = float(np.abs(change - change.mean()).mean()) / 255.0
        usual = max(float(np.median(self._usual)) if self._usual else 0.0, _USUAL)
        self._usual.append(size)
        mixed = float(np.abs(colours - before[1]).sum()) / 2.0
        return size > max(_CHANGE, _TIMES * usual) and mixed > _COLOURS


class FaceJumps:
    """Compares each face with the one last seen."""

    def __init__(self) -> None:
        self._last: tuple[int, Points] | None = None

    def add(self, number: int, points: Points) -> bool:
        """Whether this face, seen in frame `number`, cannot have come from where it last was."""
        last, self._last = self._last, (number, points)
        if last is None or number - last[0] > _FORGET:
            return False
        frames = number - last[0]
        heights = face_height(last[1]), face_height(points)
        way = float(np.linalg.norm((points[:, :2] - last[1][:, :2]).mean(0))) / max(heights)
        scale = max(heights) / min(heights)
        return way > _STEP * frames or scale > 1.0 + (_SCALE - 1.0) * frames
