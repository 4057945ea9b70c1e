"""A picture of any size and shape in a camera's, which never changes."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

I420 = NDArray[np.uint8]
"""[height * 3 / 2, width]: Y above quarter-size U and V, video levels."""
BLACK, GREY = 16, 128


class Fit:
    """Scales pictures into width x height; what is left beside or above them is black.

    Args:
        width, height: in pixels, even.

    Raises:
        ValueError: they are not.
    """

    def __init__(self, width: int, height: int) -> None:
        if width < 2 or height < 2 or width % 2 or height % 2:
            raise ValueError(f"a camera's size is even, not {width}x{height}")
        self.width, self.height = width, height

    def __call__(self, picture: av.VideoFrame) -> I420:
        """uint8 [height * 3 / 2, width], the caller's own."""
        scale = min(self.width / picture.width, self.height / picture.height)
        # A picture that all but fills it is stretched: 848x480 is not quite 16:9.
        width = _even(picture.width * scale, self.width)
        height = _even(picture.height * scale, self.height)
        small = picture.reformat(width, height, format="yuv420p").to_ndarray()
        if (width, height) == (self.width, self.height):
            return np.asarray(small, np.uint8)
        return self._framed(np.asarray(small, np.uint8), width, height)

    def _framed(self, small: I420, width: int, height: int) -> I420:
        left, top = (self.width - width) // 4 * 2, (self.height - height) // 4 * 2
        whole = np.full((self.height * 3 // 2, self.width), GREY, np.uint8)
        whole[: self.height] = BLACK
        whole[top : top + height, left : left + width] = small[:height]
        for plane in (0, 1):
            inner = _plane(small, width, height, plane)
            place = _plane(whole, self.width, self.height, plane)
            y, x = top // 2, left // 2
            place[y : y + height // 2, x : x + width // 2] = inner
        return whole


def _even(length: float, full: int) -> int:
    rounded = max(2, round(length / 2) * 2)
    return full if full - rounded <= full // 100 else rounded


def _plane(i420: I420, width: int, height: int, number: int) -> I420:
    """U (0) or V (1): a view [height / 2, width / 2]."""
    count = width * height // 4
    chroma = i420.reshape(-1)[width * height + number * count :][:count]
    return chroma.reshape(height // 2, width // 2)
