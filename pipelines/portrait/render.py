"""The `portrait` renderer: motion and cached identities to frames, slot by slot.

Two layers of skin part at the lips and at each pair of lids. All motion is a displacement of the
photo, kept on coarse lattices; each layer's displacement is inverted there (fixed point), brought
to pixels, and the person is sampled once. What lies behind the openings is painted into small
windows that follow the head. The background never moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from kernels.i420 import write_i420
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.portrait.bake import CACHE, Baked
from pipelines.portrait.frame import Box, draw, plan
from pipelines.portrait.pose import head_pose

SIZES = (256, 512)
_SHAPES = len(BLENDSHAPES)
_OPEN, _CLOSE = MOTION_INDEX["jawOpen"], MOTION_INDEX["mouthClose"]


class PortraitRenderer:
    """Renders the portraits of up to `slots` sessions at one size."""

    def __init__(self, slots: int, size: int = 512, device: torch.device | str = "cpu") -> None:
        if size not in SIZES:
            raise ValueError(f"size must be one of {SIZES}, got {size}")
        if slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        self.slots = slots
        self.size = size
        self.device = torch.device(device)
        self._identities: list[Baked | None] = [None] * slots

    def set_identity(self, slot: int, identity: IdentityFeatures) -> None:
        """Give `slot` a face, from the next render on. Instant once `bake.prepare` has run."""
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot must be in 0..{self.slots - 1}, got {slot}")
        self._identities[slot] = CACHE.get(identity, self.size, self.device)

    def render(self, motion: Tensor, slots: Sequence[int]) -> Tensor:
        """Draw one frame per row of `motion` [N, MOTION_DIM] as I420 uint8 [N, S * 3 / 2, S]."""
        self._check(motion, slots)
        shape = (len(slots), self.size * 3 // 2, self.size)
        with torch.inference_mode():
            planes = torch.empty(shape, dtype=torch.uint8, device=self.device)
            for i, slot in enumerate(slots):
                baked = self._baked(slot)
                planes[i] = baked.behind_i420
                for (rows, columns), rgb in _draw(baked, motion[i]):
                    write_i420(rgb, planes[i : i + 1], rows.start, columns.start)
        return planes

    def render_rgb(self, motion: Tensor, slots: Sequence[int]) -> Tensor:
        """Draw one frame per row of `motion` [N, MOTION_DIM] as RGB uint8 [N, S, S, 3]."""
        self._check(motion, slots)
        shape = (len(slots), self.size, self.size, 3)
        with torch.inference_mode():
            pictures = torch.empty(shape, dtype=torch.uint8, device=self.device)
            for i, slot in enumerate(slots):
                baked = self._baked(slot)
                pictures[i] = _bytes(baked.behind)
                for (rows, columns), rgb in _draw(baked, motion[i]):
                    pictures[i, rows, columns] = _bytes(rgb)
        return pictures

    def _check(self, motion: Tensor, slots: Sequence[int]) -> None:
        if motion.dim() != 2 or motion.shape != (len(slots), MOTION_DIM):
            raise ValueError(
                f"motion must be [{len(slots)}, {MOTION_DIM}] for {len(slots)} slots, "
                f"got {tuple(motion.shape)}"
            )

    def _baked(self, slot: int) -> Baked:
        baked = self._identities[slot]
        if baked is None:
            raise ValueError(f"slot {slot} has no identity; call set_identity first")
        return baked


def _draw(baked: Baked, motion: Tensor) -> Iterator[tuple[Box, Tensor]]:
    values = motion.tolist()
    device = baked.person.device
    weights = shape_weights(motion.to(device))
    pose = head_pose(values, baked.face, device)
    return draw(baked, plan(baked, weights, pose, values))


def _bytes(rgb: Tensor) -> Tensor:
    """RGB float32 [1, 3, h, w] in [0, 1] to bytes [h, w, 3]."""
    return (rgb[0] * 255.0).round().clamp_(0, 255).permute(1, 2, 0)


def shape_weights(motion: Tensor) -> Tensor:
    """Weights of the fields, [1, K + 1]: the blendshapes of `motion` [D], then the resting face.

    The lips cannot close further than the jaw has opened them.
    """
    weights = torch.cat([motion[:_SHAPES], motion.new_ones(1)])
    weights[_CLOSE] = torch.minimum(weights[_CLOSE], weights[_OPEN].clamp(min=0.0))
    return weights[None]
