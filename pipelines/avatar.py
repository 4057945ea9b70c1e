"""The avatar pipeline: one hop of sound in, one frame of face out, for every active slot.

    hop [B, 640] -> features -> motion model -> renderer -> I420 planes

The preset names the parts; nothing here depends on which it is. The pipeline owns its streaming
state. It knows nothing of clocks, queues or networks: whoever drives it passes hops and gets
frames, and the frame that a hop completes lies `look_ahead` samples before that hop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import Controls
from pipelines.motion.model import MotionModel
from pipelines.parts import Renderer, parts_of
from pipelines.presets import HOP_SAMPLES, Preset, find_preset


@dataclass(frozen=True)
class StepResult:
    """What one step made.

    motion: float32 [B, D], what `Preset.motion_names` says, or a code; rows of inactive slots are
        meaningless.
    behaviour: int8 [B], an index into `pipelines.motion.space.BEHAVIOURS`.
    frames: slot -> uint8 [size * 3 // 2, size], I420 planes; only for the slots asked for.
    """

    motion: Tensor
    behaviour: Tensor
    frames: dict[int, Tensor]


class AvatarPipeline:
    """A preset with `slots` rows of streaming state.

    Args:
        preset: a name in `PRESETS`, or a preset with weights of the caller's choice.
        slots: the number of rows, fixed for life.
        size: picture size of a slot until `set_identity` says otherwise, one of the preset's.
        device: "cpu" or "cuda".
        seed: seed of the motion of slot 0; slot s starts with seed + s.
        motion: another motion model than the preset's.

    Raises:
        ValueError: unknown preset or size, no slots, or weights that are not installed.
    """

    def __init__(
        self,
        preset: str | Preset = "portrait",
        slots: int = 1,
        size: int = 512,
        device: str = "cpu",
        seed: int = 0,
        motion: MotionModel | None = None,
    ) -> None:
        self.preset = find_preset(preset) if isinstance(preset, str) else preset
        if slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        self.slots = slots
        self.device = device
        self._check_size(size)
        self._sizes = [size] * slots
        self._parts = parts_of(self.preset)
        self._make_renderer = self._parts.renderers(slots, device)
        self._renderers: dict[int, Renderer] = {}
        self._motion: MotionModel = (motion or self._parts.motion()).to(device)
        self._features = self._motion.features()
        with torch.inference_mode():
            seeds = torch.arange(slots, dtype=torch.int64, device=device) + seed
            self._features_state = self._features.init_state(slots, device)
            self._motion_state = self._motion.init_state(slots, device, seeds)
            self._controls = Controls().to_tensor().repeat(slots, 1).to(device)
        if self.look_ahead % HOP_SAMPLES:
            raise ValueError(f"look-ahead of {self.look_ahead} samples is not whole hops")

    @property
    def look_ahead(self) -> int:
        """Samples after a frame's own hop that must be heard before it can be drawn."""
        return self._features.look_ahead + self._motion.look_ahead

    def _check_size(self, size: int) -> None:
        if size not in self.preset.sizes:
            raise ValueError(f"size must be one of {self.preset.sizes}, got {size}")

    def _renderer(self, size: int) -> Renderer:
        if size not in self._renderers:
            self._renderers[size] = self._make_renderer(size)
        return self._renderers[size]

    def _sizes_up_to(self, size: int) -> list[int]:
        """What a slot of `size` pixels may be drawn at."""
        return [smaller for smaller in self.preset.sizes if smaller <= size]

    def prepare(self, identity: IdentityFeatures, size: int) -> None:
        """Do ahead what takes long about a face, from any thread; `set_identity` is then quick."""
        for each in self._sizes_up_to(size):
            self._parts.prepare(identity, each, self.device)

    def set_identity(self, slot: int, identity: IdentityFeatures, size: int | None = None) -> None:
        """Give `slot` a face from its next frame on; its motion goes on undisturbed.

        size: of its pictures from now on, in pixels, one of the preset's.
        """
        if size is not None:
            self._check_size(size)
            self._sizes[slot] = size
        for each in self._sizes_up_to(self._sizes[slot]):
            self._renderer(each).set_identity(slot, identity)
        with torch.inference_mode():
            self._motion.set_identity(self._motion_state, slot, identity)

    def set_controls(self, slot: int, controls: Controls) -> None:
        """Set the behaviour controls of `slot` from its next hop on."""
        with torch.inference_mode():
            self._controls[slot] = controls.to_tensor().to(self.device)

    @torch.inference_mode()
    def reset(self, slot: int, seed: int) -> None:
        """Start `slot` over as if nothing had been heard, with the motion of `seed`."""
        slots = torch.zeros(self.slots, dtype=torch.bool, device=self.device)
        slots[slot] = True
        seeds = torch.full((self.slots,), seed, dtype=torch.int64, device=self.device)
        self._motion.set_seed(self._motion_state, slots, seeds)
        self._features_state.reset(slots)
        self._motion_state.reset(slots)
        self._controls[slot] = Controls().to_tensor().to(self.device)

    @torch.inference_mode()
    def step(
        self,
        hops: Tensor,
        speech: Tensor,
        active: Tensor,
        render: Tensor,
        max_size: int | None = None,
    ) -> StepResult:
        """Hear one hop in the slots of `active` and draw the slots of `render`.

        Args:
            hops: float32 [B, 640], samples in [-1, 1] at 16 kHz.
            speech: bool [B], whether the hop holds a voice (VAD).
            active: bool [B], slots whose state advances.
            render: bool [B], slots to draw; a subset of `active` that have an identity.
            max_size: draw no larger than this, one of the preset's sizes; costs nothing to change.
        """
        features = self._features.step(hops, self._features_state, active)
        motion = self._motion.step(features, speech, self._controls, self._motion_state, active)
        frames: dict[int, Tensor] = {}
        wanted = [slot for slot, on in enumerate(render.tolist()) if on]
        sizes = [size if max_size is None else min(size, max_size) for size in self._sizes]
        for size in sorted({sizes[slot] for slot in wanted}):
            slots = [slot for slot in wanted if sizes[slot] == size]
            planes = self._renderer(size).render(motion[slots], slots)
            frames.update(zip(slots, planes, strict=True))
        return StepResult(motion, self._motion.behaviour(self._motion_state), frames)
