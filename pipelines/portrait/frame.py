"""One frame: worked out on lattices, then drawn in bands of rows, each as wide as the person there.

A band is flow, sampled person, shading, composite, mouth, eyes and conversion in turn, so that
little of the frame has to pass through memory more than once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from kernels.warp import composite, warp
from pipelines.portrait.bake import NODES, Baked
from pipelines.portrait.flow import invert, refine_across, refine_down, sample
from pipelines.portrait.lips_and_lids import Patch, trace
from pipelines.portrait.mouth_and_eyes import paint_eyes, paint_mouth
from pipelines.portrait.pose import Pose

_ITERATIONS = 4
_BANDS = 4
_CELLS = (NODES - 1) // _BANDS  # of the lattice, in a band

Box = tuple[slice, slice]  # rows and columns of the frame


@dataclass(frozen=True)
class Flow:
    """Where the frame comes from but for its patches, still coarse along y."""

    wide: Tensor  # [3, NODES, S]: x and y in canvas coordinates, shade (added to 1)
    bands: tuple[Box, ...]  # where the person may be


@dataclass(frozen=True)
class Plan:
    """All that a frame is drawn from."""

    flow: Flow
    patches: list[Patch]  # with their own, finer flow
    mouth_and_eyes: list[tuple[Patch, Tensor]]  # what shows in (parts of) patches, [3, H, W]


def plan(baked: Baked, weights: Tensor, pose: Pose, values: Sequence[float]) -> Plan:
    """Work out a frame for shape `weights` [1, K + 1], a head pose and the motion's `values`."""
    patches = trace(baked.mouth, weights, pose, baked.size)
    patches += trace(baked.eyes, weights, pose, baked.size)
    eyes = paint_eyes(baked, values, pose, patches[1:])
    mouth_and_eyes = list(zip(patches[1:], eyes, strict=True))
    opened = patches[0].opened()
    if opened is not None:
        mouth_and_eyes.append((opened, paint_mouth(baked, values, pose, opened)))
    return Plan(base_flow(baked, weights, pose), patches, mouth_and_eyes)


def base_flow(baked: Baked, weights: Tensor, pose: Pose) -> Flow:
    """Combine and invert the displacement of the whole picture."""
    field = (weights @ baked.fields).view(3, -1)
    field[:2] = pose.rotation @ field[:2] + pose.coefficients @ baked.pose
    lattice = field.view(1, 3, NODES, NODES)
    points = _nodes(field.device)
    where = invert(lattice[:, :2], points, points, _ITERATIONS)
    found = torch.cat([where.permute(0, 3, 1, 2), sample(lattice[:, 2:], where)], dim=1)
    near = sample(baked.present, where)[0, 0] > 0.0
    return Flow(refine_across(found[0], baked.size), tuple(_bands(near, baked.size)))


def draw(baked: Baked, frame: Plan) -> Iterator[tuple[Box, Tensor]]:
    """Yield the parts of the frame in which the person is: the box, and RGB float32 [1, 3, h, w].

    Values are in [0, 1] but for shading a little above. Elsewhere the background stands still.
    """
    each = baked.size // (NODES - 1)
    last = len(frame.flow.bands) - 1
    for i, (rows, columns) in enumerate(frame.flow.bands):
        if columns.stop == columns.start:
            continue
        box = (rows, columns)
        nodes = frame.flow.wide[:, i * _CELLS : (i + 1) * _CELLS + 1, columns]
        flow = refine_down(nodes, each)  # [3, h, w]
        for patch in frame.patches:
            _insert(flow, patch, box)
        _mirror(flow[1], first=i == 0, last=i == last)
        layer = warp(baked.person, flow[:2].permute(1, 2, 0)[None])
        _light(layer, flow[2], box, baked.lit)
        rgb = composite(layer, baked.behind[(slice(None), slice(None), *box)])
        for patch, inside in frame.mouth_and_eyes:
            _paint(rgb[0], patch, inside, box)
        yield box, rgb


def _bands(near: Tensor, size: int) -> Iterator[Box]:
    """Cut the frame into bands, each as wide as the nodes `near` the person in it."""
    cells, each = NODES - 1, size // (NODES - 1)
    for top in range(0, cells, _CELLS):
        columns = torch.nonzero(near[top : top + _CELLS + 1].any(dim=0)).flatten().tolist()
        left, right = (max(0, columns[0] - 1), min(cells, columns[-1] + 1)) if columns else (0, 0)
        yield slice(top * each, (top + _CELLS) * each), slice(left * each, right * each)


def _overlap(a: Box, b: Box) -> tuple[Box, Box] | None:
    """The part that `a` and `b` share, relative to each; None if they share nothing."""
    shared = [slice(max(x.start, y.start), min(x.stop, y.stop)) for x, y in zip(a, b, strict=True)]
    if any(s.stop <= s.start for s in shared):
        return None
    in_a, in_b = (
        tuple(slice(s.start - x.start, s.stop - x.start) for s, x in zip(shared, box, strict=True))
        for box in (a, b)
    )
    return (in_a[0], in_a[1]), (in_b[0], in_b[1])


def _insert(flow: Tensor, patch: Patch, band: Box) -> None:
    """Put a patch's flow into that of a band, [3, h, w]."""
    shared = _overlap(band, patch.box)
    if shared is not None:
        here, there = shared
        flow[(slice(0, 2), *here)] = patch.source[(slice(None), *there)]
        flow[(2, *here)] = patch.shade[there]


def _mirror(y: Tensor, first: bool, last: bool) -> None:
    """Fold coordinates that leave the canvas above or below back in.

    A head cut by the photo's edge that moves away from it shows mirrored hair there, not streaks.
    """
    if first:
        y.add_(1.0).abs_().sub_(1.0)
    if last:
        y.sub_(1.0).abs_().neg_().add_(1.0)


def _light(layer: Tensor, shade: Tensor, band: Box, lit: Box) -> None:
    """Multiply the colours of `layer` by 1 + `shade` where shading can change."""
    shared = _overlap(band, lit)
    if shared is not None:
        colour = layer[(slice(None), slice(0, 3), *shared[0])]
        colour.addcmul_(colour, shade[shared[0]])


def _paint(rgb: Tensor, patch: Patch, inside: Tensor, band: Box) -> None:
    """Show `inside` [3, H, W] in a band [3, h, w] where no skin covers the opening."""
    shared = _overlap(band, patch.box)
    if shared is not None:
        here, there = shared
        view = rgb[(slice(None), *here)]
        view.copy_(torch.lerp(inside[(slice(None), *there)], view, patch.cover[there]))


@cache
def _nodes(device: torch.device) -> Tensor:
    """Canvas coordinates of the nodes: [1, NODES, NODES, 2]."""
    line = torch.linspace(-1.0, 1.0, NODES, device=device)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)[None]
