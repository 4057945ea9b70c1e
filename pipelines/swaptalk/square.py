"""Where the face's square lies in each frame of a clip: steady, whatever the mouth does.

The head is fitted as a rigid body, so that speech moves nothing: of each frame the pose that brings
a person's own resting mesh to what was found, then the square (`vqgan.crop`) of that resting mesh
in that pose. What is left is the landmarks' noise, which a Gaussian over time takes away; the clip
is played there and back, so it is continued as its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.photo.geometry import LOWER_LID, LOWER_OUTER, UPPER_LID, UPPER_OUTER
from pipelines.swaptalk.vqgan.crop import face_square

Floats = NDArray[np.floating[Any]]

_RIGID = (
    *(33, 133, 362, 263),  # corners of the eyes
    *(168, 6, 197, 195, 5),  # ridge of the nose
    *(10, 127, 356, 234, 454),  # forehead, temples, before the ears
)
_JAW = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152,
    377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
)  # fmt: skip
_OVAL = (*_JAW, 356, 389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162, 127)
_SMOOTH = 1.5  # frames, standard deviation: noise of the square's second difference falls 15 times,
# and a head that turns once a second keeps 93 % of its way; the rest moves within the square.
_REACH = 6  # frames on either side


@dataclass(frozen=True)
class Squares:
    """Of n frames.

    places: float64 [n, 2, 3], (u, v, 1) in the square, u and v in [-1, 1], to pixels of the frame.
    oval: float64 [n, 36, 2], the resting face's outline in the square, the jaw first.
    """

    places: NDArray[np.float64]
    oval: NDArray[np.float64]

    @property
    def jaw(self) -> NDArray[np.float64]:
        """The line of the jaw, [n, 21, 2]."""
        return self.oval[:, : len(_JAW)]


def steady_squares(points: Floats, gap: Floats) -> Squares:
    """Squares of meshes [n, 478, 3], in pixels of frames in order; lips are `gap` [n] apart."""
    rest = _at_rest(points.astype(np.float64), gap)
    scale, turn, shift = _poses(rest[list(_RIGID)], points[:, _RIGID].astype(np.float64))
    posed = scale[:, None, None] * (rest @ turn) + shift[:, None]
    places = smoothed(_squares_of(posed))
    oval = np.linalg.solve(
        places[:, :, :2], (posed[:, _OVAL, :2] - places[:, None, :, 2]).transpose(0, 2, 1)
    )
    return Squares(places, smoothed(oval.transpose(0, 2, 1)))


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values [n, ...] over time without their noise; mirrored at either end."""
    steps = np.arange(-_REACH, _REACH + 1)
    kernel = np.exp(-0.5 * (steps / _SMOOTH) ** 2)
    count = len(values)
    around = _mirrored(np.arange(count)[:, None] + steps, count)
    mean: NDArray[np.float64] = np.einsum("k,nk...->n...", kernel / kernel.sum(), values[around])
    return mean


def corners(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of squares [n, 2, 3], in pixels: [n, 4, 2]."""
    at = np.array([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], np.float64)
    found: NDArray[np.float64] = at @ places.transpose(0, 2, 1)
    return found


def cut(picture: torch.Tensor, place: NDArray[np.float64], side: int) -> torch.Tensor:
    """The square of a frame, float32 [3, H, W] -> [3, side, side]; edges are extended."""
    height, width = picture.shape[1:]
    step = 2.0 * float(np.hypot(*place[:, 0])) / side  # pixels of the frame in one of the square
    finer = max(1, round(step))
    to_unit = np.array([[2.0 / width, 0.0, -1.0], [0.0, 2.0 / height, -1.0], [0.0, 0.0, 1.0]])
    theta = torch.from_numpy((to_unit @ np.vstack([place, [0.0, 0.0, 1.0]]))[:2]).float()[None]
    count = side * finer
    grid = torch.nn.functional.affine_grid(theta, [1, 3, count, count], align_corners=False)
    found = torch.nn.functional.grid_sample(
        picture[None], grid, padding_mode="border", align_corners=False
    )
    return torch.nn.functional.avg_pool2d(found, finer)[0]


def _at_rest(points: NDArray[np.float64], gap: Floats) -> NDArray[np.float64]:
    """The person's mesh with the lips together, [478, 3], in a pose of its own."""
    closed = points[gap <= np.median(gap)]
    mean = closed[0]
    for _ in range(2):
        scale, turn, shift = _poses(closed[:, _RIGID], mean[list(_RIGID)])
        mean = (scale[:, None, None] * (closed @ turn) + shift[:, None]).mean(0)
    centred: NDArray[np.float64] = mean - mean[list(_RIGID)].mean(0)
    return centred


def _poses(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scale [n], rotation [n, 3, 3] and shift [n, 3] that bring source to target, either of them
    [n, points, 3] or [points, 3]: target is about scale * source @ rotation + shift."""
    if source.ndim == 2:
        source = np.broadcast_to(source, target.shape)
    if target.ndim == 2:
        target = np.broadcast_to(target, source.shape)
    middle, wanted = source.mean(1, keepdims=True), target.mean(1, keepdims=True)
    a, b = source - middle, target - wanted
    left, size, right = np.linalg.svd(a.transpose(0, 2, 1) @ b)
    flip = np.ones_like(size)
    flip[:, 2] = np.sign(np.linalg.det(left @ right))
    turn = (left * flip[:, None]) @ right
    scale = (size * flip).sum(1) / (a**2).sum((1, 2))
    shift = wanted[:, 0] - scale[:, None] * (middle @ turn)[:, 0]
    return scale, turn, shift


def _squares_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squares [n, 2, 3] of meshes [n, 478, 3], by the middles of mouth and eyes."""
    chains = [
        (*UPPER_OUTER, *LOWER_OUTER),
        *((*UPPER_LID[side], *LOWER_LID[side]) for side in ("Right", "Left")),
    ]
    middles = [
        (points[:, chain, :2].min(1) + points[:, chain, :2].max(1)) / 2.0 for chain in chains
    ]
    found: NDArray[np.float64] = face_square(torch.from_numpy(np.stack(middles, 1))).numpy()
    return found


def _mirrored(index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of a clip of `count` frames played there and back."""
    if count == 1:
        return np.zeros_like(index)
    turn = index % (2 * count - 2)
    return np.minimum(turn, 2 * count - 2 - turn)
