"""Lips and lids: the mouth, and both eyes, where a layer of skin above and one below part.

Around each opening lies a lattice of the displacement of both layers, finer than that of the whole
picture. `trace` follows the nodes of a small patch of the frame back through both layers, counting
in cells of that lattice; in pixels it is a `Patch`: how much of it is skin, and from where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kernels.reference_mouth_and_eyes import CHOOSE, SEAL
from pipelines.photo.geometry import Array, Face, single
from pipelines.photo.placement import Box as FrameBox
from pipelines.photo.placement import Placement
from pipelines.portrait.flow import invert
from pipelines.portrait.pose import Pose, pose_fields

Indices = NDArray[np.intp]
LayerFields = Callable[[str, Array, Array], Array]  # layer, x, y -> [K, 4, P], face units
Box = tuple[float, float, float, float]  # left, top, right, bottom

_MARGIN = 0.05  # canvas units of lattice around the patch: the photo under a moved head
_NOTHING = 1e-3  # cells, pixels, or of the light
_COVERED = 0.999  # of a pixel


@dataclass(frozen=True)
class LipsOrLids:
    """`count` openings of one kind and size, for a canvas of one size."""

    count: int
    fields: Array  # [k, 4 * count * 2 * P]: dx, dy (cells), px inside, shade; of upper, lower skin
    used: Indices  # [k] which of the K fields change anything here
    pose: Array  # [4, count * 2 * P] pose fields, canvas units, the same for both skins
    rows: int
    columns: int
    scale: Array  # [2] cells of the lattice in a canvas unit
    origin: Array  # [count, 2] canvas coordinates of the lattice's first node
    edge: Indices  # [count, columns] nodes on the edge of each lower skin, counted through all
    below: float | None  # cells of the lower skin that a patch shows below that; None: all there is
    coarse: Array  # [2, 1, h, w] nodes of the patch relative to its corner, cells; at most so many
    step: int  # pixels between these; they lie at pixels' edges where it is even, else in them
    centres: tuple[tuple[float, float], ...]  # canvas coordinates of the lattice's middle
    anchors: tuple[tuple[float, ...], ...]  # pose fields there
    iterations: int  # that following back takes


@dataclass(frozen=True)
class Patch:
    """One opening in pixels."""

    placement: Placement
    left: int  # in the frame, pixels; the patch may reach beyond it
    top: int
    source: Array  # [2, H, W] x and y in the photo, pixels of the canvas from centre to centre
    shade: Array  # [H, W] added to 1
    inside: Array  # [2, H, W] pixels inside the upper and the lower skin, negative in the gap
    cover: Array  # [H, W] share of skin

    def opened(self) -> Patch | None:
        """The part of the patch that holds everything not covered by skin, if there is any."""
        bare = self.cover < _COVERED
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
    below: float | None = None,
) -> LipsOrLids:
    """Evaluate the fields of openings in `boxes` (face units) for a canvas of `size` pixels.

    `step` is the distance of lattice points in pixels at 512, `between` that of the nodes followed
    back, in pixels; `below` is how much of the lower skin patches show, face units, or all.
    """
    bounds = [_canvas_bounds(face, box) for box in boxes]
    extent = np.max([high - low for low, high in bounds], axis=0)
    across, down = (int(np.ceil(v * size / 2 / between)) for v in extent)  # cells
    span = extent + 2 * _MARGIN
    columns, rows = (int(np.ceil(v * 256 / step)) for v in span)
    scale = single([columns - 1, rows - 1] / span)
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
    table = np.stack(fields, axis=1)  # [K + 1, count, 2, 4, P]
    table = np.moveaxis(table, 3, 1).reshape(len(table), -1)
    used = np.flatnonzero(np.abs(table).max(axis=1) > _NOTHING)
    return LipsOrLids(
        count=len(bounds),
        fields=table[used],
        used=used,
        pose=np.concatenate(poses, axis=1),
        rows=rows,
        columns=columns,
        scale=scale,
        origin=single(middles - span / 2),
        edge=_lower_edges(table[-1].reshape(4, len(bounds), 2, rows, columns)[2, :, 1]),
        below=None if below is None else below * face.unit * float(scale[1]),
        coarse=_coarse(across, down, between * 2.0 / size, scale),
        step=between,
        centres=tuple((float(m[0]), float(m[1])) for m in middles),
        anchors=tuple(anchors),
        iterations=iterations,
    )


def trace(openings: LipsOrLids, weights: Array, pose: Pose, placement: Placement) -> list[Patch]:
    """Follow the patches of `openings` back to the photo for shape `weights` [1, K]."""
    n, side, scale = openings.count, placement.side, openings.scale
    lattices = -1, 2 * n, openings.rows, openings.columns
    fields = (weights[:, openings.used] @ openings.fields).reshape(4, -1)
    local = scale[:, None]
    moves = (pose.rotation * (local / scale)) @ fields[:2]
    moves += (pose.coefficients * local) @ openings.pose
    moved = [pose.displace(anchor) for anchor in openings.anchors]
    corners = [_corner(openings, i, moved[i], side) for i in range(n)]
    begin = (single(corners) + openings.step % 2 / 2) * (2.0 / side) - 1.0 - openings.origin
    points = openings.coarse + _both(begin * scale)
    start = points - _both(single(moved) * scale)
    moves = moves.reshape(lattices)
    if openings.below is not None:
        kept = _rows_kept(openings, openings.below, moves[1], points[1])
        points, start = points[:, :, :kept], start[:, :, :kept]
    carried = fields[2:].reshape(lattices)
    where, (inside, shade) = invert(moves, carried, points, start, openings.iterations)
    where *= (0.5 * side / scale)[:, None, None, None]
    where += _both((openings.origin + 1.0) * (side / 2) - 0.5)
    fine = _in_pixels(
        np.stack([*where, shade, _across_edges(inside, openings.step)]), openings.step
    )
    return [
        _parted(placement, left + placement.left, top + placement.top, fine[:, 2 * i : 2 * i + 2])
        for i, (left, top) in enumerate(corners)
    ]


def _rows_kept(openings: LipsOrLids, below: float, moves: Array, points: Array) -> int:
    """How many rows of the patches' `points` [2 * count, h, w] end `below` the lower skins' edges,
    where nodes move by `moves` [2 * count, rows, columns]; all along y, in cells.

    A shut mouth needs little more than half of the patch of one wide open.
    """
    edge = openings.edge
    gone = moves.reshape(-1)[edge] + edge // openings.columns % openings.rows
    above = points[1::2, :, 0] < gone.max(axis=1, keepdims=True) + below
    return min(points.shape[1], int(np.count_nonzero(above, axis=1).max()) + 2)


def _both(places: Array) -> Array:
    """x and y of each opening [count, 2], for both its layers: [2, 2 * count, 1, 1]."""
    return places.T.repeat(2, axis=1)[..., None, None]


def _across_edges(inside: Array, step: int) -> Array:
    """From distances along y [N, h, w], `step` pixels apart, to those across the edges, shorter
    where these are steep."""
    steep = np.ones_like(inside)
    steep[..., 1:-1] += np.square((inside[..., 2:] - inside[..., :-2]) * (0.5 / step))
    steep[..., 0], steep[..., -1] = steep[..., 1], steep[..., -2]
    return np.asarray(inside / np.sqrt(steep), np.float32)


def _in_pixels(nodes: Array, step: int) -> Array:
    """Bring nodes [C, N, h, w] to the pixels between them, [C, N, H, W].

    All planes are brought there one above the other, at once: what is interpolated between two of
    them lies outside of the nodes, and is cut off.
    """
    rows, columns = nodes.shape[2:]
    tall = nodes.reshape(-1, columns)
    wide = cv2.resize(tall, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    inner = slice(step // 2, -(step // 2))
    whole = np.asarray(wide, np.float32).reshape(*nodes.shape[:2], rows * step, columns * step)
    return whole[..., inner, inner]


def _parted(placement: Placement, left: int, top: int, skins: Array) -> Patch:
    """Put the upper and the lower skin together: [4, 2, H, W] of x, y, shade and pixels inside."""
    inside = skins[3]
    # Over three pixels: between lips rolled in, the photo's line shows evenly, not in dashes.
    choose = inside[0] - inside[1]
    choose *= CHOOSE
    choose += 0.5
    mixed = skins[:3, 0] - skins[:3, 1]
    mixed *= _unit(choose)
    mixed += skins[:3, 1]
    cover = _unit(inside + SEAL).sum(axis=0)
    return Patch(placement, left, top, mixed[:2], mixed[2], inside, np.minimum(cover, 1.0))


def _unit(values: Array) -> Array:
    """`values` cut to 0..1, in place."""
    np.maximum(values, 0.0, out=values)
    return np.minimum(values, 1.0, out=values)


def _corner(
    openings: LipsOrLids, index: int, moved: tuple[float, float], side: int
) -> tuple[int, int]:
    """Left top pixel of the patch in the canvas, centred on where the opening has gone."""
    x, y = openings.centres[index]
    down, across = (openings.step * (n - 1) for n in openings.coarse.shape[2:])
    left = round((x + moved[0] + 1) / 2 * side - across / 2)
    top = round((y + moved[1] + 1) / 2 * side - down / 2)
    return left, top


def _lower_edges(inside: Array) -> Indices:
    """See `LipsOrLids.edge`; `inside` [count, rows, columns] is the distance from the edge."""
    count, rows, columns = inside.shape
    row = np.abs(inside).argmin(axis=1) + rows * (1 + 2 * np.arange(count))[:, None]
    found: Indices = row * columns + np.arange(columns)
    return found


def _canvas_bounds(face: Face, box: Box) -> tuple[Array, Array]:
    corners = np.array([[box[i], box[j]] for i in (0, 2) for j in (1, 3)], dtype=np.float32)
    canvas = face.to_canvas(corners)
    return canvas.min(axis=0), canvas.max(axis=0)


def _cells(middle: Array, span: Array, columns: int, rows: int) -> Array:
    x = middle[0] + np.linspace(-0.5, 0.5, columns) * span[0]
    y = middle[1] + np.linspace(-0.5, 0.5, rows) * span[1]
    return single(np.stack(np.meshgrid(x, y), axis=-1))


def _local(face: Face, fields: Array, scale: Array, size: int) -> Array:
    """Fields [K, 4, P] in face units: displacement to cells, distance to pixels."""
    moved = face.vectors(np.stack([fields[:, 0], fields[:, 1]], axis=-1)) * scale
    pixels = fields[:, 2] * (face.unit * size / 2)
    return single(np.stack([moved[..., 0], moved[..., 1], pixels, fields[:, 3]], axis=1))


def _coarse(across: int, down: int, step: float, scale: Array) -> Array:
    """Nodes `step` canvas units apart, in cells from the first one: [2, 1, h, w]."""
    x = single(np.arange(across + 1) * (step * scale[0]))
    y = single(np.arange(down + 1) * (step * scale[1]))
    return single(np.stack(np.meshgrid(x, y))[:, None])
