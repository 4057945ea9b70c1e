"""What would make an avatar better, from the photo and its face mesh, in words for the user."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.photo.close_up import FACE_PX, close_up
from pipelines.photo.covered import wears_mask, wears_sunglasses
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh
from pipelines.photo.errors import EnrolmentError

Code = Literal[
    "mask", "sunglasses", "small", "blurred", "dark", "bright", "turned", "mouth_open", "tight"
]
Advice = tuple[Code, str]

SMALL_PX = 160  # forehead to chin; at 512 pixels a face is drawn 235 high
EDGE_BLURRED, EDGE_HOPELESS = 0.035, 0.12
"""Width of the eyes' edges in face heights: sharp portraits have 0.010 to 0.026, blurred by 0.02 of
the face height 0.036 to 0.070, by 0.06 0.077 to 0.121."""
_BURNT, _MUCH_BURNT = 250, 0.15  # of 255 in every colour, and the share of the face with that: the
# palest of 160 portraits has 0.04
DARK, HOPELESSLY_DARK = 85, 22  # of 255, of the brightest twentieth of the face
_TURNED_DEG, _NOD_DEG = 18.0, 18.0
_OPEN = 0.035  # lips apart, in face heights
_ROOM = 0.1  # above the forehead, in face heights, for the hair
_LIPS, _OVAL = (13, 14), (10, 338, 284, 454, 361, 379, 152, 150, 132, 234, 54, 109)
_EYES = (33, 133, 159, 145, 263, 362, 386, 374)


def advise(photo: Image8, face: FaceMesh) -> list[Advice]:
    """What the user could do better than `photo` (uint8 [H, W, 3]), the gravest first.

    Raises:
        EnrolmentError: it is so dark or blurred that no avatar is worth making.
    """
    grey, points = close_up(photo, face, "L")
    light, edge = brightness(grey, points), edge_width(grey, points)
    if light < HOPELESSLY_DARK:
        raise EnrolmentError(
            "too_dark", "The face is almost black. Use a photo taken in daylight or with a lamp on."
        )
    if edge > EDGE_HOPELESS:
        raise EnrolmentError(
            "too_blurred",
            "The photo is too blurred to make out the eyes. Use a sharp one: hold still, and let "
            "the camera focus on the face.",
        )
    height, width = photo.shape[:2]
    found: list[Advice] = []
    sharp = edge <= EDGE_BLURRED  # else lips and eyes may be lost in the blur alone
    if sharp and wears_mask(photo, face):
        words = "A mask hides the mouth, which moves most. Take it off."
        found.append(("mask", words))
    if sharp and wears_sunglasses(photo, face):
        words = "Sunglasses hide the eyes. Take them off; clear glasses may stay."
        found.append(("sunglasses", words))
    if face.height < SMALL_PX:
        words = f"The face is only {face.height:.0f} pixels high, and will look soft. Go closer,"
        found.append(("small", f"{words} or send the original photo."))
    if edge > EDGE_BLURRED:
        words = "The photo is blurred. Hold still and let the camera focus on the face."
        found.append(("blurred", words))
    if light < DARK:
        found.append(("dark", "The face is dark. Turn it to a window or a lamp."))
    if _burnt(photo, face) > _MUCH_BURNT:
        words = "Parts of the face are burnt out to white. Take it out of the glare."
        found.append(("bright", words))
    if abs(face.yaw_deg) > _TURNED_DEG or abs(face.pitch_deg) > _NOD_DEG:
        found.append(("turned", "The face is turned. Look straight into the camera."))
    if np.linalg.norm(np.subtract(*face.points[_LIPS, :2])) > _OPEN * face.height:
        found.append(("mouth_open", "The mouth is open. With lips closed it moves best."))
    if _is_tight(face, width, height):
        words = "The picture is cut close to the face. Leave room for hair and shoulders."
        found.append(("tight", words))
    return found


def to_meta(advice: list[Advice]) -> dict[str, str]:
    """For the strings of identity features."""
    return {"advice": json.dumps(advice)} if advice else {}


def brightness(grey: npt.NDArray[np.float32], points: npt.NDArray[np.float32]) -> float:
    """Of the brightest twentieth of the face, 0 to 255: skin of every colour has highlights."""
    low, high = points[_OVAL, :].min(axis=0), points[_OVAL, :].max(axis=0)
    return float(np.percentile(_cut(grey, low, high), 95))


def _burnt(photo: Image8, face: FaceMesh) -> float:
    """The share of the face that is white in `photo`."""
    low, high = face.points[_OVAL, :2].min(axis=0), face.points[_OVAL, :2].max(axis=0)
    (left, top), (right, bottom) = low.clip(0).astype(int), high.astype(int)
    cut = photo[top : bottom + 1, left : right + 1]
    return float((cut.min(axis=2) >= _BURNT).mean())


def edge_width(grey: npt.NDArray[np.float32], points: npt.NDArray[np.float32]) -> float:
    """How wide the steepest edges of the eyes are, in face heights: rims and pupils are sharp in
    every sharp photo, however smooth its skin."""
    widths = []
    for corners in (_EYES[:4], _EYES[4:]):
        low, high = points[corners, :].min(axis=0), points[corners, :].max(axis=0)
        margin = 0.25 * (high[0] - low[0])
        eye = _cut(grey, low - margin, high + margin)
        slope = np.hypot(*np.gradient(eye))
        contrast = np.percentile(eye, 98) - np.percentile(eye, 2)
        widths.append(contrast / max(float(np.percentile(slope, 99)), 1e-3))
    return float(min(widths)) / FACE_PX


def _cut(
    grey: npt.NDArray[np.float32], low: npt.NDArray[np.float32], high: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    x0, y0 = (max(0, int(v)) for v in low)
    x1, y1 = (max(lowest + 2, int(v) + 1) for lowest, v in zip((x0, y0), high, strict=True))
    return grey[y0:y1, x0:x1]


def _is_tight(face: FaceMesh, width: int, height: int) -> bool:
    low, high = face.points[:, :2].min(axis=0), face.points[:, :2].max(axis=0)
    room = _ROOM * face.height
    return bool(low[1] < room or low[0] < 0.0 or high[0] > width or high[1] + room > height)
