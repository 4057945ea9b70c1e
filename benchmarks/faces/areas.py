"""Parts of a picture by the mesh that was read from it, as masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.faces.mesh import Points
from benchmarks.faces.studio import Picture
from pipelines.photo.curves import face_height
from pipelines.photo.detect import person_mask
from pipelines.photo.geometry import LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER

Mask = NDArray[np.bool_]

# Patches of bare skin: either cheek, the forehead, the nose. Beards and hair stay outside.
_SKIN = (
    (117, 118, 101, 36, 205, 187, 123),
    (346, 347, 330, 266, 425, 411, 352),
    (109, 10, 338, 337, 151, 108),
    (6, 197, 196, 195, 419, 248),
)
_CHEEKS = (  # and the folds beside the nose: what lies around a mouth, as sharp as the photo is
    (118, 101, 100, 126, 209, 49, 203, 206, 207, 187, 123, 117),
    (347, 330, 329, 355, 429, 279, 423, 426, 427, 411, 352, 346),
)
# In face heights.
_CLEAR = 0.15  # between the person and what counts as background
_SHOULDERS = 0.32  # below the chin: beyond what a turning neck pulls along
_EDGE = 0.03  # half width of the outline of hair and ears,
_ABOVE = 0.5  # which ends so far above the chin: a jaw moves in speech
_UPPER = (0.30, 0.85, 0.42)  # half width, top and bottom above the chin: forehead, eyes and nose


def _filled(picture: Picture, points: Points, polygons: Sequence[Sequence[int]]) -> Mask:
    mask = np.zeros(picture.shape[:2], np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(points[list(polygon), :2]).astype(np.int32)], (1,))
    return mask > 0


def skin(picture: Picture, points: Points) -> Mask:
    """Bare skin, [H, W]."""
    return _filled(picture, points, _SKIN)


def cheeks(picture: Picture, points: Points) -> Mask:
    """Both cheeks and the folds beside nose and mouth, [H, W]."""
    return _filled(picture, points, _CHEEKS)


def inner_mouth(picture: Picture, points: Points) -> Mask:
    """What lies between the lips, [H, W], clear of their edges."""
    inside = _filled(picture, points, [UPPER_INNER + LOWER_INNER[::-1]])
    edge = max(1, round(0.006 * face_height(points)))
    around = np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)
    return cv2.erode(inside.astype(np.uint8), around) > 0


def lips(picture: Picture, points: Points) -> Mask:
    """The red of the lips, [H, W]."""
    outer = _filled(picture, points, [UPPER_OUTER + LOWER_OUTER[::-1]])
    return outer & ~_filled(picture, points, [UPPER_INNER + LOWER_INNER[::-1]])


def mouth(picture: Picture, points: Points) -> Mask:
    """Lips, all between them, and where a wide mouth's edges or a smear lie around, [H, W]."""
    outer = _filled(picture, points, [UPPER_OUTER + LOWER_OUTER[::-1]])
    return _grown(outer, 0.08 * face_height(points))


def still_parts(picture: Picture, points: Points) -> dict[str, Mask]:
    """What must not change under a still head, by name, [H, W]; a part that is out of the frame
    is left out. "background" and "shoulders" stay as they are however the head turns."""
    person = person_mask(picture) > 0.5
    unit = face_height(points)
    down = points[152, :2] - points[10, :2]
    down = down / np.linalg.norm(down)
    height, width = person.shape
    place = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) - points[152, :2]
    below = (place @ down) / unit
    across = (place @ np.array([down[1], -down[0]])) / unit
    inside, outside = _grown(person, _EDGE * unit), _grown(~person, _EDGE * unit)
    half, top, bottom = _UPPER
    parts = {
        "background": ~_grown(person, _CLEAR * unit),
        "shoulders": ~outside & (below > _SHOULDERS),
        "hair edge": inside & outside & (below < -_ABOVE),
        "upper face": (np.abs(across) < half) & (below > -top) & (below < -bottom),
    }
    return {name: mask for name, mask in parts.items() if mask.mean() > 0.002}


def _grown(mask: Mask, by: float) -> Mask:
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away <= by) if mask.any() else mask
