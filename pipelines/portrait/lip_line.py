"""Finds the inner edges of the lips in the picture, starting from the mesh.

The mesh knows where a mouth is to a few pixels, but not whether a bright or dark strip in it is
lip. Here every pixel between the outer edges of the lips is compared with the colour of the upper
and of the lower lip beside it, and the pair of smooth edges is chosen, over the whole width at
once, that leaves on either side what looks like lip and between them what does not: teeth, tongue
or dark. Closed lips have no between: there both edges are the dark seam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import Array, Face, Rim, single, smoothstep

Index = npt.NDArray[np.intp]

APART = 0.012  # face units: lips further apart than this show what is behind them
_COLUMNS = 97
_STEP = 0.0024  # face units between rows: half a pixel of the canvas
_REACH = 26  # rows that an edge may lie away from the mesh's
_TRUST = 0.022  # face units: how far the mesh is easily wrong
_ROUND = 4.0  # columns over which edges are smoothed: lips have no dents
_TAPER = 0.25  # of half the width, in which the edges meet in the corners
_BEND = 0.5  # cost of a row's step from column to column
_STEPS = 1  # rows that an edge may rise or fall per column
_UNLIKE = 0.42  # of the cost of a pixel that cannot be lip: a pixel as likely lip as not
_SURE = 0.40  # how much more unlike lip the between must be than the lips themselves
_PLAIN = 0.020  # face units: gaps of the mesh that are seldom the shade of closed lips,
_WIDE = 0.035  # and that never are
_SEAM = 0.016  # of full brightness: the least depth of a seam


@dataclass(frozen=True)
class _Strip:
    """The mouth cut out along the mesh's own line: rows x columns."""

    x: Array  # [C] face units
    middle: Array  # [C] the mesh's line
    rows: Array  # [R] offset from it
    colours: Array  # [R, C, 3] brightness, then two differences of colour
    upper: Array  # [C] offsets of the mesh's edges
    lower: Array
    top: Array  # [C] offsets of the outer edges of the lips
    bottom: Array


def find_lip_line(face: Face, picture: Tensor) -> Tensor:
    """Return x, upper and lower inner edge of the lips: float32 [3, n], face units.

    `picture` is the canvas, float32 [3, S, S] in [0, 1]. `face.mouth` must be the mesh's own; it
    is returned where the picture shows no clear line, as under a beard.
    """
    strip = _cut(face, picture)
    gap = face.mouth.gap
    near = _edge_rows(strip, (strip.upper + strip.lower) / 2)
    rim = None
    if gap > APART:  # of anything less the mesh is sure
        to_upper, to_lower = _unlike_lips(strip)
        u, low = _best_pair(strip, to_upper, to_lower)
        sure = _SURE if gap > _PLAIN else _SURE + 0.1
        apart = np.quantile(low - u, 0.9) * _STEP > APART
        if apart and _contrast(u, low, to_upper, to_lower) > sure:
            rim = _parted(strip, u, low)
        elif not apart:
            near = (u + low) / 2
    if rim is None and gap < _WIDE:
        rim = _closed(strip, near)
    rim = face.mouth if rim is None else rim
    return torch.from_numpy(np.stack([rim.x, rim.upper, rim.lower]))


def _cut(face: Face, picture: Tensor) -> _Strip:
    rim, lips = face.mouth, face.lips
    x = np.linspace(lips.left, lips.right, _COLUMNS).astype(np.float32)
    upper, lower, top, bottom = (
        f(x) for f in (rim.upper_at, rim.lower_at, lips.upper_at, lips.lower_at)
    )
    middle = (upper + lower) / 2
    for side, corner in ((x < rim.left, lips.upper[0]), (x > rim.right, lips.upper[-1])):
        inner = middle[~side][0 if x[side][:1] < rim.left else -1] if side.any() else 0.0
        edge = np.linspace(0, 1, max(int(side.sum()), 1))
        way = edge[::-1] if x[side][:1] < rim.left else edge
        middle[side] = inner + (corner - inner) * way[: int(side.sum())]
    upper, lower = np.minimum(upper, middle), np.maximum(lower, middle)
    half = max(float((middle - top).max()), float((bottom - middle).max())) + 4 * _STEP
    rows = np.arange(-half, half + _STEP, _STEP).astype(np.float32)
    at = np.stack(np.broadcast_arrays(x[None], middle[None] + rows[:, None]), axis=-1)
    where = torch.from_numpy(face.to_canvas(at))[None]
    seen = F.grid_sample(picture[None], where, padding_mode="border", align_corners=False)[0]
    return _Strip(
        x, middle, rows, _opponent(seen), upper - middle, lower - middle, top - middle,
        bottom - middle,
    )  # fmt: skip


