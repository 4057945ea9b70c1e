"""How far two sets of pictures are apart as sets, by what a network sees in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]  # [N, D]


def frechet_distance(made: Features, real: Features) -> float:
    """Frechet distance of the normal distributions with the sets' means and covariances.

    |m - m'|^2 + trace(C + C' - 2 (C C')^(1/2)), as FID (Heusel et al. 2017), in the features' unit
    squared. Not FID's Inception: the features are the 256 before the last layer of dlib's face
    recognition network (`identity.FaceReader.features`), which sees faces and little else, so
    figures compare with each other and not with a paper's. With few pictures it is too high, by
    about D / N of the spread: compare sets of equal sizes, and give the size.

    Args:
        made: [N, D], two at least.
        real: [M, D].

    Raises:
        ValueError: fewer than two pictures, or features of different sizes.
    """
    if min(len(made), len(real)) < 2 or made.shape[1] != real.shape[1]:
        raise ValueError(f"cannot compare features {list(made.shape)} and {list(real.shape)}")
    apart = float(((made.mean(0) - real.mean(0)) ** 2).sum())
    # The trace of the root of C C' is the sum of the singular values of X' Y, where C = X X'.
    x, y = (_root(part) for part in (made, real))
    shared = float(np.linalg.svd(x @ y.T, compute_uv=False).sum())
    return apart + float((x**2).sum() + (y**2).sum()) - 2.0 * shared


def _root(features: Features) -> Features:
    """X [N, D] with X' X the covariance."""
    centred: Features = (features - features.mean(0)) / np.sqrt(len(features) - 1.0)
    return centred
