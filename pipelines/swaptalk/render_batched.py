"""The `swaptalk` renderer as tensor operations of fixed shapes, for a GPU full of faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.paste_lower import paste_lower
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM
from pipelines.pipeline import Size
from pipelines.rungs import PHOTO_RUNGS, Rungs
from pipelines.streaming import SlotState, masked_write
from pipelines.swaptalk.clip_tables import ClipTables, template_bytes
from pipelines.swaptalk.faces import Faces
from pipelines.swaptalk.loop import LONGEST
from pipelines.swaptalk.loop_state import LoopState, fresh_loops, go_on, hear
from pipelines.swaptalk.paste_batched import Corrections


@dataclass
class ShownLoopState(LoopState):
    """shown: int64 [B], the position of the frame that is drawn next; `position` is what comes
    after it."""

    shown: Tensor


class BatchedSwapTalk:
    """See `pipelines.renderer.BatchedRenderer`, and `SwapTalkRenderer` for what is shown.

    faces: on the device that is drawn on. rungs: of the sizes drawn. templates: that can be shown
    at once; if not given, as many as slots, or on a card as half of its free memory holds.
    """

    motion_dim = MOTION_DIM

    def __init__(
        self,
        faces: Faces,
        slots: int,
        device: torch.device | str,
        *,
        templates: int | None = None,
        rungs: Rungs = PHOTO_RUNGS,
    ) -> None:
        self.slots = slots
        self.device = torch.device(device)
        self._faces = faces
        templates = templates or _most_templates(faces, slots, rungs, self.device)
        self.tables = ClipTables(faces, slots, templates, rungs, self.device)
        self._corrections = Corrections(self.device)

    def init_state(self, batch: int) -> ShownLoopState:
        fresh = fresh_loops(self._faces, batch, self.device)
        return ShownLoopState(**vars(fresh), shown=torch.zeros_like(fresh.position))

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        self.tables.prepare(identity, size)

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        self.tables.set(slot, identity, sizes)

    def release(self, slot: int) -> None:
        """See `pipelines.pipeline.Releases`: another template may take its row."""
        self.tables.release(slot)

    def advance(
        self, motion: Tensor, hops: Tensor, speech: Tensor, state: SlotState, active: Tensor
    ) -> None:
        assert isinstance(state, ShownLoopState)
        hear(self._faces.ear, motion, hops, state, active)
        masked_write(state.shown, state.position, active)
        go_on(self.tables.after, self.tables.row, speech, state, active)

    def draw(self, size: Size, rows: Tensor, state: SlotState, planes: Tensor) -> None:
        assert isinstance(state, ShownLoopState)
        held = state.heard[rows], state.codes[rows]
        state.codes[rows] = self._draw(size, rows, state.shown[rows], *held, planes)

    def still(self, size: Size, slot: int, planes: Tensor) -> None:
        """The first frame, with the lips at rest."""
        fresh, rows = self.init_state(1), torch.full((1,), slot, device=self.device)
        self._draw(size, rows, fresh.shown, fresh.heard, fresh.codes, planes[None])

    def _draw(
        self, size: Size, slots: Tensor, shown: Tensor, heard: Tensor, last: Tensor, planes: Tensor
    ) -> Tensor:
        """Slots [n] at positions [n], and their codes."""
        tables = self.tables
        rows = tables.row[slots]
        frames = rows * LONGEST + tables.frames[rows, shown]
        latents = {name: table[frames] for name, table in tables.latents.items()}
        drawn = self._faces.draw(latents, heard, last)
        around, masks = (held[frames].float() / 255.0 for held in (tables.around, tables.masks))
        colours = self._corrections(drawn.lower, around, masks)
        paste_lower(drawn.lower, colours, frames, tables.clips(size), size, planes)
        return drawn.codes


def _most_templates(faces: Faces, slots: int, rungs: Rungs, device: torch.device) -> int:
    if device.type != "cuda":
        return slots
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(slots, free // 2 // template_bytes(faces, rungs, device)))
