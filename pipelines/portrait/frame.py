"""One frame, worked out on lattices: where each part of it comes from, before anything is drawn.

`draw_bytes` draws it on a CPU, `draw_tensors` on any device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.geometry import Mask
from pipelines.photo.placement import Box
from pipelines.portrait.bake import NODES, Baked
from pipelines.portrait.flow import invert, sample
from pipelines.portrait.lips_and_lids import Traced, trace
from pipelines.portrait.pose import Pose

_ITERATIONS = 4
_INSIDE = 0.999  # between nodes that are all 1
_BAND = 16  # cells of the lattice that a band is high


@dataclass(frozen=True)
class Band:
    """Cells of the frame's lattice, relative to the canvas's visible part."""

    cells: Box
    opaque: slice  # of these columns of cells: nothing shows through the person


@dataclass(frozen=True)
class Flow:
    """Where the frame comes from but for its patches, on the nodes of `Baked.nodes`."""

    nodes: Tensor  # [3, h, w]: x and y in canvas coordinates, shade (added to 1)
    bands: tuple[Band, ...]  # the person is inside


@dataclass(frozen=True)
class Plan:
    """All that a frame is drawn from."""

    flow: Flow
    traced: list[Traced]  # finer: the mouth; the right eye, the left one
    pose: Pose
    values: Sequence[float]  # the motion


def plan(baked: Baked, weights: Tensor, pose: Pose, values: Sequence[float]) -> Plan:
    """Work out a frame for shape `weights` [1, K], a head pose and the motion's `values`."""
    traced = [trace(kind, weights, pose, baked.placement) for kind in (baked.mouth, baked.eyes)]
    return Plan(base_flow(baked, weights, pose), traced, pose, values)


def base_flow(baked: Baked, weights: Tensor, pose: Pose) -> Flow:
    """Combine and invert the displacement of the whole picture."""
    rows, columns = baked.moved
    shapes = (weights @ baked.fields).view(3, rows.stop - rows.start, columns.stop - columns.start)
    lattice = shapes.new_zeros(1, 3, NODES, NODES)
    torch.mm(pose.coefficients, baked.pose, out=lattice[0, :2].view(2, -1))
    lattice[0, :2, rows, columns] += (pose.rotation @ shapes[:2].flatten(1)).view_as(shapes[:2])
    lattice[0, 2, rows, columns] = shapes[2]
    where = invert(lattice[:, :2], baked.nodes, baked.nodes, _ITERATIONS)
    found = torch.cat([where.permute(0, 3, 1, 2), sample(lattice[:, 2:], where)], dim=1)
    near, inside = sample(baked.present, where)[0].cpu().numpy()
    return Flow(found[0], tuple(_bands(near > 0.0, inside > _INSIDE)))


def _bands(near: Mask, inside: Mask) -> Iterator[Band]:
    """Cut the lattice into bands of cells, each as wide as the nodes `near` the person in it."""
    rows, cells = near.shape[0] - 1, near.shape[1] - 1
    for top in range(0, rows, _BAND):
        columns = np.flatnonzero(near[top : top + _BAND + 1].any(axis=0))
        if len(columns):
            left, right = max(0, int(columns[0]) - 1), min(cells, int(columns[-1]) + 1)
            full = inside[top : top + _BAND + 1, left : right + 1].all(axis=0)
            opaque = _longest(full)
            yield Band(
                (slice(top, min(rows, top + _BAND)), slice(left, right)),
                slice(left + opaque.start, left + opaque.stop),
            )


def _longest(full: Mask) -> slice:
    """The cells between the nodes of the longest run in `full`, one value per node."""
    ends = np.concatenate([[-1], np.flatnonzero(~full), [len(full)]])
    widest = int(np.diff(ends).argmax())
    first, last = int(ends[widest]) + 1, int(ends[widest + 1]) - 1
    return slice(first, max(first, last))
