"""A motion model whose frames leave later, beside what hears further ahead than it does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.identity import IdentityFeatures
from pipelines.motion.model import Features, MotionModel
from pipelines.streaming import SlotState, masked_write


@dataclass
class DelayedState(SlotState):
    """inner: of the model. held: float32 [B, hops, D], motion that is still to leave, in order."""

    inner: SlotState
    held: Tensor

    def clear(self, slots: Tensor) -> None:
        """What is held was not shown yet: only the frame that is next stays."""
        super().clear(slots)
        masked_write(self.held, self.held[:, :1].expand_as(self.held), slots)


class DelayedMotion(MotionModel):
    """`model` so many hops later; before them the face rests. Its behaviour is told at once.

    Raises:
        ValueError: not later at all.
    """

    def __init__(self, model: MotionModel, hops: int) -> None:
        if hops < 1:
            raise ValueError(f"a delay is one hop or more, got {hops}")
        super().__init__(model.mel, model.seed)
        self.model, self.hops = model, hops

    @property
    def delay(self) -> int:
        return self.model.delay + self.hops

    @property
    def look_ahead(self) -> int:
        return self.model.look_ahead + self.hops * self.hop

    def features(self) -> Features:
        return self.model.features()

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> DelayedState:
        held = torch.zeros(batch, self.hops, len(self.low), device=device)
        return DelayedState(self.model.init_state(batch, device, seeds), held)

    def set_seed(self, state: DelayedState, slots: Tensor, seeds: Tensor) -> None:
        self.model.set_seed(state.inner, slots, seeds)

    def set_identity(self, state: DelayedState, slot: int, identity: IdentityFeatures) -> None:
        self.model.set_identity(state.inner, slot, identity)

    def step(
        self, features: Tensor, speech: Tensor, controls: Tensor, state: DelayedState,
        active: Tensor,
    ) -> Tensor:  # fmt: skip
        new = self.model.step(features, speech, controls, state.inner, active)
        leaves = state.held[:, 0].clone()
        masked_write(state.held, torch.cat([state.held[:, 1:], new[:, None]], 1), active)
        return leaves

    def listen(self, state: DelayedState, slots: Tensor) -> None:
        self.model.listen(state.inner, slots)

    def behaviour(self, state: DelayedState) -> Tensor:
        return self.model.behaviour(state.inner)
