"""How far the lips part, and lips that come near meet.

A generator that is not sure of a p, b or m half closes the lips, and so does one that is late by
half a frame; people's lips meet or do not (motion of talkers has few gaps between). What little
parting is left is taken away, more the less of it there is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX

# What each shape adds to the parting of the lips, in units of jawOpen; fitted to the gaps that
# FaceMesh reads on the cast.
PARTING: dict[str, float] = {
    "jawOpen": 1.0,
    "mouthClose": -1.0,
    "mouthFunnel": 0.246,
    "mouthLowerDownLeft": 0.139,
    "mouthLowerDownRight": 0.139,
    "mouthUpperUpLeft": 0.115,
    "mouthUpperUpRight": 0.115,
    "mouthPucker": 0.022,
    "mouthPressLeft": -0.0325,
    "mouthPressRight": -0.0325,
    "mouthRollLower": -0.077,
}
_JAW, _CLOSE = MOTION_INDEX["jawOpen"], MOTION_INDEX["mouthClose"]
_SHUT, _FREE = 0.0375, 0.125  # parting: gaps of 0.4 % and 1.6 % of the face's height


def parting_weights() -> Tensor:
    """The shares of `PARTING` along the motion space, float32 [MOTION_DIM]."""
    weights = torch.zeros(MOTION_DIM)
    for name, share in PARTING.items():
        weights[MOTION_INDEX[name]] = share
    return weights


class LipClosure(nn.Module):
    """Makes small partings of the lips smaller and leaves wider ones as they are."""

    def __init__(self) -> None:
        super().__init__()
        weights = parting_weights()
        self.weights: Tensor
        self.partly: Tensor
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("partly", (weights > 0.1) & (weights < 1.0), persistent=False)

    def forward(self, motion: Tensor) -> Tensor:
        """Motion float32 [..., MOTION_DIM] to the same, its lips met."""
        near = (motion @ self.weights - _SHUT) / (_FREE - _SHUT)
        near = near.clamp(0.0, 1.0)
        share = near * near * (3.0 - 2.0 * near)
        met = torch.where(self.partly, motion * share[..., None], motion)
        own = (motion[..., _JAW] - motion[..., _CLOSE]).clamp_min(0.0)
        met[..., _CLOSE] += (1.0 - share) * own
        return met
