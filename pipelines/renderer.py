"""What a renderer of a composed pipeline is: motion in, pictures into a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Size
from pipelines.streaming import SlotState


class Renderer(Protocol):
    """Motion to pictures, one frame at a time, for a fixed number of slots.

    A streaming module like the others, but that identities belong to the renderer and not to its
    state: a slot keeps its face when it starts over.
    """

    motion_dim: int

    def init_state(self, batch: int) -> SlotState:
        """Fresh slots."""

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Do ahead, from any thread, what takes long about an identity drawn at `size`."""

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        """Give `slot` a face that may be drawn at any of `sizes`. Quick once it was prepared."""

    def step(
        self, motion: Tensor, state: SlotState, active: Tensor, slots: Sequence[int], batch: Batch
    ) -> None:
        """Advance the slots of `active` (bool [B]) by a frame of motion [B, D], and draw `slots`
        into their rows of `batch.planes`, each at its `batch.size`.

        Raises:
            ValueError: a slot to draw has no identity, or none prepared for that size.
        """

    def still(self, slot: int, batch: Batch) -> None:
        """Draw the slot's face before any sound into its row of `batch.planes`."""


class BatchedRenderer(Protocol):
    """A renderer made of tensor operations of fixed shapes: what a CUDA graph can capture.

    What identities it shows lies in tables, a row for each slot, written by `set_identity` outside
    of any graph. `advance` and `draw` read nothing back from the device, and neither what they do
    nor the shape of anything depends on values.
    """

    slots: int
    motion_dim: int
    device: torch.device

    def init_state(self, batch: int) -> SlotState:
        """Fresh slots, with all that `draw` needs of a frame."""

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Do ahead, from any thread, what takes long about an identity drawn at `size`."""

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        """Give `slot` a face that may be drawn at any of `sizes`."""

    def advance(
        self, motion: Tensor, hops: Tensor, speech: Tensor, state: SlotState, active: Tensor
    ) -> None:
        """Take a frame of motion [B, D], heard with hops [B, 640] in which a voice was detected
        (speech, bool [B]), into the slots of `active` (bool [B])."""

    def draw(self, size: Size, rows: Tensor, state: SlotState, planes: Tensor) -> None:
        """Draw the slots `rows` (int64 [n]) as they are, all at `size`, into `planes`, I420
        uint8 [n, bytes of a frame]. A slot may come more than once. Of a slot without an identity
        the picture is anything."""

    def still(self, size: Size, slot: int, planes: Tensor) -> None:
        """Draw a slot's face before any sound into `planes`, uint8 [bytes of a frame]."""


@contextmanager
def picture_row(batch: Batch, slot: int, device: torch.device) -> Iterator[Tensor]:
    """Planes uint8 [1, height * 3 / 2, width] on `device` to draw the slot's picture into.

    On a CPU they are the batch's own, so that the picture is never copied.
    """
    held = torch.from_numpy(batch.picture(slot))[None]
    planes = held if held.device == device else torch.empty_like(held, device=device)
    yield planes
    if planes is not held:
        held.copy_(planes)
