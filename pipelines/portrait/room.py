"""How much room the largest allowed face takes in the tables of a size.

A face is at most 0.8 of its canvas high (larger ones get more around them at enrolment). Of
thirty portraits the largest was 0.68, and took half of what there is room for here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.portrait_layout import STRIP, Faces, Real, Whole
from pipelines.pipeline import Size
from pipelines.portrait.batched_face import EDGE, USED, BatchedFace, Opening, Rig, Shapes
from pipelines.portrait.rules import FIELDS, MARGIN, NODES
from pipelines.portrait.teeth import BOTTOM, HALF_WIDTH, MILLIMETRE, TOP

MOST_SHARE = 0.8  # of the canvas that a face is high: `pipelines.photo.crop`
_LATTICES = (6144, 3072)  # nodes around a mouth, an eye; the largest took 3300 and 1000
_PATCHES = (8192, 3072)  # nodes of a patch; 3500 and 900
_FINEST = 97  # nodes along a canvas whose lattice is as fine as any: of 190 pixels
_HALF_EYE = 0.125  # of a face's height; most are below 0.1
# Texels of the mouth's pictures in a millimetre, at least and at most, and in a pixel.
_COARSEST, _DENSEST, _DENSER = 0.8, 5.0, 1.3


def largest(size: Size) -> BatchedFace:
    """Of frames of `size`, with a canvas at most as high as they are (in a photo's own shape it may
    be far smaller); tensors without memory."""
    width, height = size
    eye = _eye_texels(height)
    return BatchedFace(
        nodes=(_FINEST**2, *_PATCHES),
        rig=Rig(
            axes=_real(2, 2),
            origin=_real(2),
            unit=_real(),
            interocular=_real(),
            side=_real(),
            corner=_real(2),
            first=_real(2),
            mouth=_real(4),
            mouth_anchor=_real(4),
            mouth_size=_real(2),
            eye_corners=_real(2, 2),
        ),
        shapes=Shapes(
            skin=_real(len(FIELDS), 3, NODES**2),
            mouth=_real(USED, 8, _LATTICES[0]),
            eyes=_real(USED, 16, _LATTICES[1]),
        ),
        skin=_real(4, NODES**2),
        mouth=_opening(1, _LATTICES[0]),
        eyes=_opening(2, _LATTICES[1]),
        pictures=Faces(
            person=_bytes((height + 2 * max(1, round(MARGIN * height))) ** 2, 4),
            behind=_bytes(width * height, 3),
            mouth=_bytes(3, _mouth_texels(height), 4),
            eyes=_bytes(2, 4, eye, 4),
            lids=_real(2, eye, 4),
            lips=_real(2, 3, STRIP),
            whole=_whole(len(Whole)),
            real=_real(Real.LASHES + 3),
        ),
    )


def _opening(count: int, nodes: int) -> Opening:
    return Opening(
        used=_index(USED),
        pose=_real(4, count, nodes),
        shape=_whole(2),
        nodes=_whole(2),
        step=_whole(),
        scale=_real(2),
        origin=_real(count, 2),
        centres=_real(count, 2),
        anchors=_real(count, 4),
        edge=_index(EDGE),
        below=_real(),
    )


def _mouth_texels(side: int) -> int:
    """Of one picture of `teeth`, for a face as large as any on a canvas of `side` pixels."""
    dense = min(max(_COARSEST, _DENSER * MILLIMETRE * MOST_SHARE * side), _DENSEST)
    return (round(2 * HALF_WIDTH * dense) + 2) * (round((BOTTOM - TOP) * dense) + 2)


def _eye_texels(side: int) -> int:
    """Of one picture of `eyeball.paint_eyeballs`, likewise."""
    reach = _HALF_EYE * MOST_SHARE * side
    return (round(3.0 * reach) + 1) * (round(2.4 * reach) + 1)


def _real(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device="meta")


def _bytes(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.uint8, device="meta")


def _whole(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.int32, device="meta")


def _index(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.int64, device="meta")
