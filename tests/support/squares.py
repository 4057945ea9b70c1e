"""How steadily squares follow a face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.swaptalk.square import corners


def jitter(places: NDArray[np.float64]) -> float:
    """How much squares [n, 2, 3] tremble: root mean square of the second difference of their
    corners, as a share of their side."""
    at = corners(places)
    side = float(np.linalg.norm(at[:, 1] - at[:, 0], axis=1).mean())
    second = at[2:] - 2.0 * at[1:-1] + at[:-2]
    return float(np.sqrt((second**2).sum(-1).mean())) / side
