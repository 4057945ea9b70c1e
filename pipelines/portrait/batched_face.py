"""One face at one frame size as tensors alone: what a batch draws it from.

Held by `pipelines.portrait.tables`, where each tensor has a row for every face.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kernels.portrait_layout import Faces

EDGE = 128  # nodes along the edge of a lower skin, at most
USED = 32  # fields that change anything around an opening, at most


@dataclass(frozen=True)
class Rig:
    """Small numbers that its motion is worked out from, float32."""

    axes: Tensor  # [2, 2]: see `Face`
    origin: Tensor  # [2] see `Face`
    unit: Tensor  # [] see `Face`
    interocular: Tensor  # [] face units
    side: Tensor  # [] pixels of the canvas
    corner: Tensor  # [2] left, top of the canvas in the frame, pixels
    first: Tensor  # [2] left, top of what the frame shows of the canvas, pixels of the canvas
    mouth: Tensor  # [4] middle, mm at which lips meet, at which upper teeth end, width scale
    mouth_anchor: Tensor  # [4] pose fields of the teeth
    mouth_size: Tensor  # [2] width and height of the mouth's pictures, texels
    eye_corners: Tensor  # [2, 2] left, top of the eyes' pictures, pixels of the canvas


@dataclass(frozen=True)
class Shapes:
    """What each shape moves, on flat lattices, float32: dx, dy in cells, then px inside, shade."""

    skin: Tensor  # [K, 3, NODES * NODES]: of the whole picture, without px inside
    mouth: Tensor  # [USED, 8, M]: each of the four of the upper, then of the lower skin
    eyes: Tensor  # [USED, 16, M]: likewise, each of the right, then of the left eye


@dataclass(frozen=True)
class Opening:
    """Openings of one kind, the mouth or both eyes: see `LipsOrLids`. Lattices lie flat."""

    used: Tensor  # int64 [USED]: which shapes change anything here, then any
    pose: Tensor  # float32 [4, count, M]: for both skins
    shape: Tensor  # int32 [2] rows and columns of the lattice
    nodes: Tensor  # int32 [2] rows and columns of the patch's nodes
    step: Tensor  # int32 [] pixels between these
    scale: Tensor  # float32 [2]
    origin: Tensor  # float32 [count, 2]
    centres: Tensor  # float32 [count, 2]
    anchors: Tensor  # float32 [count, 4]
    edge: Tensor  # int64 [EDGE] nodes on the edge of the first lower skin
    below: Tensor  # float32 []


@dataclass(frozen=True)
class BatchedFace:
    """All of it."""

    nodes: tuple[int, int, int]  # followed back in a frame: of all of it, the mouth, each eye
    rig: Rig
    shapes: Shapes
    skin: Tensor  # float32 [4, NODES * NODES]: pose fields on the canvas's lattice
    mouth: Opening
    eyes: Opening
    pictures: Faces