def _opponent(rgb: Tensor) -> Array:
    """Brightness, and how red and how blue, the latter twice as important as they are large."""
    r, g, b = rgb.numpy()
    return single(np.stack([0.3 * r + 0.6 * g + 0.1 * b, 2.0 * (r - g), 1.2 * (b - g)], axis=-1))


def _unlike_lips(strip: _Strip) -> tuple[Array, Array]:
    """How unlike the upper and the lower lip at its column each pixel is: [R, C], 0 to 1."""
    rows = strip.rows[:, None]
    bands = []
    for inner, outer in ((strip.upper, strip.top), (strip.lower, strip.bottom)):
        depth = (rows - inner) / np.where(np.abs(outer - inner) < 1e-4, 1e-4, outer - inner)
        bands.append((depth > 0.30) & (depth < 0.85))
    to_upper, _ = _distance(strip.colours, bands[0])
    to_lower, brighter = _distance(strip.colours, bands[1])
    to_upper = np.minimum(to_upper, to_lower)  # where the mesh takes a moustache for the lip
    past = smoothstep(0.002, 0.010, rows - strip.lower)  # light on a lower lip is not a tooth
    return to_upper, single(to_lower * (1.0 - past * brighter))


def _distance(colours: Array, band: Array) -> tuple[Array, Array]:
    """From the median colour of `band` around each column, and which pixels are brighter."""
    columns = np.arange(_COLUMNS)
    if band.sum() < 20:
        return np.ones(band.shape, np.float32), np.zeros(band.shape, np.float32)
    own = np.full((_COLUMNS, 3), np.nan)
    for c in columns:
        near = slice(max(0, c - 10), c + 11)
        if band[:, near].sum() >= 12:
            own[c] = np.median(colours[:, near][band[:, near]], axis=0)
    known = np.flatnonzero(~np.isnan(own[:, 0]))
    own = np.stack([np.interp(columns, known, own[known, k]) for k in range(3)], axis=-1)
    off = np.linalg.norm(colours - own, axis=-1)
    rough = float(np.clip(np.median(off[band]) * 1.5, 0.035, 0.10))
    far = single(1.0 - np.exp(-0.5 * (off / (1.6 * rough)) ** 2))
    return far, single(colours[..., 0] > own[:, 0])


def _best_pair(strip: _Strip, to_upper: Array, to_lower: Array) -> tuple[Array, Array]:
    """The rows of the upper and lower edge at each column, [C] each, by dynamic programming."""
    rows = strip.rows[:, None]
    lips = (rows > strip.top * 0.85) & (rows < strip.bottom * 0.85)
    zero = np.zeros((1, _COLUMNS))
    above = np.concatenate([zero, np.cumsum(np.where(lips, to_upper, 0.0), axis=0)])
    below = np.concatenate([zero, np.cumsum(np.where(lips, to_lower, 0.0), axis=0)])
    alike = 2 * _UNLIKE - np.minimum(to_upper, to_lower)
    between = np.concatenate([zero, np.cumsum(np.where(lips, alike, _UNLIKE), axis=0)])
    edges = np.append(strip.rows, strip.rows[-1] + _STEP)[:, None] - _STEP / 2
    columns, away = np.arange(_COLUMNS), np.arange(-_REACH, _REACH + 1)[:, None]
    upper, lower = (
        np.clip(np.argmin(np.abs(edges - mesh), axis=0) + away, 0, len(edges) - 1)
        for mesh in (strip.upper, strip.lower)
    )  # [2 _REACH + 1, C]: which edge a state is, so that a path along the mesh is straight
    prior = 2.0 * np.log1p(0.5 * (away * _STEP / _TRUST) ** 2)
    of_upper = (above - between)[upper, columns] + prior
    of_lower = (below[-1:] - below + between)[lower, columns] + prior
    u, low = _path(of_upper, of_lower, upper, lower)
    return single(upper[u, columns]), single(lower[low, columns])


