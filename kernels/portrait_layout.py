"""What a frame of the `portrait` system is drawn from: tables of faces, and places of one frame."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

from torch import Tensor

STRIP = 96  # colours along the inner side of a lip


class Whole(IntEnum):
    """Columns of `Faces.whole`."""

    LEFT, TOP, RIGHT, BOTTOM = 0, 1, 2, 3  # pixels of the frame between which anything moves
    STEP, COLUMNS, ROWS = 4, 5, 6  # of `Placed.base`: pixels between nodes, nodes
    PERSON, MARGIN = 7, 8  # a side of `Faces.person`, and what of it lies around the canvas
    FINE = 9  # pixels between the nodes of a patch
    MOUTH_COLUMNS, MOUTH_ROWS, EYE_COLUMNS, EYE_ROWS = 10, 11, 12, 13  # these nodes
    MOUTH_WIDTH, MOUTH_HEIGHT = 14, 15  # of `Faces.mouth`
    EYE_WIDTH, EYE_HEIGHT = 16, 17  # of `Faces.eyes`


class Real(IntEnum):
    """Columns of `Faces.real`; colours take three."""

    MILLIMETRE = 0  # of the mouth, in a pixel
    STRIP_X, STRIP_Y, STRIP_START = 1, 2, 3  # pixels of the canvas to a place along a lip
    LASH = 4  # 0.01 face heights, in pixels
    CAVITY, SHADOW, LASHES = 5, 8, 11


@dataclass(frozen=True)
class Faces:
    """What the faces of a batch are drawn from, a row each, at frames of one size.

    Pictures lie flat, row by row, each in as much of its row as it takes (`whole` says how much),
    and are RGBA, premultiplied, but for `behind`.
    """

    person: Tensor  # uint8 [R, P, 4]
    behind: Tensor  # uint8 [R, H * W, 3]: the frame without the person
    mouth: Tensor  # uint8 [R, 3, M, 4]: tongue, lower teeth, upper teeth
    eyes: Tensor  # uint8 [R, 2, 4, E, 4] right, left: white with its shade, iris, catch light, lid
    lids: Tensor  # float32 [R, 2, E, 4]: pixels below the rim, pixels of travel, lashes' line, each
    lips: Tensor  # float32 [R, 2, 3, STRIP]: inner side of the upper and the lower lip
    whole: Tensor  # int32 [R, len(Whole)]
    real: Tensor  # float32 [R, Real.LASHES + 3]


@dataclass(frozen=True)
class Placed:
    """Where n frames come from. Patches are those of the mouth, the right eye and the left one."""

    base: Tensor  # float32 [n, 3, B]: x and y in pixels of the canvas, shade, on nodes of the frame
    mouth: Tensor  # float32 [n, 2, 4, F]: the same, and pixels inside, of the upper, lower skin
    eyes: Tensor  # float32 [n, 2, 2, 4, G]
    boxes: Tensor  # int32 [n, 3, 4] left, top, width, height of the patches, pixels of the frame
    maps: Tensor  # float32 [n, 7, 6]: pixel of the frame to place in a picture (x from x, y, 1; y):
    # tongue, lower teeth, upper teeth; what stays and what looks of the right eye; of the left one
    shut: Tensor  # float32 [n, 2]: how far the upper lids are down


def tensors_of(part: Faces | Placed) -> list[Tensor]:
    """In the order of the fields."""
    return [getattr(part, field.name) for field in fields(part)]
