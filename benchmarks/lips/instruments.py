"""Two instruments for the gap of the lips of `portrait`: from rendered pixels, from its motion.

The first is what counts, for nothing of it is ours. The second reads the parting of the lips off
the motion itself, through what the first read for each parting on faces of the cast: hundreds of
times faster, blind to the renderer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.avatars import enrolled, find_photo
from benchmarks.lips.figures import Gaps, correlation
from benchmarks.lips.reader import LipReader
from pipelines.identity import IdentityFeatures
from pipelines.motion.lip_closure import parting_weights
from pipelines.motion.reading import gap_of
from pipelines.photo.placement import filling
from pipelines.portrait.bake import bake
from pipelines.portrait.render import draw_i420
from pipelines.portrait.system import SYSTEM as PORTRAIT
from training.motion.articulation import CLOSED

Motion = NDArray[np.float32]
Instrument = Callable[[Motion], Gaps]
"""Motion [frames, MOTION_DIM] to the gap over the face height in each frame, float64 [frames]."""

_SIZE = 256  # pixels of the pictures that are read
_PARTING = parting_weights().numpy()


def from_motion(motion: Motion) -> Gaps:
    """See `Instrument`."""
    return gap_of(motion @ _PARTING)


class Mirror:
    """Draws motion on one portrait and reads its lips."""

    def __init__(self, identity: IdentityFeatures, size: int = _SIZE) -> None:
        self.baked = bake(identity, (size, size), filling((size, size)))
        self.planes = torch.empty(1, size * 3 // 2, size, dtype=torch.uint8)

    def __call__(self, motion: Motion) -> Gaps:
        """See `Instrument`; a lost face holds the last gap."""
        read: list[float] = []
        with LipReader() as reader:
            for frame in torch.from_numpy(motion):
                draw_i420(self.baked, frame, self.planes)
                gap, _ = reader.read(self.planes[0].numpy())
                read.append(gap if gap == gap or not read else read[-1])
        return np.array(read)


def mirror(avatar: str) -> Mirror:
    """One of the cast, or an image, as an instrument."""
    return Mirror(enrolled(PORTRAIT, find_photo(avatar)))


def read_all(
    instrument: Instrument, motions: Mapping[str, Motion], what: str = "reading"
) -> dict[str, Gaps]:
    """The gap of each clip."""
    clips = tqdm(motions.items(), desc=what, leave=False)
    return {name: instrument(motion) for name, motion in clips}


def agreement(first: Mapping[str, Gaps], second: Mapping[str, Gaps]) -> dict[str, float]:
    """How well two instruments agree on the same clips: r over all frames and in the mean clip,
    mean absolute difference, and share of frames that both call closed or both call open."""
    names = [name for name in first if name in second]
    if not names:
        raise ValueError("the two have read no clip in common")
    a, b = (np.concatenate([held[name] for name in names]) for held in (first, second))
    return {
        "clips": len(names),
        "r": round(correlation(a, b), 3),
        "r_in_a_clip": round(
            float(np.mean([correlation(first[name], second[name]) for name in names])), 3
        ),
        "mean_difference": round(float(np.abs(a - b).mean()), 5),
        "closed_alike": round(float(((a < CLOSED) == (b < CLOSED)).mean()), 3),
    }
