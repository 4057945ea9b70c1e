"""The `portrait` renderer of a batch: tables of faces, and frames as tensors of fixed shapes.

Nothing reads a value back, so a step can be captured in a graph. Three kernels do the work in
seven launches (shapes of skin, lips and lids; their lattices followed back; the frame), and some
420 small operations, most on a few numbers of each face, lie between. On a CPU `render` is faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.blend import blend
from kernels.portrait_frame import portrait_frame
from kernels.portrait_layout import Placed
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import MOTION_DIM
from pipelines.pipeline import Size
from pipelines.portrait.batched_face import BatchedFace, Opening
from pipelines.portrait.batched_flow import base_flow, traced
from pipelines.portrait.batched_motion import head_poses, shape_weights, shut
from pipelines.portrait.batched_windows import picture_maps
from pipelines.portrait.rules import EYE_ITERATIONS, MOUTH_ITERATIONS, NODES
from pipelines.portrait.tables import FaceTables, picked
from pipelines.streaming import SlotState, masked_write
from pipelines.uploads import Brought

_RUNGS = 3  # sizes of a face in its frame, at most


@dataclass
class Motion(SlotState):
    """Of the frame to draw."""

    motion: Tensor  # float32 [B, MOTION_DIM]


class BatchedPortrait:
    """See `pipelines.renderer.BatchedRenderer`. A frame depends on its motion alone.

    Args:
        sizes: whose tables are there from the beginning, so that graphs may be captured of them.
    """

    motion_dim = MOTION_DIM

    def __init__(
        self, slots: int, sizes: Sequence[Size], device: torch.device | str = "cpu"
    ) -> None:
        self.slots = slots
        self.device = torch.device(device)
        self._tables = FaceTables(slots, sizes, self.device)
        self._brought = Brought(self.device, _made_of, sizes=_RUNGS)

    def init_state(self, batch: int) -> Motion:
        return Motion(torch.zeros(batch, MOTION_DIM, device=self.device))

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """See `BatchedRenderer.prepare`.

        Raises:
            ValueError: the face is larger than there is room for.
        """
        self._tables.check(size, _made_of(identity, size))
        self._brought.prepare(identity, size)

    def set_identity(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        """See `BatchedRenderer.set_identity`.

        Raises:
            ValueError: the face is larger than there is room for.
        """
        self.set_face(slot, {size: self._brought.of(identity, size) for size in sizes})

    def set_face(self, slot: int, faces: Mapping[Size, BatchedFace]) -> None:
        """As `set_identity`, of what was made of it before."""
        self._tables.write(slot, faces)

    def advance(
        self, motion: Tensor, hops: Tensor, speech: Tensor, state: SlotState, active: Tensor
    ) -> None:
        assert isinstance(state, Motion)
        masked_write(state.motion, motion, active)

    def draw(self, size: Size, rows: Tensor, state: SlotState, planes: Tensor) -> None:
        assert isinstance(state, Motion)
        self._draw(size, rows, state.motion[rows], planes)

    def still(self, size: Size, slot: int, planes: Tensor) -> None:
        rows = torch.full((1,), slot, device=self.device)
        self._draw(size, rows, torch.zeros(1, MOTION_DIM, device=self.device), planes[None])

    def _draw(self, size: Size, slots: Tensor, motion: Tensor, planes: Tensor) -> None:
        faces, row_of = self._tables.of(size)
        rows = row_of[slots]
        portrait_frame(faces.pictures, placed(faces, rows, motion), rows, size, planes)


def _made_of(identity: IdentityFeatures, size: Size) -> BatchedFace:
    """What a batch draws it from. OpenCV and others that enrol are only wanted for this."""
    from pipelines.portrait.batched_bake import CACHE

    return CACHE.get(identity, size, torch.device("cpu"))


def placed(faces: BatchedFace, rows: Tensor, motion: Tensor) -> Placed:
    """Work out frames of motion [n, D] of the faces in `rows` (int64 [n]) of a table."""
    rig, mouth, eyes = picked(faces.rig, rows), picked(faces.mouth, rows), picked(faces.eyes, rows)
    whole, pose, shapes = faces.pictures.whole[rows], faces.skin[rows], faces.shapes
    weights, poses = shape_weights(motion), head_poses(motion, rig)
    every = torch.full_like(whole[:, 0], NODES**2)
    skin = blend(weights, shapes.skin, rows, every)
    of_all, of_mouth, of_eye = faces.nodes

    def followed(table: Tensor, part: Opening, iterations: int, room: int) -> tuple[Tensor, Tensor]:
        nodes = part.shape.prod(dim=1, dtype=torch.int32)
        shown = blend(weights.gather(1, part.used), table, rows, nodes)
        return traced(shown, part, rig, iterations, room, poses)

    lips, lip_boxes = followed(shapes.mouth, mouth, MOUTH_ITERATIONS, of_mouth)
    lids, lid_boxes = followed(shapes.eyes, eyes, EYE_ITERATIONS, of_eye)
    return Placed(
        base=base_flow(skin, pose, rig, whole, of_all, poses),
        mouth=lips[:, 0],
        eyes=lids,
        boxes=torch.cat([lip_boxes, lid_boxes], dim=1),
        maps=picture_maps(motion, rig, eyes, poses),
        shut=shut(motion),
    )
