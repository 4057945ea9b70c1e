"""The `swaptalk` renderer: motion and cached templates to whole frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.baked import BakedCache, SlotFaces
from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM
from pipelines.photo.video.kept import STRETCH
from pipelines.pipeline import Size
from pipelines.renderer import picture_row
from pipelines.streaming import SlotState
from pipelines.swaptalk.faces import ROWS, Faces, Rows
from pipelines.swaptalk.loop import LONGEST
from pipelines.swaptalk.loop_state import LoopState, fresh_loops, go_on, hear
from pipelines.swaptalk.paste import Face, paste
from pipelines.swaptalk.player import Player, View
from pipelines.swaptalk.template import Template


@dataclass(frozen=True)
class Ready:
    """A template to be shown at one size. Never written to."""

    key: str
    template: Template
    view: View
    places: NDArray[np.float64]
    masks: Tensor
    around: Tensor
    rows: Rows

    def face(self, frame: int) -> Face:
        """Where the lower half of a frame goes."""
        return Face(
            self.places[frame],
            self.masks[frame].float() / 255.0,
            self.around[frame].float() / 255.0,
        )

    def row(self, frame: int) -> Rows:
        """What the networks need of a frame."""
        return {name: held[frame : frame + 1] for name, held in self.rows.items()}


def _ready(identity: IdentityFeatures, size: Size, device: torch.device) -> Ready:
    template, view = Template.of(identity.arrays), View.of(identity, size)
    tensors = {name: held.to(device) for name, held in identity.tensors.items() if _kept(name)}
    return Ready(
        key=identity.key,
        template=template,
        view=view,
        places=view.places(template.places, template.clip.size),
        masks=tensors.pop("masks"),
        around=tensors.pop("around"),
        rows={name.removeprefix(ROWS): held for name, held in tensors.items()},
    )


def _kept(name: str) -> bool:
    return name in ("masks", "around") or name.startswith(ROWS)


READY = BakedCache(_ready)


class SwapTalkRenderer:
    """See `pipelines.renderer.Renderer`. The template's loop goes on while a slot is active, drawn
    or not, as `loop` says: where the person was silent while nobody speaks. Lips are those of the
    motion always, at rest and closed in silence."""

    motion_dim = MOTION_DIM

    def __init__(
        self, faces: Faces, slots: int, sizes: Sequence[Size], device: torch.device | str = "cpu"
    ) -> None:
        self._faces = faces
        self._device = torch.device(device)
        self._shown = SlotFaces(READY, slots, len(sizes), self._device)
        self._players: list[tuple[str, Player] | None] = [None] * slots
        longest = 2 * LONGEST - 2
        self._after = torch.zeros(slots, 2, longest, dtype=torch.int64, device=self._device)

    def init_state(self, batch: int) -> LoopState:
        return fresh_loops(self._faces, batch, self._device)

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        self._shown.prepare(identity, size)

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        self._shown.set(slot, identity, sizes)
        self._players[slot] = None
        after = identity.tensors["loop"][1:].to(self._device)
        self._after[slot] = 0  # of another loop's positions, the first
        self._after[slot, :, : after.shape[1]] = after

    def step(
        self, motion: Tensor, state: SlotState, active: Tensor, slots: Sequence[int], batch: Batch
    ) -> None:
        assert isinstance(state, LoopState)
        hops, speech = (batch.tensors[name].to(self._device) for name in ("hops", "speech"))
        hear(self._faces.ear, motion.to(self._device), hops, state, active)
        if slots:
            self._draw(state, list(slots), batch)
        every = torch.arange(len(state.position), device=self._device)
        go_on(self._after, every, speech, state, active)

    def still(self, slot: int, batch: Batch) -> None:
        """The first frame, with the lips at rest."""
        self._draw(self.init_state(len(self._players)), [slot], batch)

    def _draw(self, state: LoopState, slots: list[int], batch: Batch) -> None:
        ready = [self._shown.get(slot, batch.size_of(slot)) for slot in slots]
        at = [int(p) for p in state.position[slots]]
        numbers = [r.template.loop.frame(p) for r, p in zip(ready, at, strict=True)]
        rows = [each.row(number) for each, number in zip(ready, numbers, strict=True)]
        joined = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        drawn = self._faces.draw(joined, state.heard[slots], state.codes[slots])
        state.codes[slots] = drawn.codes
        for n, slot in enumerate(slots):
            coming = ready[n].template.loop.ahead(at[n], int(state.quiet[slot]), 2 * STRETCH)
            frame = self._player(slot, ready[n]).frame(numbers[n], coming)
            shown = torch.from_numpy(ready[n].view.show(frame))
            with picture_row(batch, slot, self._device) as planes:
                planes[0].copy_(shown)
                paste(drawn.lower[n], ready[n].face(numbers[n]), planes[0])

    def _player(self, slot: int, ready: Ready) -> Player:
        held = self._players[slot]
        if held is None or held[0] != ready.key:
            held = ready.key, Player(ready.template.clip)
            self._players[slot] = held
        return held[1]
