"""Whose face clips show, as dlib's recognition network sees it (`training.recognise`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.swaptalk.figures import Clip, check_clip
from training.recognise.recogniser import recogniser

Vectors = NDArray[np.float64]  # [T, 128], each of length 1

_BATCH = 16


class FaceReader:
    """Squares of faces (`pipelines.swaptalk.vqgan.crop.face_square`) to what the network says."""

    def __init__(self, path: Path | None = None) -> None:
        """path: of the network's weights; without it what $VIVAVOCE_RECOGNISER says.

        Raises:
            ValueError: they are not there.
        """
        self._network = recogniser(path)

    def vectors(self, squares: Clip) -> Vectors:
        """Who is seen, float64 [T, 128], of length 1, for `retrieved`, `consistency`, `likeness`.

        squares: [T, S, S, 3].
        """
        return _read(self._network, squares)

    def features(self, squares: Clip) -> NDArray[np.float64]:
        """What is seen, float64 [T, 256], for `frechet_distance`; squares: [T, S, S, 3]."""
        return _read(self._network.pooled, squares)


@torch.no_grad()
def _read(see: Callable[[Tensor], Tensor], squares: Clip) -> NDArray[np.float64]:
    check_clip(squares)
    parts = [
        see(torch.from_numpy(part).permute(0, 3, 1, 2).float() / 127.5 - 1.0)
        for part in np.array_split(squares, -(-len(squares) // _BATCH))
    ]
    found: NDArray[np.float64] = torch.cat(parts).double().numpy()
    return found


def retrieved(clip: Vectors, sources: Vectors, own: int) -> float:
    """Share of frames whose nearest source, of all, is the right one, in per cent.

    The paper's "ID Retrieve", as is usual for swaps (its formula could not be read).

    Args:
        clip: of its frames, [T, 128].
        sources: of a picture of each person, [P, 128]; with P people chance finds 100 / P.
        own: whose clip it is, a row of `sources`.
    """
    if len(sources) < 2:
        raise ValueError(f"retrieval needs two sources, got {len(sources)}")
    return 100.0 * float(((clip @ sources.T).argmax(1) == own).mean())


def consistency(clip: Vectors) -> float:
    """Mean cosine of all pairs of a clip's frames, times 100.

    The paper's "Consistency", in one of its two readings; the other is `likeness`. The vectors are
    about the mean of faces, so that two people have about 0. A stilled picture has 100.

    Raises:
        ValueError: fewer than two frames.
    """
    count = len(clip)
    if count < 2:
        raise ValueError(f"consistency needs two frames, got {count}")
    total = float((clip.sum(0) ** 2).sum())  # of all pairs, both ways, and of each with itself
    return 100.0 * (total - count) / (count * (count - 1))


def likeness(clip: Vectors, source: Vectors) -> float:
    """Mean cosine of a clip's frames with the source's picture, times 100.

    source: [128]. The other reading of the paper's "Consistency".
    """
    return 100.0 * float((clip @ source).mean())
