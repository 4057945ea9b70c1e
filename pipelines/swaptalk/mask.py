"""Which part of a face's square is drawn anew: the lower face, softly, and room for the jaw.

Of the lower half only, for nothing above it changes. The mask follows the resting jaw in the pose
of the head and not the mouth of the template: open or closed it is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 32
"""Of a mask: the lower half of a square."""
_FINER = 4
_ROOM = (0.0, 0.05, 0.1, 0.14)  # below the resting chin, in half squares: a wide open one is there
_WIDER = 1.04  # than the jaw's line
_INNER = 0.94  # of a whole face's outline: hair and ears stay
_SOFT = 0.035  # of the square, standard deviation
_SEAM = 0.22  # of the lower half, from the seam with the upper one
_END = 0.08  # of it, at its other edges


def face_masks(jaw: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Masks uint8 [n, HEIGHT, WIDTH] of jaws [n, points, 2] in the square, see `square.Squares`."""
    fade = _fade()
    return np.stack([_mask(line, fade) for line in jaw])


def whole_masks(oval: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Masks uint8 [n, HEIGHT, WIDTH] over whole squares, of the faces' ovals [n, points, 2]."""
    return np.stack([_whole(outline) for outline in oval])


def _whole(outline: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFilter  # who knows a mask's size alone need not have it

    size = WIDTH * _FINER, HEIGHT * _FINER
    picture = Image.new("L", size)
    middle = outline.mean(0)
    inner = (middle + (outline - middle) * _INNER + 1.0) * np.array(size) / 2.0
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in inner], fill=255)
    soft = _SOFT * WIDTH * _FINER
    blurred = picture.filter(ImageFilter.GaussianBlur((soft, soft / 2.0)))
    return np.asarray(blurred.resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.uint8)


def _mask(line: NDArray[np.floating[Any]], fade: NDArray[np.float32]) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFilter

    picture = Image.new("L", (WIDTH * _FINER, HEIGHT * _FINER))
    pen = ImageDraw.Draw(picture)
    middle = float(line[:, 0].mean())
    across = (middle + (line[:, 0] - middle) * _WIDER + 1.0) * (WIDTH * _FINER / 2)
    for room in _ROOM:
        down = (line[:, 1] + room) * (HEIGHT * _FINER)
        outline = [(float(x), float(y)) for x, y in zip(across, down, strict=True)]
        # Up to the seam and beyond: what is above it fades there, not at the ears.
        above = -float(HEIGHT * _FINER)
        pen.polygon([(outline[0][0], above), *outline, (outline[-1][0], above)], fill=255)
    soft = picture.filter(ImageFilter.GaussianBlur(_SOFT * WIDTH * _FINER))
    small = np.asarray(soft.resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.float32)
    return np.asarray((small * fade).round().astype(np.uint8))


def _fade() -> NDArray[np.float32]:
    """0 at the edges of the lower half, 1 inside."""
    down = (np.arange(HEIGHT, dtype=np.float32) + 0.5) / HEIGHT
    across = (np.arange(WIDTH, dtype=np.float32) + 0.5) / WIDTH
    rows = _smooth(down / _SEAM) * _smooth((1.0 - down) / _END)
    columns = _smooth(np.minimum(across, 1.0 - across) * 2.0 / _END)
    return np.asarray(rows[:, None] * columns, np.float32)


def _smooth(t: NDArray[np.float32]) -> NDArray[np.float32]:
    t = t.clip(0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)
