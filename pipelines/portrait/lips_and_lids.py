"""Lips and lids: the mouth, and both eyes, where a layer of skin above and one below part.

Around each opening lies a lattice of the displacement of both layers, finer than that of the whole
picture, in coordinates local to it. `trace` follows the nodes of a small patch of the frame back
through both layers; brought to pixels, `parted` tells how much of it is skin, and from where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import Array, Face, single
from pipelines.photo.placement import Box as FrameBox
from pipelines.photo.placement import Placement
from pipelines.portrait.flow import invert, sample
from pipelines.portrait.pose import Pose, pose_fields

LayerFields = Callable[[str, Array, Array], Array]  # layer, x, y -> [K, 4, P], face units
Box = tuple[float, float, float, float]  # left, top, right, bottom

_MARGIN = 0.05  # canvas units of lattice around the patch: the photo under a moved head
_SEAL = 0.56  # half a pixel, and a little so that closed layers leave no hairline
_NOTHING = 1e-3  # local units (or pixels): less than a tenth of a pixel


@dataclass(frozen=True)
class LipsOrLids:
    """`count` openings of one kind and size, for a canvas of one size."""

    count: int
    fields: Tensor  # [k, 4 * count * 2 * P]: dx, dy (local), px inside, shade; of upper, lower skin
    used: Tensor  # [k] which of the K fields change anything here
    pose: Tensor  # [4, count * 2 * P] pose fields, canvas units, the same for both skins
    rows: int
    columns: int
    scale: Tensor  # [2] canvas to local units; local is -1..1 over the lattice
    middle: Tensor  # [count, 2] canvas coordinates of the lattice's middle
    coarse: Tensor  # [1, h, w, 2] nodes of the patch relative to its corner, local units
    step: int  # pixels between these; they lie at pixels' edges where it is even, else in them
    centres: tuple[tuple[float, float], ...]  # `middle` as floats
    anchors: tuple[tuple[float, ...], ...]  # pose fields at the middle
    iterations: int  # that following back takes


@dataclass(frozen=True)
class Traced:
    """What `trace` found for `n` openings of one kind."""

    placement: Placement
    corners: tuple[tuple[int, int], ...]  # left, top in the frame, pixels; patches may reach beyond
    step: int
    nodes: Tensor  # [n, 2, 4, h, w] upper, lower skin; x, y in the photo (canvas), px inside, shade

    def parted(self, fine: Tensor) -> list[Patch]:
        """The patches in pixels, of the nodes brought to pixels, [n, 2, 4, H, W]."""
        inside = _across_edges(fine[:, :, 2].flatten(0, 1)).view_as(fine[:, :, 2])
        # Over three pixels: between lips rolled in, the photo's line shows evenly, not in dashes.
        choose = (inside[:, :1] - inside[:, 1:]).mul_(0.3).add_(0.5).clamp_(0.0, 1.0)
        mixed = torch.lerp(fine[:, 1], fine[:, 0], choose)
        covers = (inside + _SEAL).clamp_(0.0, 1.0).sum(1).clamp_(max=1.0)
        return [
            Patch(self.placement, left, top, mixed[i, :2], mixed[i, 3], inside[i], covers[i])
            for i, (left, top) in enumerate(self.corners)
        ]


@dataclass(frozen=True)
class Patch:
    """One opening in pixels."""

    placement: Placement
    left: int  # in the frame, pixels; the patch may reach beyond it
    top: int
    source: Tensor  # [2, H, W] canvas coordinates in the photo
    shade: Tensor  # [H, W] added to 1
    inside: Tensor  # [2, H, W] pixels inside the upper and the lower skin, negative in the gap
    cover: Tensor  # [H, W] share of skin

    def opened(self) -> Patch | None:
        """The part of the patch that holds everything not covered by skin, if there is any."""
        bare = self.cover.cpu().numpy() < 0.999
        rows, columns = (np.flatnonzero(bare.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        r, c = (slice(int(at[0]), int(at[-1]) + 1) for at in (rows, columns))
        return Patch(
            self.placement,
            self.left + c.start,
            self.top + r.start,
            self.source[:, r, c],
            self.shade[r, c],
            self.inside[:, r, c],
            self.cover[r, c],
        )

    @property
    def box(self) -> FrameBox:
        """Rows and columns of the frame."""
        height, width = self.cover.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def build(
    face: Face,
    boxes: Sequence[Box],
    layers: Sequence[LayerFields],
    step: float,
    size: int,
    iterations: int,
    between: int,
) -> LipsOrLids:
    """Evaluate the fields of openings in `boxes` (face units) for a canvas of `size` pixels.

    `step` is the distance of lattice points in pixels at 512, `between` that of the nodes followed
    back, in pixels.
    """
    bounds = [_canvas_bounds(face, box) for box in boxes]
    extent = np.max([high - low for low, high in bounds], axis=0)
    across, down = (int(np.ceil(v * size / 2 / between)) for v in extent)  # cells
    span = extent + 2 * _MARGIN
    columns, rows = (int(np.ceil(v * 256 / step)) for v in span)
    scale = (2.0 / span).astype(np.float32)
    fields, poses, middles, anchors = [], [], [], []
    for (low, high), layer in zip(bounds, layers, strict=True):
        middle = ((low + high) / 2).astype(np.float32)
        points = face.to_face(_cells(middle, span, columns, rows)).reshape(-1, 2)
        x, y = points[:, 0], points[:, 1]
        both = [_local(face, layer(name, x, y), scale, size) for name in ("upper", "lower")]
        fields.append(np.stack(both, axis=1))
        poses += [pose_fields(face, x, y)] * 2
        middles.append(middle)
        at = face.to_face(middle[None])
        anchor = pose_fields(face, at[:, 0], at[:, 1])
        anchors.append(tuple(float(v) for v in anchor[:, 0]))
    n = len(bounds)
    table = np.stack(fields, axis=1)  # [K + 1, count, 2, 4, P]
    table = np.moveaxis(table, 3, 1).reshape(len(table), -1)
    used = np.flatnonzero(np.abs(table).max(axis=1) > _NOTHING)
    return LipsOrLids(
        count=n,
        fields=torch.from_numpy(table[used]),
        used=torch.from_numpy(used),
        pose=torch.from_numpy(np.concatenate(poses, axis=1)),
        rows=rows,
        columns=columns,
        scale=torch.from_numpy(scale),
        middle=torch.from_numpy(np.stack(middles)),
        coarse=_coarse(across, down, between * 2.0 / size, scale),
        step=between,
        centres=tuple((float(m[0]), float(m[1])) for m in middles),
        anchors=tuple(anchors),
        iterations=iterations,
    )


def trace(openings: LipsOrLids, weights: Tensor, pose: Pose, placement: Placement) -> Traced:
    """Follow the patches of `openings` back to the photo for shape `weights` [1, K]."""
    n, scale = openings.count, openings.scale
    lattice = (weights.index_select(1, openings.used) @ openings.fields).view(4, -1)
    local = scale[:, None]
    turned = (pose.rotation * (local / scale)) @ lattice[:2]
    torch.addmm(turned, pose.coefficients * local, openings.pose, out=lattice[:2])
    field = lattice.view(4, 2 * n, openings.rows, openings.columns).transpose(0, 1)
    moved = [pose.displace(anchor) for anchor in openings.anchors]
    corners = [_corner(openings, i, moved[i], placement.side) for i in range(n)]
    pixel, odd = 2.0 / placement.side, openings.step % 2 / 2
    begins = [
        [pixel * (x + odd) - 1.0, pixel * (y + odd) - 1.0, *moved[i]]
        for i, (x, y) in enumerate(corners)
    ]
    both = torch.tensor(begins, device=scale.device).repeat_interleave(2, dim=0)
    at, start = both[:, :2], both[:, 2:]
    middle = openings.middle.repeat_interleave(2, dim=0)
    points = openings.coarse + ((at - middle) * scale)[:, None, None]  # [2n, h, w, 2]
    start = (start * scale)[:, None, None]
    where = invert(field[:, :2], points, points - start, openings.iterations)
    nodes = where.new_empty(2 * n, 4, *where.shape[1:3])
    nodes[:, :2] = (where / scale + middle[:, None, None]).permute(0, 3, 1, 2)
    nodes[:, 2:] = sample(field[:, 2:], where)
    placed = tuple((left + placement.left, top + placement.top) for left, top in corners)
    return Traced(placement, placed, openings.step, nodes.view(n, 2, *nodes.shape[1:]))


def _across_edges(inside: Tensor) -> Tensor:
    """From distances along y [2, H, W] to those across the edges, shorter where these are steep."""
    slope = inside[:, :, 2:] - inside[:, :, :-2]
    steep = F.pad(slope * slope, (1, 1), mode="replicate").mul_(0.25).add_(1.0).rsqrt_()
    return inside * steep


def _corner(
    openings: LipsOrLids, index: int, moved: tuple[float, float], size: int
) -> tuple[int, int]:
    """Left top pixel of the patch in the canvas, centred on where the opening has gone."""
    x, y = openings.centres[index]
    down, across = (openings.step * (n - 1) for n in openings.coarse.shape[1:3])
    left = round((x + moved[0] + 1) / 2 * size - across / 2)
    top = round((y + moved[1] + 1) / 2 * size - down / 2)
    return left, top


def _canvas_bounds(face: Face, box: Box) -> tuple[Array, Array]:
    corners = np.array([[box[i], box[j]] for i in (0, 2) for j in (1, 3)], dtype=np.float32)
    canvas = face.to_canvas(corners)
    return canvas.min(axis=0), canvas.max(axis=0)


def _cells(middle: Array, span: Array, columns: int, rows: int) -> Array:
    x = middle[0] + np.linspace(-0.5, 0.5, columns) * span[0]
    y = middle[1] + np.linspace(-0.5, 0.5, rows) * span[1]
    return single(np.stack(np.meshgrid(x, y), axis=-1))


def _local(face: Face, fields: Array, scale: Array, size: int) -> Array:
    """Fields [K, 4, P] in face units: displacement to local units, distance to pixels."""
    moved = face.vectors(np.stack([fields[:, 0], fields[:, 1]], axis=-1)) * scale
    pixels = fields[:, 2] * (face.unit * size / 2)
    return single(np.stack([moved[..., 0], moved[..., 1], pixels, fields[:, 3]], axis=1))


def _coarse(across: int, down: int, step: float, scale: Array) -> Tensor:
    """Nodes `step` canvas units apart, in local units from the first one: [1, h, w, 2]."""
    x = torch.arange(across + 1) * (step * float(scale[0]))
    y = torch.arange(down + 1) * (step * float(scale[1]))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
