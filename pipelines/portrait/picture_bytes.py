"""Pictures of bytes on a CPU: put over each other, and converted for encoders, by OpenCV.

All are uint8 [h, w, C], RGB or premultiplied RGBA. OpenCV's own I420 takes the colour of one pixel
in four, half a pixel off; here it is the mean of four, as in `kernels.reference`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kernels.reference import BT601, OFFSET

Bytes = NDArray[np.uint8]

# To Cb and Cr of limited range, and nothing: OpenCV is fastest at three channels to three.
_CHROMA = np.zeros((3, 4), np.float32)
_CHROMA[:2, :3] = np.array(BT601[1:]) / 255.0
_CHROMA[:2, 3] = OFFSET[1:]
_ALPHA = np.array([0, 0, 0, 255], np.uint8).view(np.uint32)[0]  # of a pixel's four bytes


def composite(layer: Bytes, behind: Bytes) -> Bytes:
    """Put `layer` RGBA over `behind` RGB: [h, w, 4], of which the last means nothing."""
    below: Bytes = np.asarray(cv2.cvtColor(behind, cv2.COLOR_RGB2RGBA), np.uint8)
    words = _words(below)  # alpha is 255 in all of them, which makes 255 minus the layer's of it
    words ^= _words(layer) & _ALPHA
    cv2.cvtColor(below, cv2.COLOR_RGBA2mRGBA, below)
    return _bytes(cv2.add(layer, below, below))


def write_i420(rgba: Bytes, planes: Bytes, top: int, left: int) -> None:
    """Convert a box of a frame, RGB and a fourth channel, into I420 `planes` at (`top`, `left`).

    `planes` are [H * 3 / 2, W]. `top`, `left` and the sides of the box are even.
    """
    rows, columns = rgba.shape[:2]
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    luma = cv2.cvtColor(rgba, cv2.COLOR_RGBA2YUV_I420)[:rows]
    planes[top : top + rows, left : left + columns] = luma
    small = cv2.resize(rgba, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
    chroma = cv2.transform(cv2.cvtColor(small, cv2.COLOR_RGBA2RGB), _CHROMA)
    held = planes.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    box = slice(top // 2, (top + rows) // 2), slice(left // 2, (left + columns) // 2)
    held[0][box], held[1][box], _ = cv2.split(chroma)


def rgb_to_i420(rgb: Bytes) -> Bytes:
    """A whole picture [H, W, 3] to I420 planes [H * 3 / 2, W]."""
    planes = np.empty((rgb.shape[0] * 3 // 2, rgb.shape[1]), np.uint8)
    write_i420(_bytes(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)), planes, 0, 0)
    return planes


def _words(rgba: Bytes) -> NDArray[np.uint32]:
    """Each pixel [h, w, 4] as one number, [h, w]."""
    return rgba.view(np.uint32)[..., 0]


def _bytes(picture: object) -> Bytes:
    return np.asarray(picture, np.uint8)
