"""What one step of training sees: pairs of identities, and where known the same motion on both.

A batch is a function of seed, rank and step alone, so a run that was interrupted goes on as if it
had not been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from training.flow_warp.augment import Shots, mirror, mirror_motion, reframe, relight
from training.flow_warp.lids import with_lids
from training.flow_warp.store import Face

_REST_SHARE = 0.6  # of sources that are the first frame: photos mostly show a resting face
_BLINKS = [MOTION_INDEX["eyeBlinkLeft"], MOTION_INDEX["eyeBlinkRight"]]
_BLINK_MORE = 2.0  # driving frames whose lids are on their way are drawn so much more often


@dataclass(frozen=True)
class Batch:
    """P pairs of identities, D driving frames of each; rows are pair, member, driving frame.

    Pictures are float32 in [-1, 1]. The target of a row is that row's driving frame.
    """

    sources: Tensor  # [2 P, 3, S, S]
    driving: Tensor  # [2 P D, 3, S, S]
    drivers: Tensor  # int64 [2 P D]: the row whose motion code draws this row
    regions: Tensor  # [2 P D, 3, 3] of the driving frames
    flows: Tensor  # [2 P D, 2, F, F] where driving frames look in the source; NaN if unknown
    motion: Tensor  # [2 P (1 + D), MOTION_DIM] of sources, then driving frames; NaN if unknown
    people: Tensor  # int64 [2 P (1 + D)]: who is seen in them
    mapped: bool  # draw from the known motion, not from the driving pictures

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in held.items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


@dataclass
class _Member:
    who: int
    shots: Shots  # source, then driving frames
    motion: Tensor  # [1 + D, MOTION_DIM]


@dataclass(frozen=True)
class _Pair:
    members: list[_Member]
    same: bool  # they show the same motion


class Sampler:
    """Draws batches from the faces of a store."""

    def __init__(
        self, faces: Sequence[Face], *, seed: int, rank: int = 0, pairs: int = 2, drives: int = 2,
        cross: float = 0.5, mapped: float = 0.85, vary: bool = True,
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
        pairs = [self._pair(chance) for _ in range(self.pairs)]
        members = [member for pair in pairs for member in pair.members]
        same = torch.tensor([pair.same for pair in pairs]).repeat_interleave(2 * self.drives)
        motion = torch.cat(
            [member.motion[:1] for member in members] + [member.motion[1:] for member in members]
        )
        who = torch.tensor([member.who for member in members])
        return Batch(
            sources=torch.cat([member.shots.frames[:1] for member in members]),
            driving=torch.cat([member.shots.frames[1:] for member in members]),
            drivers=self._drivers(same, chance),
            regions=torch.cat([member.shots.regions[1:] for member in members]),
            flows=torch.cat([member.shots.flows[1:] for member in members]),
            motion=motion,
            people=torch.cat([who, who.repeat_interleave(self.drives)]),
            mapped=bool(chance.random() < self.mapped) and not bool(motion.isnan().any()),
        )

    def _pair(self, chance: np.random.Generator) -> _Pair:
        first = int(chance.integers(len(self.faces)))
        others = [i for i in self._group[first] if i != first]
        second = int(chance.choice(others or range(len(self.faces))))
        least = min(len(self.faces[first]), len(self.faces[second]))
        shared = chance.choice(least, self.drives, p=_chances(self.faces[first], least)).tolist()
        flip = self.vary and chance.random() < 0.5
        members = [self._member(who, shared, flip, chance) for who in (first, second)]
        if self.vary:  # the same for both
            seed = int(chance.integers(1 << 31))
            for member in members:
                member.shots = reframe(member.shots, np.random.default_rng(seed))
        return _Pair(members, bool(others))

    def _member(
        self, who: int, shared: Sequence[int], flip: bool, chance: np.random.Generator
    ) -> _Member:
        """Source and driving frames of one identity."""
        face = self.faces[who]
        source = 0 if chance.random() < _REST_SHARE else int(chance.integers(len(face)))
        chosen = [source, *shared]
        frames = torch.stack([face.frame(i) for i in chosen]).permute(0, 3, 1, 2)
        flows = torch.stack([face.flow(i, face.size // 2) for i in chosen])
        if source != 0:
            flows = torch.full_like(flows, float("nan"))
        nothing = torch.full((len(chosen), MOTION_DIM), float("nan"))
        motion = nothing if face.motion is None else face.motion[chosen]
        flows = with_lids(flows, face.regions[chosen], motion)
        shots = Shots(frames.float() / 127.5 - 1.0, face.regions[chosen], flows)
        if flip:
            shots, motion = mirror(shots), mirror_motion(motion)
        if self.vary:
            shots = replace(shots, frames=relight(shots.frames, chance))
        return _Member(who, shots, motion)

    def _drivers(self, same: Tensor, chance: np.random.Generator) -> Tensor:
        """Each row is drawn by its own code, or where that is exact by its twin's."""
        rows = torch.arange(len(same))
        crossed = torch.from_numpy(chance.random(len(same)) < self.cross) & same
        return torch.where(crossed, twin_rows(len(same), self.drives), rows)


def _chances(face: Face, count: int) -> NDArray[np.float64]:
    """How often each of its first `count` frames is to be a driving frame, [count] of sum 1.

    A third of the frames blink; drawn as often as others, half shut lids were learnt as a veil.
    """
    often = np.ones(count)
    if face.motion is not None:
        often += _BLINK_MORE * (face.motion[:count, _BLINKS].amax(1) > 0.05).numpy()
    return np.asarray(often / often.sum())


def twin_rows(rows: int, drives: int) -> Tensor:
    """For each driving row the row of the same frame of the pair's other member."""
    return torch.arange(rows).view(-1, 2, drives).flip(1).flatten()
