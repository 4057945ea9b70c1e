"""What a motion model is: features in, one frame of motion per hop out, a little late."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pipelines.audio.mel import LogMel, MelConfig
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM


class Features(Protocol):
    """Sound to what a motion model hears, one hop at a time; an `nn.Module`."""

    @property
    def look_ahead(self) -> int:
        """Samples of delay."""

    def init_state(self, batch: int, device: torch.device | str | None = None) -> Any:
        """Fresh slots."""

    def step(self, samples: Tensor, state: Any, active: Tensor) -> Tensor:
        """samples [B, hop] in [-1, 1], active bool [B] -> features [B, ...]."""


class MotionModel(nn.Module, ABC):
    """Base of the motion models. States are `SlotState`s of the model's own.

    Most give motion in the units of `pipelines.motion.space`, D = MOTION_DIM, clamped to
    `low`..`high` [MOTION_DIM]: shapes to [0, 1], the rest not at all.
    """

    low: Tensor
    high: Tensor

    def __init__(self, mel: MelConfig, seed: int) -> None:
        super().__init__()
        self.mel = mel
        self.seed = seed
        shape = torch.arange(MOTION_DIM) < len(BLENDSHAPES)
        self.register_buffer("low", torch.where(shape, 0.0, -math.inf), persistent=False)
        self.register_buffer("high", torch.where(shape, 1.0, math.inf), persistent=False)

    @property
    def hop(self) -> int:
        """Samples per step."""
        return self.mel.hop

    @property
    @abstractmethod
    def delay(self) -> int:
        """Hops heard beyond the frame that a step returns."""

    @property
    def look_ahead(self) -> int:
        """In samples; with the features' own, a whole number of hops."""
        return self.delay * self.mel.hop - self.mel.look_ahead

    def features(self) -> Features:
        """What makes of sound the features that `step` takes."""
        return LogMel(self.mel).to(self.low.device)

    @abstractmethod
    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> Any:
        """Silent slots; `seeds` (int64 [B]) default to `seed`, `seed` + 1, ..."""

    def _seeds(self, batch: int, device: torch.device | str, seeds: Tensor | None) -> Tensor:
        if seeds is None:
            seeds = torch.arange(batch) + self.seed
        if seeds.shape != (batch,):
            raise ValueError(f"seeds must be [{batch}], got {tuple(seeds.shape)}")
        return seeds.to(device)

    @abstractmethod
    def set_seed(self, state: Any, slots: Tensor, seeds: Tensor) -> None:
        """From the next frame on, key the noise of `slots` (bool [B]) by `seeds` (int64 [B])."""

    def set_identity(self, state: Any, slot: int, identity: IdentityFeatures) -> None:
        """Take in whose face `slot` moves, where that matters; its motion goes on undisturbed."""

    def listen(self, state: Any, slots: Tensor) -> None:
        """Somebody is speaking to `slots` (bool [B]): they listen, where a model knows how to."""

    @abstractmethod
    def step(
        self, features: Tensor, speech: Tensor, controls: Tensor, state: Any, active: Tensor
    ) -> Tensor:
        """One hop in, motion [B, D] of the frame `delay` before it out.

        features [B, ...] as `features` makes them; speech bool [B], whether a voice-activity
        detector hears speech in this hop; controls float32 [B, 5]; active bool [B].
        """

    @abstractmethod
    def behaviour(self, state: Any) -> Tensor:
        """What each slot does: int8 [B], an index into `pipelines.motion.space.BEHAVIOURS`."""

    def forward(self, features: Tensor, speech: Tensor, controls: Tensor) -> Tensor:
        """A whole stream: features [B, 4 T, D], speech bool [B, T] -> motion [B, T, MOTION_DIM].

        Frame n of the stream is at n + `delay`, as in streaming.
        """
        batch, hops = speech.shape
        state = self.init_state(batch, features.device)
        active = torch.ones(batch, dtype=torch.bool, device=features.device)
        steps = features.reshape(batch, hops, -1, features.shape[2]).unbind(1)
        motion = [
            self.step(x, flag, controls, state, active)
            for x, flag in zip(steps, speech.unbind(1), strict=True)
        ]
        return torch.stack(motion, 1)
