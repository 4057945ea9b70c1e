"""The `anitalker` renderer: motion codes and cached identities to whole frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipelines.anitalker.batched import BatchedNetwork, Squares, baked
from pipelines.anitalker.paste import BACKINGS, paste
from pipelines.baked import SlotFaces
from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Size
from pipelines.renderer import picture_row
from pipelines.streaming import SlotState, Stateless


class AniTalkerRenderer:
    """See `pipelines.renderer.Renderer`. A frame depends on its code alone.

    Draws the squares of all slots in one batch, then pastes each into its photo.
    """

    def __init__(
        self, network: BatchedNetwork, sizes: Sequence[Size], device: torch.device | str = "cpu"
    ) -> None:
        self.network = network
        self.motion_dim = network.config.motion_dim
        self._faces = SlotFaces(BACKINGS, network.slots, len(sizes), torch.device(device))

    def init_state(self, batch: int) -> Stateless:
        return Stateless()

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        self._faces.prepare(identity, size)

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        self._faces.set(slot, identity, sizes)
        self.network.set(slot, baked(identity))

    def step(
        self, motion: Tensor, state: SlotState, active: Tensor, slots: Sequence[int], batch: Batch
    ) -> None:
        backings = [self._faces.get(slot, batch.size_of(slot)) for slot in slots]
        drawn = self.network.draw(motion[slots], list(slots))
        for i, (slot, backing) in enumerate(zip(slots, backings, strict=True)):
            square = Squares(*(part[i : i + 1] for part in drawn))
            with picture_row(batch, slot, backing.i420.device) as planes:
                paste(square, backing, planes)

    def still(self, slot: int, batch: Batch) -> None:
        """At rest a frame is the photo."""
        backing = self._faces.get(slot, batch.size_of(slot))
        torch.from_numpy(batch.picture(slot)).copy_(backing.i420)
