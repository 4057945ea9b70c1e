"""Where frames of many faces come from: the displacement of all skin, combined and inverted.

What `frame.base_flow` and `lips_and_lids.trace` are for one frame. Lattices lie flat, [n, C, M].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.flow_inversion import invert
from kernels.portrait_layout import Whole
from pipelines.portrait.batched_face import Opening, Rig
from pipelines.portrait.batched_motion import Poses
from pipelines.portrait.rules import ITERATIONS, NODES

_MOST_ROWS = 256  # of a patch's nodes; the tallest of thirty had 63


def base_flow(
    shapes: Tensor, pose: Tensor, rig: Rig, whole: Tensor, room: int, poses: Poses
) -> Tensor:
    """Invert the displacement of whole pictures, of their blended `shapes` [n, 3, M] and of the
    `pose` fields [n, 4, M]: `Placed.base`, [n, 3, room]."""
    n = len(shapes)
    moves = poses.coefficients @ pose + poses.rotation @ shapes[:, :2]
    cell = rig.side[:, None, None] / (NODES - 1)
    at = _columns_and_rows(whole[:, Whole.COLUMNS], room)
    points = (at * whole[:, Whole.STEP, None, None] + rig.first[..., None]) / cell
    shape = torch.full((n, 2), NODES, dtype=torch.int32, device=shapes.device)
    counts = whole[:, Whole.COLUMNS] * whole[:, Whole.ROWS]
    where, shade = invert(moves, shape, points, points, counts, shapes[:, 2:], ITERATIONS)
    return torch.cat([where * cell - 0.5, shade], dim=1)


def traced(
    shapes: Tensor, part: Opening, rig: Rig, iterations: int, room: int, poses: Poses
) -> tuple[Tensor, Tensor]:
    """Follow the patches of openings back, whose blended shapes are [n, 8 * count, M]: their nodes
    [n, count, 2, 4, room], as `Placed.eyes`, and boxes, int32 [n, count, 4], as `Placed.boxes`."""
    n, count, nodes = len(shapes), part.origin.shape[1], part.pose.shape[3]
    fields = shapes.view(n, 4, count, 2, nodes).permute(0, 2, 3, 1, 4)  # [n, count, 2, 4, M]
    moves = _moves(part, poses, fields[..., :2, :])
    moved = poses.displace(part.anchors)
    corners = _corners(part, rig, moved)
    at = _columns_and_rows(part.nodes[:, 1], room)
    points = _points(part, rig, corners, at)  # [n, count, 2, room]
    start = points - (moved * part.scale[:, None])[..., None]
    where, found = invert(
        moves.reshape(-1, 2, nodes),
        part.shape.repeat_interleave(2 * count, dim=0),
        _for_both_skins(points),
        _for_both_skins(start),
        part.nodes.prod(dim=1, dtype=torch.int32).repeat_interleave(2 * count),
        fields[..., 2:, :].reshape(-1, 2, nodes),
        iterations,
    )
    where, found = (held.view(n, count, 2, 2, room) for held in (where, found))
    half = rig.side[:, None, None] / 2
    first = (part.origin + 1.0) * half - 0.5
    places = where * (half / part.scale[:, None])[:, None, ..., None] + first[:, :, None, :, None]
    inside = _across_edges(part, at, found[..., 0, :])
    skins = torch.cat([places, found[..., 1:, :], inside[..., None, :]], dim=3)
    kept = _rows_kept(part, moves[:, 0, 1, 1], points[:, 0, 1])
    return skins, _boxes(part, rig, corners, kept)


def _moves(part: Opening, poses: Poses, shapes: Tensor) -> Tensor:
    """Displacement of both skins [n, count, 2, 2, M], cells, of shapes and of the pose."""
    scale = part.scale[:, :, None]
    turned = poses.rotation * (scale / scale.transpose(1, 2))
    carried = torch.einsum("nif,nfcm->ncim", poses.coefficients * scale, part.pose)
    return torch.einsum("nij,ncsjm->ncsim", turned, shapes) + carried[:, :, None]


def _corners(part: Opening, rig: Rig, moved: Tensor) -> Tensor:
    """Left top pixel of each patch in the canvas, centred on where its opening has gone:
    [n, count, 2]."""
    extent = (part.nodes.flip(1) - 1) * part.step[:, None]
    middles = (part.centres + moved + 1.0) / 2 * rig.side[:, None, None]
    return (middles - extent[:, None] / 2).round()


def _points(part: Opening, rig: Rig, corners: Tensor, at: Tensor) -> Tensor:
    """Nodes of the patches, `at` columns and rows, in cells of their lattices,
    [n, count, 2, room]."""
    pixel = (2.0 / rig.side)[:, None, None]
    step = part.step[:, None, None]
    begin = (corners + (step % 2) / 2) * pixel - 1.0 - part.origin
    spacing = step * pixel * part.scale[..., None]
    return (at * spacing)[:, None] + (begin * part.scale[:, None])[..., None]


def _columns_and_rows(columns: Tensor, room: int) -> Tensor:
    """Which column and row each of `room` nodes in so many `columns` [n] is in, int32
    [n, 2, room]."""
    at = torch.arange(room, dtype=torch.int32, device=columns.device)
    return torch.stack([at % columns[:, None], at // columns[:, None]], dim=1)


def _for_both_skins(places: Tensor) -> Tensor:
    """[n, count, 2, P] to [n * count * 2, 2, P]."""
    return places[:, :, None].expand(-1, -1, 2, -1, -1).reshape(-1, 2, places.shape[3])


def _across_edges(part: Opening, at: Tensor, inside: Tensor) -> Tensor:
    """From distances along y [n, count, 2, P] to those across the edges, shorter where these are
    steep."""
    rise = F.pad(inside[..., 2:] - inside[..., :-2], (1, 1))
    column, last = at[:, 0], part.nodes[:, 1, None] - 1
    node = torch.arange(inside.shape[3], device=inside.device)
    inner = (node + (column == 0).int() - (column == last).int()).clamp(0, len(node) - 1)
    rise = rise.gather(3, inner[:, None, None].expand_as(rise))
    rise = rise * (0.5 / part.step)[:, None, None, None]
    return inside * torch.rsqrt(1.0 + torch.square(rise))


def _rows_kept(part: Opening, moves: Tensor, points: Tensor) -> Tensor:
    """How many rows of patches whose nodes are at y `points` [n, P] end `below` the lower skins'
    edges, where nodes move along y by `moves` [n, M]: int32 [n]; see `lips_and_lids`."""
    gone = moves.gather(1, part.edge) + part.edge // part.shape[:, 1:]
    limit = gone.amax(dim=1, keepdim=True) + part.below[:, None]
    rows, columns = part.nodes[:, :1], part.nodes[:, 1:]
    row = torch.arange(_MOST_ROWS, device=points.device)
    first = points.gather(1, (row * columns).clamp(max=points.shape[1] - 1))
    above = (row < rows) & (first < limit)
    return torch.minimum(rows[:, 0], above.sum(dim=1, dtype=torch.int32) + 2)


def _boxes(part: Opening, rig: Rig, corners: Tensor, kept: Tensor) -> Tensor:
    """Left, top, width and height in pixels of the frame, int32 [n, count, 4]."""
    corner = (corners + rig.corner[:, None]).to(torch.int32)
    step = part.step[:, None]
    sides = torch.stack([part.nodes[:, 1], kept], dim=1)
    sides = (sides - 1) * step + step % 2
    return torch.cat([corner, sides[:, None].expand_as(corner)], dim=2)