def _path(of_upper: Array, of_lower: Array, upper: Index, lower: Index) -> tuple[Index, Index]:
    """The cheapest states, [C] each, in which the upper edge is never below the lower."""
    cost = np.zeros((len(of_upper), len(of_lower)), np.float32)
    moves = []
    for c in range(_COLUMNS):
        cost, from_upper = _step(cost)
        cost, from_lower = _step(cost.T)
        crossed = 1e3 * (upper[:, c, None] > lower[None, :, c])
        cost = single(cost.T + of_upper[:, c, None] + of_lower[None, :, c] + crossed)
        moves.append((from_upper, from_lower.T))
    u, low = (int(v) for v in np.unravel_index(int(np.argmin(cost)), cost.shape))
    path = []
    for from_upper, from_lower in reversed(moves):
        path.append((u, low))
        low += int(from_lower[u, low])
        u += int(from_upper[u, low])
    found = np.array(path[::-1])
    return found[:, 0], found[:, 1]


def _step(cost: Array) -> tuple[Array, Array]:
    """The cheapest way to each row from one at most `_STEPS` away, and from where."""
    padded = np.pad(cost, ((_STEPS, _STEPS), (0, 0)), constant_values=1e9)
    shifts = range(-_STEPS, _STEPS + 1)
    n = len(cost)
    ways = np.stack([padded[_STEPS + s : _STEPS + s + n] + _BEND * abs(s) for s in shifts])
    best = np.argmin(ways, axis=0)
    return np.take_along_axis(ways, best[None], axis=0)[0], (best - _STEPS).astype(np.int8)


def _edge_rows(strip: _Strip, offset: Array) -> Array:
    return single((offset - strip.rows[0]) / _STEP + 0.5)


def _contrast(u: Array, low: Array, to_upper: Array, to_lower: Array) -> float:
    """How much more unlike lip what lies between the edges is than what lies beyond them."""
    row = np.arange(len(to_upper))[:, None]
    inside = (row >= u) & (row < low)
    beside_up, beside_low = (row < u) & (row >= u - 6), (row >= low) & (row < low + 6)
    unlike = float(np.minimum(to_upper, to_lower)[inside].mean())
    return unlike - float(np.concatenate([to_upper[beside_up], to_lower[beside_low]]).mean())


def _parted(strip: _Strip, u: Array, low: Array) -> Rim:
    """Both edges to a fraction of a pixel, meeting in the corners."""
    gap = low - u
    open_ = np.flatnonzero(gap > 1.5)
    left, right = int(open_[0]), int(open_[-1])
    upper = _edge(strip, u, low, -1)
    lower = _edge(strip, low, u, 1)
    seam = _valley(strip, (u + low) / 2)[0]
    shut = smoothstep(1.5, 3.5, _smooth(gap, 1.0))  # where they touch both are the seam
    upper, lower = (_smooth(seam + (edge - seam) * shut, 2.0) for edge in (upper, lower))
    ends = _corners(strip, seam, left, right)
    return _rim(strip, upper, lower, *ends)


def _edge(strip: _Strip, at: Array, other: Array, outward: int) -> Array:
    """Where the picture is halfway from lip to what lies within, near row edges `at`."""
    n = len(strip.rows)
    result = np.zeros(_COLUMNS, np.float32)
    soft = _smooth(strip.colours, 1.0, axis=1)
    for c in range(_COLUMNS):
        edge = float(at[c]) - 0.5  # of row centres
        depth = max(1.0, min(5.0, abs(other[c] - at[c]) / 2))
        steps = np.arange(-6, 7, dtype=np.float32)
        rows = np.clip(edge + outward * steps, 0, n - 1)
        line = np.stack([np.interp(rows, np.arange(n), soft[:, c, k]) for k in range(3)], -1)
        lip, within = line[9:12].mean(axis=0), line[int(6 - depth)]
        way = lip - within
        share = (line - within) @ way / max(float(way @ way), 1e-6)
        result[c] = edge + outward * _crossing(share, steps)
    return single(strip.rows[0] + _smooth(result, _ROUND) * _STEP)


