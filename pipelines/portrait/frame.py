"""One frame, worked out on lattices: where each part of it comes from, before anything is drawn.

`draw_bytes` draws it on a CPU, `draw_tensors` on any device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.photo.geometry import Array, Mask
from pipelines.photo.placement import Box
from pipelines.portrait.bake import Baked
from pipelines.portrait.flow import invert
from pipelines.portrait.lips_and_lids import Patch, trace
from pipelines.portrait.pose import Pose
from pipelines.portrait.rules import ITERATIONS, NODES

_BAND = 16  # cells of the lattice that a band is high


@dataclass(frozen=True)
class Flow:
    """Where the frame comes from but for its patches, on the nodes of `Baked.nodes`."""

    nodes: Array  # [3, h, w]: x and y in pixels of the canvas, centre to centre; shade, added to 1
    bands: tuple[Box, ...]  # of cells, relative to the canvas's visible part: the person is inside


@dataclass(frozen=True)
class Plan:
    """All that a frame is drawn from."""

    flow: Flow
    patches: list[Patch]  # finer: the mouth; the right eye, the left one
    pose: Pose
    values: Sequence[float]  # the motion


def plan(baked: Baked, weights: Array, pose: Pose, values: Sequence[float]) -> Plan:
    """Work out a frame for shape `weights` [1, K], a head pose and the motion's `values`."""
    patches = [
        patch
        for openings in (baked.mouth, baked.eyes)
        for patch in trace(openings, weights, pose, baked.placement)
    ]
    return Plan(base_flow(baked, weights, pose), patches, pose, values)


def base_flow(baked: Baked, weights: Array, pose: Pose) -> Flow:
    """Combine and invert the displacement of the whole picture."""
    rows, columns = baked.moved
    shapes = (weights @ baked.fields).reshape(3, -1)
    moves = (pose.coefficients @ baked.pose).reshape(2, 1, NODES, NODES)
    box = moves[:, 0, rows, columns]
    box += (pose.rotation @ shapes[:2]).reshape(box.shape)
    shade = np.zeros((1, NODES, NODES), np.float32)
    shade[0, rows, columns] = shapes[2].reshape(box.shape[1:])
    carried = np.stack([shade, baked.present])
    where, (shade, near) = invert(moves, carried, baked.nodes, baked.nodes, ITERATIONS)
    cell = baked.placement.side / (NODES - 1)
    nodes = np.concatenate([where[:, 0] * cell - 0.5, shade])
    return Flow(nodes, tuple(_bands(near[0] > 0.0)))


def _bands(near: Mask) -> Iterator[Box]:
    """Cut the lattice into bands of cells, each as wide as the nodes `near` the person in it."""
    rows, cells = near.shape[0] - 1, near.shape[1] - 1
    for top in range(0, rows, _BAND):
        columns = np.flatnonzero(near[top : top + _BAND + 1].any(axis=0))
        if len(columns):
            left, right = max(0, int(columns[0]) - 1), min(cells, int(columns[-1]) + 1)
            yield slice(top, min(rows, top + _BAND)), slice(left, right)
