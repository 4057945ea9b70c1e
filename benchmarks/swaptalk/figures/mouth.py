"""Where a clip's lips are, against the truth's, read by FaceMesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.faces.mesh import MeshReader
from benchmarks.swaptalk.figures import Clip, check_clip
from pipelines.photo.geometry import LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER

Lips = NDArray[np.float64]  # [T, 40, 2]

UNIT = 256  # pixels of the picture's side that distances are told in
LIPS = tuple(dict.fromkeys((*UPPER_OUTER, *LOWER_OUTER, *UPPER_INNER, *LOWER_INNER)))


def lips(clip: Clip, reader: MeshReader) -> Lips:
    """Points of outer and inner lips, float64 [T, 40, 2], NaN where no face is seen.

    In pixels of a picture scaled to be 256 high.
    """
    check_clip(clip)
    found = np.full((len(clip), len(LIPS), 2), np.nan)
    for row, frame in zip(found, clip, strict=True):
        points = reader.read(frame)
        if points is not None:
            row[:] = points[list(LIPS), :2] * (UNIT / clip.shape[1])
    return found


def lip_distance(made: Lips, truth: Lips) -> float:
    """LMD: mean distance of the lips' points, their middles on each other, in pixels of 256.

    Chen et al. 2018 ("Lip Movements Generation at a Glance"), who take dlib's 20 points; ours are
    FaceMesh's 40. Frames in which either shows no face do not count.

    Raises:
        ValueError: of different lengths, or no frame counts.
    """
    if made.shape != truth.shape:
        raise ValueError(f"lips of {len(made)} and {len(truth)} frames")
    seen = ~(np.isnan(made) | np.isnan(truth)).any((1, 2))
    if not seen.any():
        raise ValueError("no frame shows a face in both clips")
    a, b = (part[seen] - part[seen].mean(1, keepdims=True) for part in (made, truth))
    return float(np.linalg.norm(a - b, axis=2).mean())
