"""What one step of training sees: pairs of identities, and where known the same motion on both.

A batch is a function of seed, rank and step alone, so a run that was interrupted goes on as if it
had not been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from pipelines.motion.space import MOTION_DIM
from pipelines.training.flow_warp.augment import mirror, mirror_motion, reframe, relight
from pipelines.training.flow_warp.store import Face

_REST_SHARE = 0.35  # of sources that are the first frame: photos mostly show a resting face


@dataclass(frozen=True)
class Batch:
    """P pairs of identities, D driving frames of each; rows are pair, member, driving frame.

    Pictures are float32 in [-1, 1]. The target of a row is that row's driving frame.
    """

    sources: Tensor  # [2 P, 3, S, S]
    driving: Tensor  # [2 P D, 3, S, S]
    drivers: Tensor  # int64 [2 P D]: the row whose motion code draws this row
    regions: Tensor  # [2 P D, 3, 3] of the driving frames
    twins: Tensor  # bool [2 P D]: the other member shows the same motion in its frame
    motion: Tensor  # [2 P (1 + D), MOTION_DIM] of sources, then driving frames; NaN if unknown
    mapped: Tensor  # bool [2 P D]: draw from the known motion rather than from a picture
    people: Tensor  # int64 [2 P (1 + D)]: who is seen in them

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Sampler:
    """Draws batches from the faces of a store."""

    def __init__(
        self, faces: Sequence[Face], *, seed: int, rank: int = 0, pairs: int = 2, drives: int = 2,
        cross: float = 0.5, mapped: float = 0.6, vary: bool = True,
    ) -> None:  # fmt: skip
        self.faces, self.seed, self.rank = faces, seed, rank
        self.pairs, self.drives, self.cross, self.vary = pairs, drives, cross, vary
        self.mapped = mapped
        groups: dict[str, list[int]] = defaultdict(list)
        for index, face in enumerate(faces):
            groups[face.group].append(index)
        self._group = [groups[face.group] for face in faces]

    def draw(self, step: int) -> Batch:
        """The batch of that step."""
        chance = np.random.default_rng((self.seed, self.rank, step))
        rows = [self._pair(chance) for _ in range(self.pairs)]
        sources, driving, regions, twins, source_motion, motion, people = (
            list(column) for column in zip(*rows, strict=True)
        )
        who = torch.tensor(people).flatten()
        same = torch.cat(twins)
        return Batch(
            sources=torch.cat(sources),
            driving=torch.cat(driving),
            drivers=self._drivers(same, chance),
            regions=torch.cat(regions),
            twins=same,
            motion=torch.cat(source_motion + motion),
            mapped=torch.from_numpy(chance.random(len(same)) < self.mapped),
            people=torch.cat([who, who.repeat_interleave(self.drives)]),
        )

    def _pair(
        self, chance: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, list[int]]:
        first = int(chance.integers(len(self.faces)))
        others = [i for i in self._group[first] if i != first]
        same = bool(others)
        second = int(chance.choice(others or range(len(self.faces))))
        least = min(len(self.faces[first]), len(self.faces[second]))
        shared = chance.integers(least, size=self.drives).tolist()
        flip = self.vary and chance.random() < 0.5
        shots = [self._shots(who, shared, flip, chance) for who in (first, second)]
        frames, regions, motion = (torch.stack(column) for column in zip(*shots, strict=True))
        if self.vary:
            moved, places = reframe(frames.flatten(0, 1), regions.flatten(0, 1), chance)
            frames, regions = moved.view_as(frames), places.view_as(regions)
        return (
            frames[:, 0],
            frames[:, 1:].flatten(0, 1),
            regions[:, 1:].flatten(0, 1),
            torch.full((2 * self.drives,), same),
            motion[:, 0],
            motion[:, 1:].flatten(0, 1),
            [first, second],
        )

    def _shots(
        self, who: int, shared: Sequence[int], flip: bool, chance: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Source and driving frames of one identity: pictures, regions, motion."""
        face = self.faces[who]
        source = 0 if chance.random() < _REST_SHARE else int(chance.integers(len(face)))
        chosen = [source, *shared]
        frames = torch.stack([face.frame(i) for i in chosen])
        pictures = frames.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        regions = face.regions[chosen]
        nothing = torch.full((len(chosen), MOTION_DIM), float("nan"))
        motion = nothing if face.motion is None else face.motion[chosen]
        if flip:
            pictures, regions = mirror(pictures, regions)
            motion = mirror_motion(motion)
        if self.vary:
            pictures = relight(pictures, chance)
        return pictures, regions, motion

    def _drivers(self, same: Tensor, chance: np.random.Generator) -> Tensor:
        """Each row is drawn by its own code, or where that is exact by its twin's."""
        rows = torch.arange(len(same))
        crossed = torch.from_numpy(chance.random(len(same)) < self.cross) & same
        return torch.where(crossed, twin_rows(len(same), self.drives), rows)


def twin_rows(rows: int, drives: int) -> Tensor:
    """For each driving row the row of the same frame of the pair's other member."""
    return torch.arange(rows).view(-1, 2, drives).flip(1).flatten()
