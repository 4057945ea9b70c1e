"""The `anitalker` renderer as tensor operations of fixed shapes, for a GPU full of faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.anitalker.batched import BatchedNetwork, baked
from pipelines.anitalker.paste_batched import PasteTables
from pipelines.batch import frame_bytes
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Size
from pipelines.rungs import PHOTO_RUNGS, Rungs
from pipelines.streaming import SlotState, masked_write
from pipelines.uploads import Brought


@dataclass
class MovedState(SlotState):
    """code: float32 [B, motion], of the frame that is drawn next."""

    code: Tensor


class BatchedAniTalker:
    """See `pipelines.renderer.BatchedRenderer`. A frame depends on its code alone.

    network: with as many slots, on the device that is drawn on. rungs: of the sizes drawn.
    """

    def __init__(self, network: BatchedNetwork, rungs: Rungs = PHOTO_RUNGS) -> None:
        self.network = network
        self.slots = network.slots
        self.motion_dim = network.config.motion_dim
        self.device = network.device
        self.tables = PasteTables(self.slots, network.config.size, rungs, self.device)
        self._drawn_at = network.config.size, network.config.size
        self._baked = Brought(self.device, lambda identity, _: baked(identity))

    def init_state(self, batch: int) -> MovedState:
        return MovedState(torch.zeros(batch, self.motion_dim, device=self.device))

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        self.tables.prepare(identity, size)
        self._baked.prepare(identity, self._drawn_at)

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        self.tables.set(slot, identity, sizes)
        self.network.set(slot, self._baked.of(identity, self._drawn_at))

    def advance(
        self, motion: Tensor, hops: Tensor, speech: Tensor, state: SlotState, active: Tensor
    ) -> None:
        assert isinstance(state, MovedState)
        masked_write(state.code, motion, active)

    def draw(self, size: Size, rows: Tensor, state: SlotState, planes: Tensor) -> None:
        assert isinstance(state, MovedState)
        squares = self.network.draw_rows(state.code[rows], rows)
        self.tables.paste(squares, rows, size, planes)

    def still(self, size: Size, slot: int, planes: Tensor) -> None:
        """At rest a frame is the photo."""
        planes.copy_(self.tables.make(size).planes[slot, : frame_bytes(size)])
