"""Whether two pictures show one person, by what no renderer was fitted to.

Two figures of different kinds: the proportions of the mesh, and local binary patterns of the face
above the mouth (Ojala et al. 2002; Ahonen et al. 2006, "Face description with local binary
patterns"): histograms of which neighbours of a pixel are brighter, cell by cell. They are fixed,
do not see brightness or contrast, and tell who of some dozens of people is shown.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.faces.mesh import Points
from benchmarks.faces.studio import Picture
from pipelines.photo.curves import face_height
from pipelines.photo.geometry import LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER

Array = NDArray[np.float64]

# What speech does not move: all but lips, the skin around them, chin, lids and irises.
_BONY = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 127, 234, 93, 162, 21, 54, 103, 67, 109,
    151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 33, 133, 362, 263, 98, 327, 48, 278, 129, 358,
)  # fmt: skip
_EYES, _NOSE = (33, 263), 1
_SIDE, _CELLS = 64, 8  # pixels of what is described, cells to a side
_EYE_LINE, _EYE_APART = 0.38, 0.62  # where the outer corners of the eyes go, shares of the side
_CODES = 59  # uniform patterns of eight neighbours, and all others in one
assert not set(_BONY) & set(UPPER_INNER + LOWER_INNER + UPPER_OUTER + LOWER_OUTER)


def proportions_apart(a: Points, b: Points) -> float:
    """How far points of bone lie apart after the best similarity of space, rms, face heights."""
    first, second = (points[list(_BONY)] - points[list(_BONY)].mean(0) for points in (a, b))
    u, stretch, v = np.linalg.svd(second.T @ first)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    scale = float((stretch * sign).sum() / (second**2).sum())
    error = first - scale * second @ (u * sign) @ v
    return float(np.sqrt((error**2).sum(1).mean()) / face_height(a))


def describe(picture: Picture, points: Points) -> Array:
    """Histograms of the upper face, each of sum 1: [cells, codes]."""
    codes = _UNIFORM[_patterns(_upright(picture, points))]
    step = _SIDE // _CELLS
    cells = codes.reshape(_CELLS, step, _CELLS, step).swapaxes(1, 2).reshape(-1, step * step)
    return np.stack([np.bincount(cell, minlength=_CODES) / len(cell) for cell in cells])


def described_apart(a: Array, b: Array) -> float:
    """Chi-squared distance of two descriptions, in [0, 1], mean over cells."""
    return float(((a - b) ** 2 / np.maximum(a + b, 1e-9)).sum(1).mean() / 2.0)


def _upright(picture: Picture, points: Points) -> NDArray[np.float32]:
    """The face from brows to nose tip, eyes level, grey, [_SIDE + 2, _SIDE + 2]."""
    left, right = points[list(_EYES), :2]
    apart = _EYE_APART * _SIDE
    wanted = np.array(
        [[(_SIDE - apart) / 2, _EYE_LINE * _SIDE], [(_SIDE + apart) / 2, _EYE_LINE * _SIDE]]
    )
    along = (right - left) / float(((right - left) ** 2).sum())
    turn = (wanted[1, 0] - wanted[0, 0]) * np.array([[along[0], along[1]], [-along[1], along[0]]])
    offset = wanted.mean(0) - turn @ ((left + right) / 2) + 1.0
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    shrink = 1.0 / float(np.sqrt(np.linalg.det(turn)))  # picture pixels to one of ours
    softened = cv2.GaussianBlur(grey, (0, 0), max(0.5 * shrink, 0.4))
    matrix = np.hstack([turn, offset[:, None]])
    side = (_SIDE + 2, _SIDE + 2)
    return np.asarray(cv2.warpAffine(softened, matrix, side, borderMode=cv2.BORDER_REPLICATE))


def _patterns(grey: NDArray[np.float32]) -> NDArray[np.int64]:
    """Which of the eight neighbours are not darker, a bit each: [_SIDE, _SIDE]."""
    ring = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    middle = grey[1:-1, 1:-1]
    code = np.zeros(middle.shape, np.int64)
    for bit, (y, x) in enumerate(ring):
        code |= (grey[y : y + _SIDE, x : x + _SIDE] >= middle).astype(np.int64) << bit
    return code


def _uniform() -> NDArray[np.int64]:
    """Code of each pattern: its own if its ring changes at most twice, else the common one."""
    codes = np.full(256, _CODES - 1)
    found = 0
    for pattern in range(256):
        turned = (pattern >> 1) | ((pattern & 1) << 7)
        if bin(pattern ^ turned).count("1") <= 2:
            codes[pattern] = found
            found += 1
    assert found == _CODES - 1
    return codes


_UNIFORM = _uniform()
