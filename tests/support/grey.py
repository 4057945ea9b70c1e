"""A renderer of grey pictures, made of tensor operations of fixed shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM
from pipelines.pipeline import Size
from pipelines.streaming import SlotState, masked_write


@dataclass
class GreyState(SlotState):
    frames: Tensor  # [B] int64: drawn or not
    cleared: Tensor  # [B] int64
    drawn: Tensor  # [B] int64: in all
    heard: Tensor  # [B]: the last sample

    def clear(self, slots: Tensor) -> None:
        self.cleared += slots


class BatchedGrey:
    """See `pipelines.renderer.BatchedRenderer`: lighter by 1 with each frame that went by."""

    motion_dim = MOTION_DIM

    def __init__(self, slots: int, device: str = "cpu") -> None:
        self.slots = slots
        self.device = torch.device(device)
        self.shades = torch.zeros(slots, dtype=torch.int64, device=device)

    def init_state(self, batch: int) -> GreyState:
        counts = torch.zeros(3, batch, dtype=torch.int64, device=self.device)
        return GreyState(*counts, torch.zeros(batch, device=self.device))

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        pass

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        self.shades[slot] = int(identity.arrays["grey"][0])

    def advance(
        self, motion: Tensor, hops: Tensor, speech: Tensor, state: SlotState, active: Tensor
    ) -> None:
        assert isinstance(state, GreyState)
        assert motion.shape == (self.slots, MOTION_DIM)
        masked_write(state.frames, state.frames + 1, active)
        masked_write(state.heard, hops[:, -1], active)

    def draw(self, size: Size, rows: Tensor, state: SlotState, planes: Tensor) -> None:
        assert isinstance(state, GreyState)
        planes.copy_((self.shades[rows] + state.frames[rows])[:, None].expand_as(planes))
        state.drawn[rows] = state.drawn[rows] + 1

    def still(self, size: Size, slot: int, planes: Tensor) -> None:
        planes.fill_(int(self.shades[slot]))
