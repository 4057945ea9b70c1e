"""Where faces are in a picture, by MediaPipe's detector of faces; an optional extra."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.photo.decode import Image8

DETECT_SIDE = 960  # pixels, long side of what the detector sees

_UNUSED = (
    "mediapipe.python.solutions.drawing_styles",
    "mediapipe.python.solutions.drawing_utils",
    "mediapipe.tasks",
    "mediapipe.tasks.python",
)
"""What MediaPipe imports and we never use: with them (Matplotlib, sounddevice) importing it takes
four times as long."""


@dataclass(frozen=True)
class Seen:
    """A face in a picture, as the detector gives it; all in the picture's pixels."""

    score: float  # how sure it is, 0..1
    box: tuple[float, float, float, float]  # left, top, width, height
    points: npt.NDArray[np.float32]  # [4, 2]: right eye, left eye, tip of the nose, mouth


@cache
def mediapipe_package() -> Any:
    """MediaPipe; ImportError says how to install it."""
    try:
        with _without(_UNUSED):
            import mediapipe
    except ImportError as error:
        raise ImportError(
            "turning a photo into an avatar needs MediaPipe: pip install 'vivavoce[enrol]'"
        ) from error
    return mediapipe


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports find empty modules in place of those that are not there yet."""
    left_out = [name for name in names if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in left_out})
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]


@cache
def _detector(far: bool) -> Any:
    """The detector of faces within two metres, or within five, loaded once."""
    return mediapipe_package().solutions.face_detection.FaceDetection(
        model_selection=int(far), min_detection_confidence=0.4
    )


def see_faces(picture: Image8, *, far: bool = False) -> list[Seen]:
    """Those faces in `picture` (uint8 [H, W, 3]) that the detector sees, the surest first. `far`:
    faces that are small in it."""
    height, width = picture.shape[:2]
    scale = min(1.0, DETECT_SIDE / max(height, width))
    small = np.ascontiguousarray(resized(picture, round(width * scale), round(height * scale)))
    seen = []
    for found in _detector(far).process(small).detections or []:
        box, points = found.location_data.relative_bounding_box, found.location_data
        seen.append(
            Seen(
                float(found.score[0]),
                (box.xmin * width, box.ymin * height, box.width * width, box.height * height),
                np.array(
                    [[p.x * width, p.y * height] for p in points.relative_keypoints[:4]], np.float32
                ),
            )
        )
    return sorted(seen, key=lambda face: -face.score)


def surest_face(photo: Image8, *, far: bool = False) -> tuple[float, tuple[float, ...]]:
    """How sure the detector is of the surest face in `photo` (uint8 [H, W, 3]), and that one's box:
    left, top, width, height in pixels. 0 where it finds none. `far`: faces that are small in it."""
    seen = see_faces(photo, far=far)
    if not seen:
        return 0.0, (0.0, 0.0, float(photo.shape[1]), float(photo.shape[0]))
    return seen[0].score, seen[0].box


def resized(picture: Image8, width: int, height: int) -> Image8:
    """`picture`, uint8 [H, W, 3], at another size."""
    if picture.shape[1] == width and picture.shape[0] == height:
        return picture
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)
