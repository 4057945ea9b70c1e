"""Everything that is measured of a row of the table, clip by clip, and what becomes of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.lips.figures import Count
from benchmarks.swaptalk.clips import SIDE, Speech
from benchmarks.swaptalk.figures import Clip
from benchmarks.swaptalk.figures.frechet import frechet_distance
from benchmarks.swaptalk.figures.identity import FaceReader, consistency, likeness, retrieved
from benchmarks.swaptalk.figures.mouth import LIPS, UNIT, lip_distance
from benchmarks.swaptalk.figures.pictures import ssim
from benchmarks.swaptalk.figures.sharpness import cpbd
from benchmarks.swaptalk.sync import Meshes, believe, meshes, read_sync
from pipelines.swaptalk.expert import SyncExpert
from pipelines.swaptalk.vqgan.network import Vqgan

_EVERY = 5
"""Of how many frames one is looked at where frames are not held against their neighbours."""

Figures = dict[str, float | None]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What should be seen. squares: [n, 3, S, S] in [0, 1]. own: whose face it is, see `Judge`."""

    squares: Tensor
    said: Speech
    own: int

    @cached_property
    def meshes(self) -> Meshes:
        """What FaceMesh sees of it; every method is held against that."""
        return meshes(self.squares)

    @property
    def motion(self) -> Tensor:
        """What is heard, [n, MOTION_DIM]."""
        return torch.from_numpy(self.said.motion)


@dataclass
class Row:
    """What was measured of a method's clips so far."""

    clips: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    closed: Count = field(default_factory=lambda: Count(0, 0))
    lost: Count = field(default_factory=lambda: Count(0, 0))
    features: list[Array] = field(default_factory=list)
    real: list[Array] = field(default_factory=list)

    def figures(self) -> Figures:
        """Means over clips; of closures and lost faces the share of all; one distance for all."""
        found: Figures = {name: float(np.mean(values)) for name, values in self.clips.items()}
        found |= {"closures": _share(self.closed), "lost": _share(self.lost)}
        if self.features:
            found["distance"] = frechet_distance(
                np.concatenate(self.features), np.concatenate(self.real)
            )
        return {name: None if v is None else round(v, 4) for name, v in found.items()}


class Judge:
    """Measures clips.

    Args:
        faces: tells people apart; None leaves out whose face it is, and the distance.
        sources: a square of each person, [P, 3, S, S] in [-1, 1].
        expert: of the latents of `vqgan`; None leaves out what it believes.
    """

    def __init__(
        self, faces: FaceReader | None, sources: Tensor, vqgan: Vqgan, expert: SyncExpert | None
    ) -> None:
        self._faces, self._vqgan, self._expert = faces, vqgan, expert
        self._sources = None if faces is None else faces.vectors(clip_of(sources * 0.5 + 0.5))

    def add(self, row: Row, made: Tensor, truth: Truth) -> None:
        """Measure squares [n, 3, S, S] in [0, 1] against the truth."""
        found = truth.meshes if made is truth.squares else meshes(made)
        sync = read_sync(found, truth.said)
        row.closed, row.lost = row.closed + sync.closed, row.lost + sync.lost
        clip, wanted = (clip_of(squares[::_EVERY]) for squares in (made, truth.squares))
        figures = {"r": sync.r, "ssim": ssim(clip, wanted), "cpbd": cpbd(clip)}
        if sync.lost.hits < sync.lost.total:
            figures["lmd"] = lip_distance(_lips(found), _lips(truth.meshes))
        if self._expert is not None:
            belief = believe(self._expert, self._vqgan, made, truth.motion)
            figures |= {"expert": belief.own, "expert_more": belief.more}
        for name, value in (figures | self._identity(row, clip, wanted, truth.own)).items():
            row.clips[name].append(value)

    def _identity(self, row: Row, clip: Clip, wanted: Clip, own: int) -> dict[str, float]:
        if self._faces is None or self._sources is None:
            return {}
        vectors = self._faces.vectors(clip)
        row.features.append(self._faces.features(clip))
        row.real.append(self._faces.features(wanted))
        return {
            "retrieved": retrieved(vectors, self._sources, own),
            "consistency": consistency(vectors),
            "likeness": likeness(vectors, self._sources[own]),
        }


def clip_of(squares: Tensor) -> Clip:
    """Squares [n, 3, S, S] in [0, 1] as figures take them."""
    found: Clip = (squares * 255.0).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return found


def _lips(found: Meshes) -> Array:
    """As `figures.mouth.lips`, of meshes that were read already."""
    points: Array = found[:, list(LIPS), :2].astype(np.float64) * (UNIT / SIDE)
    return points


def _share(count: Count) -> float | None:
    return count.share if count.total else None
