"""How far the lips part, and lips that are likely to meet, meet.

A network that is not sure of a p, b or m half closes the lips, for that errs least on average;
people's lips meet or do not. So it says beside how likely they meet, and from somewhat below even
odds on they close, whatever the average says: a missed closure is seen sooner than one too many. A
parting too small to be seen is taken away.
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
_SHUT, _FREE = 0.0, 0.05  # parting: shut, and a gap of 0.4 % of the face's height
# Log odds of lips that meet: free below, shut above. On held-out voices, the first pair against
# -0.4, 0.4: 96 and 93 % of p, b, m closed; 4.7 and 3.1 % of open vowels; r 0.738 and 0.746.
_PART, _MEET = -1.3, -0.3


def parting_weights() -> Tensor:
    """The shares of `PARTING` along the motion space, float32 [MOTION_DIM]."""
    weights = torch.zeros(MOTION_DIM)
    for name, share in PARTING.items():
        weights[MOTION_INDEX[name]] = share
    return weights


class LipClosure(nn.Module):
    """Makes small partings of the lips smaller, the less so the wider, and shuts lips that meet."""

    def __init__(self) -> None:
        super().__init__()
        weights = parting_weights()
        self.weights: Tensor
        self.partly: Tensor
        self.closes: Tensor
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("partly", (weights > 0.1) & (weights < 1.0), persistent=False)
        self.register_buffer("closes", torch.eye(MOTION_DIM)[_CLOSE], persistent=False)

    def forward(self, motion: Tensor, meeting: Tensor) -> Tensor:
        """Motion float32 [..., MOTION_DIM], its lips met; meeting [...]: log odds that they are."""
        share = kept_share(motion @ self.weights, meeting)
        met = torch.where(self.partly, motion * share[..., None], motion)
        own = (motion[..., _JAW] - motion[..., _CLOSE]).clamp_min(0.0)
        return met + ((1.0 - share) * own)[..., None] * self.closes


def kept_share(parting: Tensor, meeting: Tensor) -> Tensor:
    """The share of a parting that is shown, at these log odds that the lips meet; shape as both."""
    near = (parting - _SHUT) / (_FREE - _SHUT)
    apart = (_MEET - meeting) / (_MEET - _PART)
    return _smooth(torch.minimum(near, apart))


def _smooth(share: Tensor) -> Tensor:
    """0 below 0, 1 above 1, a smooth step between."""
    share = share.clamp(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
