"""Identity features to what a batch draws a face from: a `Baked`, laid out as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kernels.portrait_layout import Faces, Real, Whole
from pipelines.baked import BakedCache
from pipelines.identity import IdentityFeatures
from pipelines.photo.geometry import single
from pipelines.pipeline import Size
from pipelines.portrait import bake
from pipelines.portrait.bake import Baked
from pipelines.portrait.batched_face import EDGE, USED, BatchedFace, Opening, Rig, Shapes
from pipelines.portrait.inside_mouth import mouth_place
from pipelines.portrait.lips_and_lids import LipsOrLids
from pipelines.portrait.rules import FIELDS, NODES


def batched_face(baked: Baked) -> BatchedFace:
    """Tensors on the CPU, as large as this face needs them."""
    lattices = (baked.nodes, baked.mouth.coarse, baked.eyes.coarse)
    base, mouth, eye = (lattice[0].size for lattice in lattices)
    return BatchedFace(
        nodes=(base, mouth, eye),
        rig=_rig(baked),
        shapes=Shapes(_skin(baked), _shapes(baked.mouth), _shapes(baked.eyes)),
        skin=_real(baked.pose),
        mouth=_opening(baked.mouth),
        eyes=_opening(baked.eyes),
        pictures=_pictures(baked),
    )


def _rig(baked: Baked) -> Rig:
    face, placement, inside = baked.face, baked.placement, baked.inside
    rows, columns = baked.visible
    height, width = inside.pictures.shape[1:3]
    middle, wide = mouth_place(face)
    return Rig(
        axes=_real(face.axes),
        origin=_real(face.origin),
        unit=_real(face.unit),
        interocular=_real(face.interocular),
        side=_real(placement.side),
        corner=_real([placement.left, placement.top]),
        first=_real([columns.start - placement.left, rows.start - placement.top]),
        mouth=_real([middle, inside.meet, inside.edge, wide]),
        mouth_anchor=_real(inside.anchor),
        mouth_size=_real([width, height]),
        eye_corners=_real(baked.eye_corners),
    )


def _skin(baked: Baked) -> Tensor:
    fields = np.zeros((len(FIELDS), 3, NODES, NODES), np.float32)
    box = (slice(None), slice(None), *baked.moved)
    fields[box] = baked.fields.reshape(fields[box].shape)
    return _real(fields.reshape(len(FIELDS), 3, -1))


def _shapes(part: LipsOrLids) -> Tensor:
    fields = np.zeros((USED, 8 * part.count, part.rows * part.columns), np.float32)
    fields[: len(part.used)] = part.fields.reshape(len(part.used), *fields.shape[1:])
    return _real(fields)


def _opening(part: LipsOrLids) -> Opening:
    lattices, nodes = 2 * part.count, part.rows * part.columns
    edge = part.edge[0] - nodes  # counted in the lower skin, the second lattice
    return Opening(
        used=torch.from_numpy(np.pad(part.used, (0, USED - len(part.used))).astype(np.int64)),
        pose=_real(part.pose.reshape(4, lattices, nodes)[:, ::2]),
        shape=_whole([part.rows, part.columns]),
        nodes=_whole(part.coarse.shape[2:]),
        step=_whole(part.step),
        scale=_real(part.scale),
        origin=_real(part.origin),
        centres=_real(part.centres),
        anchors=_real(part.anchors),
        edge=torch.from_numpy(np.resize(edge, EDGE).astype(np.int64)),
        below=_real(float("inf") if part.below is None else part.below),
    )


def _pictures(baked: Baked) -> Faces:
    inside, eyes = baked.inside, baked.eyeballs
    height, width = baked.behind.shape[:2]
    return Faces(
        person=baked.person.flatten(0, 1),
        behind=baked.behind.reshape(height * width, 3),
        mouth=inside.pictures.flatten(1, 2),
        eyes=eyes.view(4, 2, -1, 4).transpose(0, 1).contiguous(),
        lids=baked.lid_edges.flatten(1, 2),
        lips=_real(inside.lips),
        whole=_whole_of(baked),
        real=_real_of(baked),
    )


def _whole_of(baked: Baked) -> Tensor:
    (rows, columns), inside = baked.visible, baked.inside.pictures.shape
    mouth, eyes = baked.mouth.coarse.shape, baked.eyes.coarse.shape
    nodes = baked.nodes.shape
    assert baked.mouth.step == baked.eyes.step
    held = {
        Whole.LEFT: columns.start,
        Whole.TOP: rows.start,
        Whole.RIGHT: columns.stop,
        Whole.BOTTOM: rows.stop,
        Whole.STEP: baked.placement.step,
        Whole.COLUMNS: nodes[3],
        Whole.ROWS: nodes[2],
        Whole.PERSON: len(baked.person),
        Whole.MARGIN: baked.margin,
        Whole.FINE: baked.mouth.step,
        Whole.MOUTH_COLUMNS: mouth[3],
        Whole.MOUTH_ROWS: mouth[2],
        Whole.EYE_COLUMNS: eyes[3],
        Whole.EYE_ROWS: eyes[2],
        Whole.MOUTH_WIDTH: inside[2],
        Whole.MOUTH_HEIGHT: inside[1],
        Whole.EYE_WIDTH: baked.eyeballs.shape[2],
        Whole.EYE_HEIGHT: baked.eyeballs.shape[1],
    }
    return _whole([held[column] for column in Whole])


def _real_of(baked: Baked) -> Tensor:
    inside = baked.inside
    held = torch.zeros(Real.LASHES + 3)
    held[Real.MILLIMETRE] = 1.0 / inside.pixels_per_mm
    held[Real.STRIP_X : Real.STRIP_START + 1] = _real(inside.across)
    held[Real.LASH] = 0.010 * baked.face.unit * baked.placement.side / 2
    for first, colour in (
        (Real.CAVITY, inside.cavity.reshape(3)),
        (Real.SHADOW, inside.shadow.reshape(3)),
        (Real.LASHES, baked.lashes),
    ):
        held[first : first + 3] = _real(colour)
    return held


def _real(values: object) -> Tensor:
    return torch.from_numpy(single(np.asarray(values)).copy())


def _whole(values: object) -> Tensor:
    return torch.from_numpy(np.array(values, np.int32))


def _make(identity: IdentityFeatures, size: Size, device: torch.device) -> BatchedFace:
    return batched_face(bake.CACHE.make(identity, size, device))


CACHE = BakedCache(_make, most=24)  # of faces on the way to a slot, each at every size
