"""Our own motion codes: the motion of `portrait`, put into the renderer's code by a small network.

The mouth, blinks, gaze and head are those of `pipelines.motion`; of the face only the code of its
own photo matters. A code is that of the photo, moved as the motion differs from rest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.identity import IdentityFeatures
from pipelines.motion.model import Features, MotionModel
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.streaming import SlotState

_JAW, _CLOSE = MOTION_INDEX["jawOpen"], MOTION_INDEX["mouthClose"]


def parted(motion: Tensor) -> Tensor:
    """Motion float32 [..., MOTION_DIM] with the jaw dropped no further than the lips part with it.

    `mouthClose` holds lips together over a dropped jaw. Renderers see little of that in training
    and draw the jaw's mouth, open; lips that meet count more than a chin that drops behind them.
    """
    held = motion.clone()
    held[..., _JAW] = (motion[..., _JAW] - motion[..., _CLOSE]).clamp_min(0.0)
    held[..., _CLOSE] = 0.0
    return held


class MotionToCode(nn.Module):
    """Motion [..., MOTION_DIM] in the units of `pipelines.motion.space` -> code [..., code_dim].

    The shapes of the mouth mix far from linearly in a code, hence the hidden layers.
    """

    def __init__(self, code_dim: int = 20, hidden: int = 128) -> None:
        super().__init__()
        self.code_dim = code_dim
        self.layers = nn.Sequential(
            nn.Linear(MOTION_DIM, hidden), nn.SiLU(),
            nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, code_dim),
        )  # fmt: skip
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(MOTION_DIM))  # of one unit of each input

    def forward(self, motion: Tensor) -> Tensor:
        code: Tensor = self.layers(motion / self.scale)
        return code

    def digest(self) -> str:
        """Names what codes mean: the same for equal maps only. Weights that speak them keep it."""
        tensors = sorted(self.state_dict().items())
        held = b"".join(value.cpu().float().numpy().tobytes() for _, value in tensors)
        return hashlib.sha256(held).hexdigest()

    def moved(self, motion: Tensor) -> Tensor:
        """How a code changes from rest to `motion`, its lips kept together; 0 at rest."""
        rest: Tensor = self(torch.zeros_like(motion[:1]))
        code: Tensor = self(parted(motion))
        return code - rest


@dataclass
class MappedState(SlotState):
    inner: Any  # state of the motion model within
    own: Tensor  # [B, code_dim]: the code of the face's photo

    def reset(self, slots: Tensor) -> None:
        self.inner.reset(slots)  # the face stays


class MappedCodes(MotionModel):
    """A motion model of `pipelines.motion` as one of codes, [B, code_dim] per hop."""

    def __init__(self, inner: MotionModel, to_code: MotionToCode) -> None:
        super().__init__(inner.mel, inner.seed)
        self.inner = inner
        self.to_code = to_code

    @property
    def delay(self) -> int:
        return self.inner.delay

    def features(self) -> Features:
        return self.inner.features()

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> MappedState:
        own = torch.zeros(batch, self.to_code.code_dim, device=device)
        return MappedState(self.inner.init_state(batch, device, seeds), own)

    def set_seed(self, state: MappedState, slots: Tensor, seeds: Tensor) -> None:
        self.inner.set_seed(state.inner, slots, seeds)

    def set_identity(self, state: MappedState, slot: int, identity: IdentityFeatures) -> None:
        state.own[slot] = identity.tensors["code"].to(state.own)

    def step(
        self,
        features: Tensor,
        speech: Tensor,
        controls: Tensor,
        state: MappedState,
        active: Tensor,
    ) -> Tensor:
        motion = self.inner.step(features, speech, controls, state.inner, active)
        return state.own + self.to_code.moved(motion)

    def listen(self, state: MappedState, slots: Tensor) -> None:
        self.inner.listen(state.inner, slots)

    def behaviour(self, state: MappedState) -> Tensor:
        return self.inner.behaviour(state.inner)
