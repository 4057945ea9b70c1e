"""Pipelines made of streaming modules: features -> motion -> renderer, over a batch.

    hops [B, 640] -> features -> motion [B, D] -> pictures into the batch's planes

Each module holds its state by slot; clear and reset reach all three. Nothing here depends on which
modules they are. The frame that a hop completes lies `look_ahead` samples before that hop.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.motion.model import MotionModel
from pipelines.pipeline import HOP_SAMPLES, Size
from pipelines.renderer import Renderer
from pipelines.streaming import SlotState, masked_write


class ComposedPipeline:
    """See `pipelines.pipeline.Pipeline`.

    Args:
        sizes: that the renderer draws, smallest first.
        motion, renderer: for this pipeline alone; the renderer has `slots` slots.

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
    ) -> None:
        if slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        self.slots = slots
        self.sizes = sizes
        self.device = device
        self.motion = motion.to(device)
        self.features = motion.features()
        self.renderer = renderer
        self.motion_dim = renderer.motion_dim
        self.look_ahead = self.features.look_ahead + motion.look_ahead
        if self.look_ahead % HOP_SAMPLES:
            raise ValueError(f"look-ahead of {self.look_ahead} samples is not whole hops")
        with torch.inference_mode():
            self._features_state: SlotState = self.features.init_state(slots, device)
            self._motion_state: SlotState = self.motion.init_state(slots, device)
            self._renderer_state = renderer.init_state(slots)
            self._controls = control_row().repeat(slots, 1).to(device)

    @property
    def _states(self) -> tuple[SlotState, ...]:
        return self._features_state, self._motion_state, self._renderer_state

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        for each in self._up_to(size):
            self.renderer.prepare(identity, each)

    def set_identity(self, slot: int, identity: IdentityFeatures, size: Size) -> None:
        self.renderer.set_identity(slot, identity, self._up_to(size))
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
        heard = self.features.step(hops, self._features_state, active)
        motion = self.motion.step(heard, speech, self._controls, self._motion_state, active)
        slots = np.flatnonzero(batch.draw).tolist()
        self.renderer.step(motion, self._renderer_state, active, slots, batch)
        batch.drawn[:] = batch.draw
        behaviour = self.motion.behaviour(self._motion_state)
        for held, new in ((tensors["motion"], motion), (tensors["behaviour"], behaviour)):
            masked_write(held, new.to(held.device), tensors["active"])

    def _up_to(self, size: Size) -> tuple[Size, ...]:
        """What a slot of `size` may be drawn at."""
        if size not in self.sizes:
            known = ", ".join(f"{width} x {height}" for width, height in self.sizes)
            raise ValueError(f"pictures of {size[0]} x {size[1]}; there are {known}")
        return self.sizes[: self.sizes.index(size) + 1]
