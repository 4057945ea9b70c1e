"""What one step sees: faces of different people, cut out as they are at run time.

A batch is a function of seed, rank and step alone, so a run that was interrupted goes on as if it
had not been.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.flow_warp.augment import relight
from training.flow_warp.store import Face
from training.swaptalk.squares import inside, square_at

_ZOOM, _SHIFT, _TURN = 0.05, 0.03, math.radians(3.0)  # of the square; standard deviations


@dataclass(frozen=True)
class Batch:
    """Faces of N people."""

    pictures: Tensor  # [N, 3, S, S] in [-1, 1]
    regions: Tensor  # [N, 3, 3] mouth, right eye, left eye in them: x, y, half width in [-1, 1]
    whole: bool  # draw whole faces, not the lower halves alone

    def to(self, device: torch.device) -> Batch:
        """The same on another device, channels last: a fifth less time on a CPU."""
        pictures = self.pictures.to(device, memory_format=torch.channels_last)
        return replace(self, pictures=pictures, regions=self.regions.to(device))


class Sampler:
    """Draws batches from the faces of a store; without `vary` as they are, people in turn."""

    def __init__(
        self, faces: Sequence[Face], size: int, *, seed: int, rank: int = 0, count: int = 4,
        whole: float = 0.2, vary: bool = True,
    ) -> None:  # fmt: skip
        self.faces, self.size, self.seed, self.rank = faces, size, seed, rank
        self.count, self.whole, self.vary = count, whole, vary

    def draw(self, step: int) -> Batch:
        """The batch of that step."""
        chance = np.random.default_rng((self.seed, self.rank, step))
        people = len(self.faces)
        if self.vary:
            chosen = chance.choice(people, self.count, replace=self.count > people)
        else:
            chosen = (step * self.count + np.arange(self.count)) % people
        shots = [self._shot(self.faces[who], chance) for who in chosen]
        return Batch(
            torch.cat([picture for picture, _ in shots]),
            torch.cat([regions for _, regions in shots]),
            bool(chance.random() < self.whole),
        )

    def _shot(self, face: Face, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A frame's face [1, 3, S, S], and its regions [1, 3, 3]."""
        index = int(chance.integers(len(face)))
        frame = face.frame(index).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        square, regions = square_at(face, index)
        if self.vary:
            change = _change(chance)
            frame, square, regions = (
                relight(frame, chance),
                square @ change,
                inside(regions, change),
            )
        grid = F.affine_grid(square, [1, 3, self.size, self.size], align_corners=False)
        picture = F.grid_sample(
            frame, grid, mode="bicubic", padding_mode="border", align_corners=False
        )
        return picture.clamp(-1.0, 1.0), regions


def _change(chance: np.random.Generator) -> Tensor:
    """How tracking might misplace a square, mirrored in every second case: [1, 3, 3]."""
    zoom = float(np.exp(chance.normal(0.0, _ZOOM)))
    turn = float(chance.normal(0.0, _TURN))
    x, y = (float(v) for v in chance.normal(0.0, _SHIFT, 2))
    flip = -1.0 if chance.random() < 0.5 else 1.0
    cos, sin = zoom * math.cos(turn), zoom * math.sin(turn)
    return torch.tensor([[[flip * cos, -sin, x], [flip * sin, cos, y], [0.0, 0.0, 1.0]]])
