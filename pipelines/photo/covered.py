"""Whether a mask hides the mouth of a photo, or sunglasses its eyes: by its pixels and face mesh.

Bounds are set so that people with neither are left alone: nobody is told of a mask or of sunglasses
among 1,713 generated portraits, 12 of the cast and 9 pictures; nor of 112 of them with spectacles,
darkened, lit from one side, grey, or badly compressed. Masks drawn onto those 112 are seen on 95 to
99 of 100 (of skin's own beige 77), black and brown lenses on 95 and 84. What is tinted lightly or
patterned is mostly not seen. Photos must be sharp: a blur takes lips and eyes away, too.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.photo.close_up import Pixels, close_up
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh
from pipelines.photo.geometry import single

_PATCH_PX = 6  # half the side of a patch whose median is taken

_BARE = ((8, 9, 151), (6, 168))  # above a mask: the forehead, and between the eyes
_TIP, _UPPER_LIP, _CHIN = (1, 4, 5), (164, 167, 393), (18, 199, 200)
_CHEEKS = ((187, 205, 207), (411, 425, 427))  # beside the mouth
_LIPS = (0, 13, 14, 17)
_MASKED = (_TIP, _UPPER_LIP, _LIPS, _CHIN, *_CHEEKS)  # what a mask hides, with both cheeks
_CORNERS = (61, 291)
_NOSE_BASE, _BELOW_LIPS = 164, 18
# In CIE Lab. Of a bare face the lips' line alone spans 19 or more on 99 of 100, and its tip of the
# nose is of the forehead's colour; the nearest to a mask's misses one of the four by a quarter.
_AWAY = 8.0  # by which all that is hidden differs from the skin above: of cloth mostly 20 to 50
_ONE_COLOUR = 8.0  # at most, that any of it differs in colour from the middle one
_NO_LINE, _NO_LIPS = 19.0, 6.0  # light and redness that the rows from nose to chin span, at most

_EYES = ((33, 133), (362, 263))  # the corners of each
_AROUND = (0.60, 0.50)  # half width and height of what lenses hide, in widths of an eye
# In parts of the skin's light, of the lighter eye. Lids and the skin below them are bright beside
# dark, deep-set, painted and shut eyes, too.
_DARK = 0.62  # all but the brightest seventh, at most
_FLAT = 0.50  # from the darkest to the brightest twentieth, at most


def wears_mask(photo: Image8, face: FaceMesh) -> bool:
    """Whether cloth hides nose, mouth and chin of `photo`, uint8 [H, W, 3].

    All of it is of one colour, that of neither the forehead nor the nose's bridge, and there are no
    lips in it. A beard leaves the tip of the nose bare, and lips.
    """
    pixels, points = close_up(photo, face, "RGB")
    lab = single(cv2.cvtColor(pixels / 255.0, cv2.COLOR_RGB2LAB))
    bare = np.stack([_median(lab, points, at) for at in _BARE])
    hidden = np.stack([_median(lab, points, at) for at in _MASKED])
    away = np.linalg.norm(hidden[:, None] - bare[None], axis=-1).min()
    apart = np.linalg.norm((hidden - np.median(hidden, axis=0))[:, 1:], axis=-1).max()
    line, lips, _ = np.ptp(_rows(lab, points), axis=0)
    return bool(away > _AWAY and apart < _ONE_COLOUR and line < _NO_LINE and lips < _NO_LIPS)


def wears_sunglasses(photo: Image8, face: FaceMesh) -> bool:
    """Whether dark lenses hide both eyes of `photo`, uint8 [H, W, 3].

    Both eyes and what is around them are darker than the skin, without the contrast of iris and
    white, of lashes and lids.
    """
    grey, points = close_up(photo, face, "L")
    # The lower of both: the one may be a mask, the other hair.
    lower = np.median([_median(grey, points, at) for at in (_TIP, *_CHEEKS)])
    skin = max(1.0, min(float(lower), float(_median(grey, points, _BARE[0]))))
    around = [_around(grey, points[list(eye)]) / skin for eye in _EYES]
    return all(each.size > 0 and _is_lens(each) for each in around)


def _is_lens(around: Pixels) -> bool:
    darkest, bright, brightest = np.percentile(around, (5, 85, 95))
    return bool(bright < _DARK and brightest - darkest < _FLAT)


def _median(pixels: Pixels, points: Pixels, at: tuple[int, ...]) -> Pixels:
    """Of the patch around the middle of the points `at`: [C], or [] of grey."""
    centre = points[list(at)].mean(axis=0)
    rows, columns = (
        slice(
            int(np.clip(middle - _PATCH_PX, 0, size - 2)), int(np.clip(middle + _PATCH_PX, 2, size))
        )
        for middle, size in zip(centre[::-1], pixels.shape[:2], strict=True)
    )
    return single(np.median(pixels[rows, columns], axis=(0, 1)))


def _rows(lab: Pixels, points: Pixels) -> Pixels:
    """The middle colour of each row through the middle half of the mouth, from below the nose to
    below the lips: [R, 3]."""
    height, width = lab.shape[:2]
    left, right = points[list(_CORNERS), 0]
    quarter = (right - left) / 4
    first, last = (int(np.clip(x, 0, width - 1)) for x in (left + quarter, right - quarter))
    top, bottom = (int(np.clip(points[at, 1], 0, height - 1)) for at in (_NOSE_BASE, _BELOW_LIPS))
    within = lab[top : bottom + 1, first : last + 1]
    return single(np.median(within, axis=1))


def _around(grey: Pixels, corners: Pixels) -> Pixels:
    """The pixels in the ellipse around the eye between two `corners` [2, 2]: [n]."""
    across = corners[1] - corners[0]
    width = float(np.linalg.norm(across))
    x_axis = across / width
    y_axis = np.array([-x_axis[1], x_axis[0]])
    at = np.stack(np.meshgrid(*(np.arange(n) for n in grey.shape[::-1])), axis=-1)
    away = (at - corners.mean(axis=0)) / width
    half_width, half_height = _AROUND
    inside = (away @ x_axis / half_width) ** 2 + (away @ y_axis / half_height) ** 2 < 1.0
    return single(grey[inside])
