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
from pipelines.baked import SlotFaces
from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.pipeline import Size
from pipelines.portrait.bake import CACHE, Baked
from pipelines.portrait.frame import Box, draw, plan
from pipelines.portrait.pose import head_pose
from pipelines.renderer import picture_row
from pipelines.streaming import SlotState, Stateless

_SHAPES = len(BLENDSHAPES)
_OPEN, _CLOSE = MOTION_INDEX["jawOpen"], MOTION_INDEX["mouthClose"]


class PortraitRenderer:
    """See `pipelines.renderer.Renderer`. A frame depends on its motion alone."""

    motion_dim = MOTION_DIM

    def __init__(
        self, slots: int, sizes: Sequence[Size], device: torch.device | str = "cpu"
    ) -> None:
        self._faces = SlotFaces(CACHE, slots, len(sizes), torch.device(device))

    def init_state(self, batch: int) -> Stateless:
        return Stateless()

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        self._faces.prepare(identity, size)

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        self._faces.set(slot, identity, sizes)

    def step(
        self, motion: Tensor, state: SlotState, active: Tensor, slots: Sequence[int], batch: Batch
    ) -> None:
        for slot in slots:
            self._draw(motion[slot], slot, batch)

    def still(self, slot: int, batch: Batch) -> None:
        self._draw(torch.zeros(MOTION_DIM), slot, batch)

    def _draw(self, motion: Tensor, slot: int, batch: Batch) -> None:
        baked = self._faces.get(slot, batch.size_of(slot))
        with picture_row(batch, slot, baked.person.device) as planes:
            draw_i420(baked, motion, planes)


@torch.inference_mode()
def draw_i420(baked: Baked, motion: Tensor, planes: Tensor) -> None:
    """Draw one frame of motion [MOTION_DIM] into I420 `planes` (uint8 [1, S * 3 / 2, S])."""
    planes[0] = baked.behind_i420
    for (rows, columns), rgb in _boxes(baked, motion):
        write_i420(rgb, planes, rows.start, columns.start)


@torch.inference_mode()
def draw_rgb(baked: Baked, motion: Tensor) -> Tensor:
    """One frame of motion [MOTION_DIM] as RGB uint8 [S, S, 3]."""
    picture = torch.empty(baked.size, baked.size, 3, dtype=torch.uint8, device=baked.behind.device)
    picture[:] = _bytes(baked.behind)
    for (rows, columns), rgb in _boxes(baked, motion):
        picture[rows, columns] = _bytes(rgb)
    return picture


def _boxes(baked: Baked, motion: Tensor) -> Iterator[tuple[Box, Tensor]]:
    if motion.shape != (MOTION_DIM,):
        raise ValueError(f"motion must be [{MOTION_DIM}], got {list(motion.shape)}")
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
