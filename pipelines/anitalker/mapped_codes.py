"""Our own motion codes: the motion of `portrait`, put into the renderer's code by a small network.

The mouth, blinks, gaze and head are those of `pipelines.motion`. A code is that of the motion
alone, as in training, whoever shows it: what a network reads off a photo of a resting face lay 0.4
to 2.7 beside the code of rest, where a whole blink went 3.1.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.identity import IdentityFeatures
from pipelines.motion.model import Features, MotionModel
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX

_JAW, _CLOSE = MOTION_INDEX["jawOpen"], MOTION_INDEX["mouthClose"]
_LIDS = slice(MOTION_INDEX["eyeBlinkLeft"], MOTION_INDEX["eyeBlinkRight"] + 1)
_HALF, _BEYOND = 0.5, 0.24  # lids are followed to half a blink; of what is beyond, this share


def lowered(lids: Tensor) -> Tensor:
    """How far lids that are down by `lids` in [0, 1] are drawn down: 0.62 at most.

    On ten people of the training, from 0.6 on the renderer left 0.46 to 0.48 of the open eye, by
    FaceMesh, and the farther down, the more faces it showed a ring of brow and lashes in.
    """
    return lids - (1.0 - _BEYOND) * (lids - _HALF).clamp_min(0.0)


def within_reach(motion: Tensor) -> Tensor:
    """Motion float32 [..., MOTION_DIM] as renderers draw it well.

    Lids as `lowered`; the jaw dropped no further than the lips part with it. `mouthClose` holds
    lips together over a dropped jaw. Renderers see little of that in training and draw the jaw's
    mouth, open; lips that meet count more than a chin that drops behind them.
    """
    held = motion.clone()
    held[..., _LIDS] = lowered(motion[..., _LIDS])
    held[..., _JAW] = (motion[..., _JAW] - motion[..., _CLOSE]).clamp_min(0.0)
    held[..., _CLOSE] = 0.0
    return held


class MotionToCode(nn.Module):
    """Motion [..., MOTION_DIM] in the units of `pipelines.motion.space` -> code [..., code_dim].

    The shapes of the mouth mix far from linearly in a code, hence the hidden layers; lids, gaze and
    head hardly mix, and go straight.
    """

    def __init__(self, code_dim: int = 20, hidden: int = 128) -> None:
        super().__init__()
        self.code_dim = code_dim
        self.layers = nn.Sequential(
            nn.Linear(MOTION_DIM, hidden), nn.SiLU(),
            nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, code_dim),
        )  # fmt: skip
        self.direct = nn.Linear(MOTION_DIM, code_dim, bias=False)
        nn.init.zeros_(self.direct.weight)
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(MOTION_DIM))  # of one unit of each input

    def forward(self, motion: Tensor) -> Tensor:
        motion = motion / self.scale
        code: Tensor = self.layers(motion) + self.direct(motion)
        return code

    def digest(self) -> str:
        """Names what codes mean: the same for equal maps only. Weights that speak them keep it."""
        tensors = sorted(self.state_dict().items())
        held = b"".join(value.cpu().float().numpy().tobytes() for _, value in tensors)
        return hashlib.sha256(held).hexdigest()

    def rest(self) -> Tensor:
        """The code of a face at rest, [code_dim]."""
        code: Tensor = self(torch.zeros_like(self.scale))
        return code

    def drawn(self, motion: Tensor) -> Tensor:
        """The code by which `motion` is drawn: of what of it is `within_reach`."""
        code: Tensor = self(within_reach(motion))
        return code

    def moved(self, motion: Tensor) -> Tensor:
        """How that code differs from the one of rest."""
        return self.drawn(motion) - self.rest()


class MappedCodes(MotionModel):
    """A motion model of `pipelines.motion` as one of codes, [B, code_dim] per hop; states are those
    of the model within."""

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
    ) -> Any:
        return self.inner.init_state(batch, device, seeds)

    def set_seed(self, state: Any, slots: Tensor, seeds: Tensor) -> None:
        self.inner.set_seed(state, slots, seeds)

    def set_identity(self, state: Any, slot: int, identity: IdentityFeatures) -> None:
        self.inner.set_identity(state, slot, identity)

    def step(
        self, features: Tensor, speech: Tensor, controls: Tensor, state: Any, active: Tensor
    ) -> Tensor:
        return self.to_code.drawn(self.inner.step(features, speech, controls, state, active))

    def listen(self, state: Any, slots: Tensor) -> None:
        self.inner.listen(state, slots)

    def behaviour(self, state: Any) -> Tensor:
        return self.inner.behaviour(state)
