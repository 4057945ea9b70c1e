"""The `portrait` renderer: motion and cached identities to frames, slot by slot.

Two layers of skin part at the lips and at each pair of lids. All motion is a displacement of the
photo, kept on coarse lattices; each layer's displacement is inverted there (Newton), brought to
pixels, and the person is sampled once: as bytes on a CPU, as tensors elsewhere. What lies behind
the openings is painted into small windows that follow the head. The background never moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipelines.baked import SlotFaces
from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures
from pipelines.motion.lip_closure import parting_weights
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.photo.geometry import Array, single
from pipelines.pipeline import Size
from pipelines.portrait import draw_bytes, draw_tensors
from pipelines.portrait.bake import CACHE, Baked
from pipelines.portrait.eye_composite import raised, sunk
from pipelines.portrait.frame import Plan, plan
from pipelines.portrait.pose import head_pose
from pipelines.portrait.rules import BLINK, HELD, LINE, WHOLE, WIDE
from pipelines.renderer import picture_row
from pipelines.streaming import SlotState, Stateless

_SHAPES = len(BLENDSHAPES)
_PARTING: list[float] = parting_weights()[:_SHAPES].tolist()
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
    """Draw one frame of motion [MOTION_DIM] into I420 `planes` (uint8 [1, H * 3 / 2, W])."""
    draw = draw_bytes if _on_cpu(baked) else draw_tensors
    draw.draw_i420(baked, planned(baked, motion), planes)


@torch.inference_mode()
def draw_rgb(baked: Baked, motion: Tensor) -> Tensor:
    """One frame of motion [MOTION_DIM] as RGB uint8 [H, W, 3]."""
    draw = draw_bytes if _on_cpu(baked) else draw_tensors
    picture: Tensor = draw.draw_rgb(baked, planned(baked, motion))
    return picture


def _on_cpu(baked: Baked) -> bool:
    return baked.person.device.type == "cpu"


def planned(baked: Baked, motion: Tensor) -> Plan:
    """Work out a frame of motion [MOTION_DIM]."""
    if motion.shape != (MOTION_DIM,):
        raise ValueError(f"motion must be [{MOTION_DIM}], got {list(motion.shape)}")
    values = motion.tolist()
    return plan(baked, shape_weights(values), head_pose(values, baked.face), values)


def shape_weights(values: Sequence[float]) -> Array:
    """Weights of `pipelines.portrait.basis.FIELDS`, [1, K], for the `values` [D] of a motion.

    The lips cannot close further than the jaw has opened them. They part in the middle first. Upper
    lids rise and sink with the gaze.
    """
    weights = [float(v) for v in values[:_SHAPES]]
    weights[_CLOSE] = min(weights[_CLOSE], max(0.0, weights[_OPEN]))
    for eye, wide in enumerate(WIDE):
        weights[wide] += raised(values, eye)
        weights[BLINK[eye]] = sunk(values, eye)
    parting = sum(w * share for w, share in zip(weights, _PARTING, strict=True))
    held = 1.0 - _smooth((parting - HELD) / (WHOLE - HELD))
    parted = _smooth((parting - LINE[0]) / (LINE[1] - LINE[0]))
    return single([[*weights, max(0.0, parting) * held, parted, parted * (1.0 - held), 1.0]])


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)
