"""A video of a person, looked through once: curves of the face, sound, and which picture of it
would make the best photo."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.photo.curves import Curve, Curves, FaceReading, read_face
from pipelines.photo.decode import Image8
from pipelines.photo.detect import LEVEL_PITCH_DEG, MAX_YAW_DEG
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.video.container import LIMITS, inspect, read_pictures
from pipelines.photo.video.sniff import VideoLimits
from pipelines.photo.video.sound import Sound, fit, read_sound
from pipelines.photo.video.steady import steady
from pipelines.photo.video.track import FaceFrame, track_face
from pipelines.pipeline import FPS, HOP_SAMPLES, Progress

_FACE_PX = 96  # side of what sharpness is measured on: the same for large and small faces
_DEGREES, _GAP, _LIDS = 8.0, 0.012, 0.25  # deviations that count as much as each other


@dataclass(frozen=True)
class Study:
    """curves: of the frames at 25 fps. sharpness: of the face, float32 [frames], NaN without one.
    sound: float32 [frames * 640], of the same time; None where the video has no sound track."""

    curves: Curves
    sharpness: Curve
    sound: Sound | None


def study(path: Path, progress: Progress, limits: VideoLimits = LIMITS) -> Study:
    """Look through a video; `progress` is told the share of its length.

    Raises:
        EnrolmentError: it cannot be read, was cut, or does not show one face all the time.
        EnrolmentCancelled: as `progress` said.
    """
    seconds = inspect(path, limits).seconds or limits.longest_s
    readings: list[FaceReading | None] = []
    sharpness: list[float] = []
    for frame in track_face(steady(read_pictures(path, limits))):
        readings.append(None if frame.points is None else read_face(frame.points))
        sharpness.append(_sharpness(frame))
        progress(min(1.0, frame.number / FPS / seconds), "following the face")
    sound = read_sound(path, limits)
    if sound is not None:
        sound = fit(sound, len(readings) * HOP_SAMPLES)
    return Study(Curves.of(readings), np.array(sharpness, np.float32), sound)


def choose_photo(found: Study) -> int:
    """The number of the frame that makes the best photo: frontal and level, lips together, eyes as
    open as they usually are, sharp.

    Raises:
        EnrolmentError: the face is turned away all the time.
    """
    curves = found.curves
    usual_lids = np.nanquantile(curves.lids, 0.6)
    usual_sharpness = np.nanmedian(found.sharpness)
    bad = (
        np.square(curves.yaw_deg / _DEGREES)
        + np.square((curves.pitch_deg + LEVEL_PITCH_DEG) / _DEGREES)
        + np.square(curves.roll_deg / _DEGREES)
        + np.square(curves.gap / _GAP)
        + np.square((curves.lids / usual_lids - 1.0) / _LIDS)
        - np.log(np.maximum(found.sharpness / usual_sharpness, 1e-3))
    )
    bad[np.abs(curves.yaw_deg) > MAX_YAW_DEG] = np.nan
    if np.isnan(bad).all():
        raise EnrolmentError(
            "face_turned",
            "The face is turned away all the time. Use a video of the person looking at the "
            "camera, or a photo beside it.",
        )
    return int(np.nanargmin(bad))


def read_photo(path: Path, number: int, limits: VideoLimits = LIMITS) -> Image8:
    """The frame of that number, uint8 [H, W, 3]."""
    return next(islice(steady(read_pictures(path, limits)), number, None)).pixels


def _sharpness(frame: FaceFrame) -> float:
    if frame.points is None:
        return float("nan")
    height, width = frame.pixels.shape[:2]
    (left, top), (right, bottom) = frame.points[:, :2].min(0), frame.points[:, :2].max(0)
    box = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
    if box[2] - box[0] < 8.0 or box[3] - box[1] < 8.0:
        return float("nan")
    face = Image.fromarray(frame.pixels[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])])
    small = np.asarray(face.convert("L").resize((_FACE_PX, _FACE_PX), reducing_gap=2.0), np.float32)
    inner = 4.0 * small[1:-1, 1:-1]
    edges = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:] - inner
    return float(edges.std())