def _crossing(share: Array, steps: Array) -> float:
    """Where `share` rises through a half nearest to step 0; 0 if it does not within 4."""
    rising = np.flatnonzero((share[:-1] < 0.5) & (share[1:] >= 0.5))
    if not len(rising):
        return 0.0
    i = rising[np.argmin(np.abs(steps[rising] + 0.5))]
    found = float(steps[i] + (0.5 - share[i]) / (share[i + 1] - share[i]))
    return found if abs(found) < 4 else 0.0


def _closed(strip: _Strip, near: Array) -> Rim | None:
    """The seam of closed lips as both edges; None if there is none to be seen."""
    seam, depth = _valley(strip, near)
    inner = slice(_COLUMNS // 5, -_COLUMNS // 5)
    if np.median(depth[inner]) < _SEAM:
        return None
    strong = np.flatnonzero(_smooth(depth, 2.0) > 0.35 * np.median(depth[inner]))
    ends = _corners(strip, seam, int(strong[0]), int(strong[-1]))
    return _rim(strip, seam, seam, *ends)


def _valley(strip: _Strip, near: Array) -> tuple[Array, Array]:
    """The darkest line at most a few pixels from row edges `near`: offset and depth, [C] each."""
    bright = _smooth(_smooth(strip.colours[..., 0], 1.0, axis=0), 1.5, axis=1)
    row = np.arange(len(strip.rows))[:, None]
    beside = np.minimum(np.roll(bright, 7, axis=0), np.roll(bright, -7, axis=0))
    away = np.abs(row - (near - 0.5))
    dark = np.where(away > 14, np.nan, bright)
    dark = dark - np.nanmedian(dark, axis=0)
    cost = (dark + bright - beside) * 8.0 + (away / 14.0) ** 2
    cost = np.where(away > 14, 1e3, cost)
    total, moves = cost[:, :1], []
    for c in range(1, _COLUMNS):
        total, came = _step(total)
        total = total + cost[:, c : c + 1]
        moves.append(came[:, 0])
    at = int(np.argmin(total[:, 0]))
    path = [at]
    for came in reversed(moves):
        at += int(came[at])
        path.append(at)
    rows = np.clip(np.array(path[::-1]), 2, len(strip.rows) - 3)
    columns = np.arange(_COLUMNS)
    a, b, c_ = (bright[rows + k, columns] for k in (-2, 0, 2))
    curve = a - 2 * b + c_
    shift = np.where(curve > 1e-5, np.clip((a - c_) / np.maximum(curve, 1e-5), -1.5, 1.5), 0.0)
    found = strip.rows[0] + _smooth(rows + shift, 0.75 * _ROUND) * _STEP
    return single(found), single((beside - bright)[rows, columns])


def _corners(strip: _Strip, seam: Array, left: int, right: int) -> tuple[float, float]:
    """x of both corners: as far as the line was seen, from the mesh's inner to its outer ones."""
    inner = np.flatnonzero((strip.lower - strip.upper > 0) | (strip.top < -8 * _STEP))
    first, last = (int(inner[0]), int(inner[-1])) if len(inner) else (left, right)
    limit = _COLUMNS // 6
    return (
        float(strip.x[int(np.clip(left, 1, max(first, limit)))]),
        float(strip.x[int(np.clip(right, min(last, _COLUMNS - 1 - limit), _COLUMNS - 2))]),
    )


def _rim(strip: _Strip, upper: Array, lower: Array, left: float, right: float) -> Rim:
    x = np.linspace(left, right, 65).astype(np.float32)
    top, bottom = (np.interp(x, strip.x, strip.middle + y) for y in (upper, lower))
    middle = (top + bottom) / 2
    ends = np.clip((1.0 - np.abs(np.linspace(-1, 1, 65))) / _TAPER, 0.0, 1.0) ** 0.8
    top, bottom = middle + (top - middle) * ends, middle + (bottom - middle) * ends
    return Rim(x, single(np.minimum(top, bottom)), single(np.maximum(top, bottom)))


def _smooth(x: Array, sigma: float, axis: int = 0) -> Array:
    """A Gaussian along `axis`, ends repeated."""
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    pad = [(0, 0)] * x.ndim
    pad[axis] = (reach, reach)
    padded = np.pad(x, pad, mode="edge")
    n = x.shape[axis]
    return single(
        sum(k * np.take(padded, np.arange(i, i + n), axis=axis) for i, k in enumerate(kernel))
    )
