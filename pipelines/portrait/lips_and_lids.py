"""Lips and lids: the mouth, and both eyes, where a layer of skin above and one below part.

Around each opening lies a lattice of the displacement of both layers, finer than that of the whole
picture, in coordinates local to it. `trace` follows every pixel of a small patch of the frame
back through both layers, and tells how much of it is skin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import Array, Face, single
from pipelines.portrait.flow import invert, sample
from pipelines.portrait.pose import Pose, pose_fields

LayerFields = Callable[[str, Array, Array], Array]  # layer, x, y -> [K + 1, 4, P], face units
Box = tuple[float, float, float, float]  # left, top, right, bottom

_MARGIN = 0.05  # canvas units of lattice around the patch: the photo under a moved head
_SEAL = 0.56  # half a pixel, and a little so that closed layers leave no hairline
_NOTHING = 1e-3  # local units (or pixels): less than a tenth of a pixel


@dataclass(frozen=True)
class LipsOrLids:
    """`count` openings of one kind and size, at one frame size."""

    count: int
    fields: Tensor  # [k, count * 2 * 4 * P]: upper, lower; dx, dy (local), px inside, shade
    used: Tensor  # [k] which of the K + 1 shapes change anything here
    pose: Tensor  # [4, count * P] pose fields, canvas units
    rows: int
    columns: int
    scale: Tensor  # [count, 2] canvas to local units; local is -1..1 over the lattice
    middle: Tensor  # [count, 2] canvas coordinates of the lattice's middle
    coarse: Tensor  # [count, h, w, 2] patch points relative to its corner, local units
    centres: tuple[tuple[float, float], ...]  # `middle` as floats
    anchors: tuple[tuple[float, ...], ...]  # pose fields at the middle
    width: int  # of the patch, pixels
    height: int
    iterations: int  # that following back takes


@dataclass(frozen=True)
class Patch:
    """What `trace` found for one opening."""

    size: int  # of the frame, pixels
    left: int
    top: int
    source: Tensor  # [2, H, W] canvas coordinates in the photo
    shade: Tensor  # [H, W] added to 1
    inside: Tensor  # [2, H, W] pixels inside the upper and the lower skin, negative in the gap
    cover: Tensor  # [H, W] share of skin

    def opened(self) -> Patch | None:
        """The part of the patch that holds everything not covered by skin, if there is any."""
        bare = self.cover < 0.999
        rows, columns = (torch.nonzero(bare.any(dim=d)).flatten().tolist() for d in (1, 0))
        if not rows:
            return None
        r, c = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return Patch(
            self.size,
            self.left + c.start,
            self.top + r.start,
            self.source[:, r, c],
            self.shade[r, c],
            self.inside[:, r, c],
            self.cover[r, c],
        )

    @property
    def box(self) -> tuple[slice, slice]:
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
    """Evaluate the fields of openings in `boxes` (face units) for frames of `size` pixels.

    `step` is the distance of lattice points in pixels at 512, `between` that of the points followed
    back, in pixels.
    """
    bounds = [_canvas_bounds(face, box) for box in boxes]
    extent = np.max([high - low for low, high in bounds], axis=0)
    width, height = (min(size, 2 * int(np.ceil(v * size / 4)) + 1) for v in extent)
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
        poses.append(pose_fields(face, x, y))
        middles.append(middle)
        at = face.to_face(middle[None])
        anchor = pose_fields(face, at[:, 0], at[:, 1])
        anchors.append(tuple(float(v) for v in anchor[:, 0]))
    n = len(bounds)
    table = np.stack(fields, axis=1).reshape(len(fields[0]), -1)
    used = np.flatnonzero(np.abs(table).max(axis=1) > _NOTHING)
    return LipsOrLids(
        count=n,
        fields=torch.from_numpy(table[used]),
        used=torch.from_numpy(used),
        pose=torch.from_numpy(np.concatenate(poses, axis=1)),
        rows=rows,
        columns=columns,
        scale=torch.from_numpy(scale).expand(n, 2).contiguous(),
        middle=torch.from_numpy(np.stack(middles)),
        coarse=_coarse(width, height, size, scale, between).expand(n, -1, -1, -1).contiguous(),
        centres=tuple((float(m[0]), float(m[1])) for m in middles),
        anchors=tuple(anchors),
        width=width,
        height=height,
        iterations=iterations,
    )


def trace(openings: LipsOrLids, weights: Tensor, pose: Pose, size: int) -> list[Patch]:
    """Follow the patches of `openings` back to the photo for shape `weights` [1, K + 1]."""
    n, rows, columns = openings.count, openings.rows, openings.columns
    lattice = (weights[:, openings.used] @ openings.fields).view(n, 2, 4, rows * columns)
    head = (pose.coefficients @ openings.pose).view(2, n, -1).transpose(0, 1)  # [n, 2, P]
    scale = openings.scale.view(n, 1, 2, 1)
    lattice[:, :, :2] = pose.rotation @ lattice[:, :, :2] + head[:, None] * scale
    field = lattice.view(2 * n, 4, rows, columns)
    moved = [pose.displace(anchor) for anchor in openings.anchors]
    corners = [_corner(openings, i, moved[i], size) for i in range(n)]
    device = openings.fields.device
    at = torch.tensor(corners, dtype=torch.float32, device=device) * (2.0 / size) + (
        1.0 / size - 1.0
    )
    at = (at - openings.middle) * openings.scale
    points = (openings.coarse + at[:, None, None]).repeat_interleave(2, dim=0)  # [2n, h, w, 2]
    start = (torch.tensor(moved, device=device) * openings.scale).repeat_interleave(2, dim=0)
    where = invert(field[:, :2], points, points - start[:, None, None], openings.iterations)
    found = sample(field, where)
    found[:, :2] = where.permute(0, 3, 1, 2)
    fine = F.interpolate(
        found, (openings.height, openings.width), mode="bilinear", align_corners=True
    ).view(n, 2, 4, openings.height, openings.width)
    return [_patch(openings, i, size, corners[i], fine[i]) for i in range(n)]


def _patch(
    openings: LipsOrLids, index: int, size: int, corner: tuple[int, int], fine: Tensor
) -> Patch:
    upper, lower = fine[0], fine[1]
    inside = fine[:, 2]
    choose = (0.5 * (upper[2] - lower[2]) + 0.5).clamp_(0.0, 1.0)
    mixed = torch.lerp(lower, upper, choose)
    scale, middle = openings.scale[index].view(2, 1, 1), openings.middle[index].view(2, 1, 1)
    cover = (inside + _SEAL).clamp_(0.0, 1.0).sum(0).clamp_(max=1.0)
    source = mixed[:2] / scale + middle
    return Patch(size, corner[0], corner[1], source, mixed[3], inside, cover)


def _corner(
    openings: LipsOrLids, index: int, moved: tuple[float, float], size: int
) -> tuple[int, int]:
    """Left top pixel of the patch, centred on where the opening has gone, inside the frame."""
    x, y = openings.centres[index]
    left = round((x + moved[0] + 1) / 2 * size - openings.width / 2)
    top = round((y + moved[1] + 1) / 2 * size - openings.height / 2)
    return (
        max(0, min(left, size - openings.width)),
        max(0, min(top, size - openings.height)),
    )


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


def _coarse(width: int, height: int, size: int, scale: Array, between: int) -> Tensor:
    x = torch.linspace(0, width - 1, width // between + 1) * (2.0 / size) * float(scale[0])
    y = torch.linspace(0, height - 1, height // between + 1) * (2.0 / size) * float(scale[1])
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
