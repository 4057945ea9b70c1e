"""The `anitalker` renderer: motion codes and cached identities to whole frames, slot by slot."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipelines.anitalker.batched import CachedRenderer, Drawn
from pipelines.anitalker.enrol import baked
from pipelines.anitalker.paste import BACKINGS, Backing, paste
from pipelines.identity import IdentityFeatures


class AniTalkerRenderer:
    """Draws the squares of all slots in one batch, then pastes each into its photo.

    Renderers of several sizes share one `network`, whose slots are theirs.
    """

    def __init__(self, network: CachedRenderer, slots: int, size: int, device: torch.device | str):
        self.network = network
        self.size = size
        self.device = torch.device(device)
        self._backings: list[Backing | None] = [None] * slots

    def set_identity(self, slot: int, identity: IdentityFeatures) -> None:
        """Give `slot` a face, from the next render on."""
        self._backings[slot] = BACKINGS.get(identity, self.size, self.device)
        self.network.set(slot, baked(identity))

    def render(self, motion: Tensor, slots: Sequence[int]) -> Tensor:
        """Draw one frame per code of `motion` [N, motion_dim]: I420 uint8 [N, S * 3 / 2, S]."""
        shape = (len(slots), self.size * 3 // 2, self.size)
        planes = torch.empty(shape, dtype=torch.uint8, device=self.device)
        backings = [self._backing(slot) for slot in slots]
        with torch.inference_mode():
            drawn = self.network.draw(motion, list(slots))
            for i, backing in enumerate(backings):
                paste(Drawn(*(part[i : i + 1] for part in drawn)), backing, planes[i : i + 1])
        return planes

    def _backing(self, slot: int) -> Backing:
        backing = self._backings[slot]
        if backing is None:
            raise ValueError(f"slot {slot} has no identity; call set_identity first")
        return backing
