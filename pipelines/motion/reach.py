"""How far the lips part in loud vowels, and how far anybody's lips go.

A network that learnt averages speaks with half a mouth where it is not sure how wide: the widest of
its openings read 0.05 of the face height where people's reach 0.09 (and AniPortrait's 0.12). So
openings beyond its usual ones are widened, the more the wider; those below stay as they are, for
`reading` was calibrated on them. Whatever a control multiplies bends before the end of its range.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.motion.lip_closure import parting_weights
from pipelines.motion.space import BLENDSHAPES, MOTION_INDEX

# Partings in units of jawOpen. On three held-out voices half of the frames are below 0.19, a tenth
# above 0.265 (a gap of 0.052), the widest 0.37 (0.073): they become 0.19, 0.31 (0.061) and 0.53
# (0.10).
_USUAL, _WIDEST, _GAIN = 0.18, 0.72, 6.3
_BENDS, _LIMIT = 0.50, 0.75  # of a parting that a control multiplies: 0.75 is a gap of 0.135
_SHAPE_BENDS = 0.60  # of a weight that a control multiplies; the network's own end there
_JAW = MOTION_INDEX["jawOpen"]
_SHAPES = len(BLENDSHAPES)


class Reach(nn.Module):
    """Widens wide openings of motion [..., MOTION_DIM], and bends what is multiplied."""

    def __init__(self) -> None:
        super().__init__()
        weights = parting_weights()
        self.weights: Tensor
        self.jaw: Tensor
        self.bent: Tensor
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("jaw", torch.eye(len(weights))[_JAW], persistent=False)
        place = torch.arange(len(weights))
        bent = (place < _SHAPES) & (place != _JAW) & (place != MOTION_INDEX["mouthClose"])
        self.register_buffer("bent", bent, persistent=False)

    def forward(self, motion: Tensor, expression: Tensor) -> Tensor:
        """`motion` widened and its shapes times `expression` [...], head pose as it was."""
        parting = motion @ self.weights
        spoken = motion + (widened(parting) - parting)[..., None] * self.jaw
        times = spoken * expression[..., None]
        bent = torch.where(self.bent, bend(times, _SHAPE_BENDS, 1.0), times)
        parting = bent @ self.weights
        more = bend(parting, _BENDS, _LIMIT) - parting
        return bent + more[..., None] * self.jaw


def widened(parting: Tensor) -> Tensor:
    """The parting that is shown of one that the network says; equal up to the usual."""
    beyond = (parting - _USUAL).clamp_min(0.0)
    span = _WIDEST - _USUAL
    return parting.clamp_max(_USUAL) + span * torch.tanh(beyond * (1.0 + _GAIN * beyond) / span)


def bend(x: Tensor, start: float, limit: float) -> Tensor:
    """`x` up to `start`, from there on smoothly to `limit`, which it never passes."""
    span = limit - start
    return x.clamp_max(start) + span * torch.tanh((x - start).clamp_min(0.0) / span)
