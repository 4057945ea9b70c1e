"""The one face of a video, followed from its first picture to its last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipelines.photo.curves import face_height
from pipelines.photo.decode import Image8
from pipelines.photo.detect import EXTRA_FACE_SHARE, MIN_FACE_PX, Points, find_meshes
from pipelines.photo.detector import DETECT_SIDE
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.follow import FaceFollower
from pipelines.photo.video.cuts import FaceJumps, SceneCuts
from pipelines.photo.video.steady import SteadyPicture
from pipelines.pipeline import FPS

MOMENT = FPS  # frames: as long may a face be gone, or too small, or another one be there
LOOK_EVERY = FPS // 2  # frames from one look for other faces to the next
_STALE_S = 0.06  # a picture taken further from its time than this shows other lips


@dataclass(frozen=True)
class FaceFrame:
    """A picture at 25 fps, RGB uint8 [H, W, 3], and the face in it, float32 [478, 3] in its
    pixels; None where it is not seen, or the picture was taken at quite another time."""

    number: int
    pixels: Image8
    points: Points | None


def track_face(pictures: Iterable[SteadyPicture]) -> Iterator[FaceFrame]:
    """Follow the face through a video; one picture is held at a time.

    Raises:
        EnrolmentError: for longer than a moment there is no face, more than one, or a face that
            is too small; or the video was cut. The message says at which second.
    """
    watch = _Watch()
    with FaceFollower() as follower:
        points: Points | None = None
        for picture in pictures:
            if picture.fresh:
                small, scale = _reduced(picture.pixels)
                found = follower.read(small)
                points = None if found is None else found / np.float32(scale)
                watch.look(picture.number, small, scale, points)
            watch.count(picture.number, points)
            near = abs(picture.off_s) < _STALE_S
            yield FaceFrame(picture.number, picture.pixels, points if near else None)
        watch.finish()


def _reduced(pixels: Image8) -> tuple[Image8, float]:
    """The picture as the detector sees it, and its scale."""
    height, width = pixels.shape[:2]
    scale = min(1.0, DETECT_SIDE / max(height, width))
    if scale == 1.0:
        return pixels, scale
    size = (round(width * scale), round(height * scale))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image), scale


class _Watch:
    """Says when a video is not one of one face."""

    def __init__(self) -> None:
        self._scene, self._jumps = SceneCuts(), FaceJumps()
        self._next_look = 0
        self._with_others: int | None = None  # the look at which others were first seen
        self._gone = self._small = 0  # frames in a row
        self._seen = 0

    def look(self, number: int, small: Image8, scale: float, points: Points | None) -> None:
        """At a new picture."""
        cut = self._scene.add(small)
        if points is not None:
            cut = self._jumps.add(number, points) or cut
        if cut:
            raise EnrolmentError(
                "video_cut",
                f"The video is cut at {_at(number)}. Use one take without cuts, or cut it there "
                "and use one of the parts.",
            )
        if points is not None and number >= self._next_look:
            self._next_look = number + LOOK_EVERY
            self._look_for_others(number, small, face_height(points) * scale)

    def _look_for_others(self, number: int, small: Image8, height: float) -> None:
        faces = [f for f in find_meshes(small, most=4) if f.height > EXTRA_FACE_SHARE * height]
        if len(faces) < 2:
            self._with_others = None
        elif self._with_others is None:
            self._with_others = number
        else:
            raise EnrolmentError(
                "several_faces",
                f"{len(faces)} faces are seen at {_at(self._with_others)}. Use a video of one "
                "person alone.",
            )

    def count(self, number: int, points: Points | None) -> None:
        """One more frame, with what is seen in it."""
        self._seen += points is not None
        self._gone = 0 if points is not None else self._gone + 1
        small = points is not None and face_height(points) < MIN_FACE_PX
        self._small = self._small + 1 if small else 0
        if self._gone > MOMENT:
            raise EnrolmentError(
                "no_face",
                f"No face is seen at {_at(number - self._gone + 1)}. Use a video of one person who "
                "looks at the camera all the time, well lit, with the whole face visible.",
            )
        if self._small > MOMENT:
            raise EnrolmentError(
                "face_too_small",
                f"At {_at(number - self._small + 1)} the face is less than {MIN_FACE_PX} pixels "
                "high. Use a video taken from closer, or a larger one.",
            )

    def finish(self) -> None:
        """No more pictures."""
        if not self._seen:
            raise EnrolmentError(
                "no_face",
                "No face was found. Use a video of one person who looks at the camera, well lit, "
                "with the whole face visible.",
            )


def _at(number: int) -> str:
    return f"{number / FPS:.1f} s"
