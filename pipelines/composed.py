"""Pipelines made of streaming modules: features -> motion -> renderer, over a batch.

    hops [B, 640] -> features -> motion [B, D] -> pictures into the batch's planes

Each module holds its state by slot; clear and reset reach all three. Nothing here depends on which
modules they are. The frame that a hop completes lies `look_ahead` samples before that hop. The
motion may be computed by more than one library ("back end"), each on the same states.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.batch import Batch
from pipelines.exported.situations import time_steps
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.motion.model import Features, MotionModel
from pipelines.pipeline import HOP_SAMPLES, Size
from pipelines.renderer import Renderer
from pipelines.streaming import SlotState, masked_write, slot_views

SizesFor = Callable[[IdentityFeatures], tuple[Size, ...]]
"""Picture sizes that an identity may be drawn at, smallest first."""
TIMED_HOPS = 30
"""Of each back end, to see which is faster."""


class ComposedPipeline:
    """See `pipelines.pipeline.Pipeline`.

    Args:
        sizes: that the renderer draws, smallest first.
        sizes_for: those of an identity in its frame, where they are not `sizes`.
        motion, renderer: for this pipeline alone; the renderer has `slots` slots.
        exported: `motion` computed by ONNX Runtime, which is then used unless told otherwise.

    Raises:
        ValueError: no slots, or modules whose delays do not add up to whole hops.
    """

    def __init__(
        self,
        slots: int,
        sizes: tuple[Size, ...],
        motion: MotionModel,
        renderer: Renderer,
        device: torch.device | str = "cpu",
        exported: MotionModel | None = None,
        sizes_for: SizesFor | None = None,
    ) -> None:
        if slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        self.slots = slots
        self._sizes_for = sizes_for or (lambda identity: sizes)
        self.device = device
        self._one_by_one = torch.device(device).type == "cpu"
        self._motions = {} if exported is None else {"onnxruntime": exported.to(device)}
        self._motions["torch"] = motion.to(device)
        self.motion = next(iter(self._motions.values()))
        self.features = motion.features()
        self.renderer = renderer
        self.motion_dim = renderer.motion_dim
        self.look_ahead = look_ahead_of(self.features, motion)
        with torch.inference_mode():
            self._features_state: SlotState = self.features.init_state(slots, device)
            self._motion_state: SlotState = self.motion.init_state(slots, device)
            self._renderer_state = renderer.init_state(slots)
            self._controls = control_row().repeat(slots, 1).to(device)
            self._moved = torch.zeros(slots, self.motion_dim, device=device)
        self._alone = tuple(
            (slot_views(self._features_state, n), slot_views(self._motion_state, n))
            for n in range(slots)
        )

    @property
    def backends(self) -> tuple[str, ...]:
        """See `pipelines.pipeline.HasBackends`."""
        return tuple(self._motions)

    def use_backend(self, name: str) -> None:
        """See `pipelines.pipeline.HasBackends`."""
        self.motion = self._motions[name]
        self._motions = {name: self.motion}

    def time_backends(self) -> dict[str, float]:
        """See `pipelines.pipeline.HasBackends`."""
        slots = 1 if self._one_by_one else self.slots
        return time_steps(self._motions, TIMED_HOPS, slots=slots, device=self.device)

    @property
    def _states(self) -> tuple[SlotState, ...]:
        return self._features_state, self._motion_state, self._renderer_state

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        for each in sizes_up_to(self._sizes_for(identity), size):
            self.renderer.prepare(identity, each)

    def set_identity(self, slot: int, identity: IdentityFeatures, size: Size) -> None:
        sizes = sizes_up_to(self._sizes_for(identity), size)
        self.renderer.set_identity(slot, identity, sizes)
        with torch.inference_mode():
            self.motion.set_identity(self._motion_state, slot, identity)

    def set_controls(self, slot: int, values: dict[str, float]) -> None:
        with torch.inference_mode():
            self._controls[slot] = control_row(**values).to(self.device)

    @torch.inference_mode()
    def reset(self, slot: int, seed: int) -> None:
        slots = torch.zeros(self.slots, dtype=torch.bool, device=self.device)
        slots[slot] = True
        seeds = torch.full((self.slots,), seed, dtype=torch.int64, device=self.device)
        self.motion.set_seed(self._motion_state, slots, seeds)
        for state in self._states:
            state.reset(slots)
        self._controls[slot] = control_row().to(self.device)

    def still(self, slot: int, batch: Batch) -> None:
        with torch.inference_mode():
            self.renderer.still(slot, batch)

    def step(self, batch: Batch) -> None:
        tensors = batch.tensors  # made outside inference mode, for they outlive it
        with torch.inference_mode():
            self._step(batch, tensors)

    def _step(self, batch: Batch, tensors: dict[str, Tensor]) -> None:
        hops, speech, active = (tensors[n].to(self.device) for n in ("hops", "speech", "active"))
        if batch.clear.any():
            for state in self._states:
                state.clear(tensors["clear"].to(self.device))
        if batch.listens.any():
            self.motion.listen(self._motion_state, tensors["listens"].to(self.device))
        motion = self._move(hops, speech, active, np.flatnonzero(batch.active))
        slots = np.flatnonzero(batch.draw).tolist()
        self.renderer.step(motion, self._renderer_state, active, slots, batch)
        batch.drawn[:] = batch.draw
        behaviour = self.motion.behaviour(self._motion_state)
        for held, new in ((tensors["motion"], motion), (tensors["behaviour"], behaviour)):
            masked_write(held, new.to(held.device), tensors["active"])

    def _move(
        self, hops: Tensor, speech: Tensor, active: Tensor, stepped: NDArray[np.int64]
    ) -> Tensor:
        """Motion float32 [B, D]; rows that do not step hold anything."""
        if not self._one_by_one or len(stepped) != 1:
            heard = self.features.step(hops, self._features_state, active)
            return self.motion.step(heard, speech, self._controls, self._motion_state, active)
        # The engine steps a slot at a time on a CPU; the others would be computed for nothing.
        n = int(stepped[0])
        row = slice(n, n + 1)
        features, state = self._alone[n]
        heard = self.features.step(hops[row], features, active[row])
        self._moved[row] = self.motion.step(
            heard, speech[row], self._controls[row], state, active[row]
        )
        return self._moved


def sizes_up_to(sizes: tuple[Size, ...], size: Size) -> tuple[Size, ...]:
    """What a slot of `size` may be drawn at, of rising `sizes`.

    Raises:
        ValueError: there is no such size.
    """
    if size not in sizes:
        known = ", ".join(f"{width} x {height}" for width, height in sizes)
        raise ValueError(f"pictures of {size[0]} x {size[1]}; there are {known}")
    return sizes[: sizes.index(size) + 1]


def look_ahead_of(features: Features, motion: MotionModel) -> int:
    """Samples that a frame is late; ValueError where they are not whole hops."""
    look_ahead = features.look_ahead + motion.look_ahead
    if look_ahead % HOP_SAMPLES:
        raise ValueError(f"look-ahead of {look_ahead} samples is not whole hops")
    return look_ahead
