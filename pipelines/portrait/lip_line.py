"""Finds the inner edges of the lips in the picture, starting from the mesh.

The mesh knows where a mouth is to a few pixels, but not whether a bright or dark strip in it is
lip, nor how far the dark line goes on beyond the corners of the lips. The edges that `lip_strip`
finds are refined to a fraction of a pixel and bend only where the picture shows them clearly.
Closed lips have no between: there both edges are the dark seam.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.geometry import Array, Face, Rim, single, smoothstep
from pipelines.portrait.lip_strip import (
    COLUMNS,
    STEP,
    Strip,
    best_pair,
    contrast,
    cut,
    edge_rows,
    smooth,
    step_along,
    unlike_lips,
)

APART = 0.012  # face units: lips further apart than this show what is behind them
_STIFF = 500.0  # of an edge against bends, in columns to the fourth: lips have no dents
_HELD = 0.02  # of an edge to the mesh's, where the picture shows nothing
_TAPER = 0.20  # of half the width, in which the edges meet in the corners
_SURE = 0.40  # how much more unlike lip the between must be than the lips themselves
_WITHIN = 0.06  # of half the width of the lips, by which they stay together at their corners
_BEYOND = 0.020  # face units: lips end at most so far beyond the mesh's corners
_WIDE = 0.035  # face units: gaps of the mesh that are never the shade of closed lips
_THICK = 0.004  # face units: gaps of the mesh at which a dark line may be read as an opening
_SHADED, _BARELY = 1.5, 0.95  # times the mesh's gap, and of `APART`, that shade may be between lips
_SEAM = 0.016  # of full brightness: the least depth of a seam
_CLEAR = 0.25  # how different lip and what is within are across a clear edge
_DARK = 8  # rows that a dark line may be thick on either side


def find_lip_line(face: Face, picture: Tensor) -> Tensor:
    """Return x, upper and lower inner edge of the lips: float32 [3, n], face units.

    `picture` is the canvas, float32 [3, S, S] in [0, 1]. `face.mouth` must be the mesh's own; it
    is returned where the picture shows no clear line, as under a beard.
    """
    strip = cut(face, picture)
    gap = face.mouth.gap
    near = edge_rows(strip, (strip.upper + strip.lower) / 2)
    rim = None
    if gap > APART:  # of anything less the mesh is sure
        to_upper, to_lower = unlike_lips(strip)
        u, low = best_pair(strip, to_upper, to_lower)
        apart = np.quantile(low - u, 0.9) * STEP > APART
        if apart and contrast(u, low, to_upper, to_lower) > _SURE:
            rim = _parted(strip, u, low)
        elif not apart:
            near = (u + low) / 2
    if rim is None and gap < _WIDE:
        rim = _closed(strip, near, gap)
    rim = face.mouth if rim is None else rim
    return torch.from_numpy(np.stack([rim.x, rim.upper, rim.lower]))


def opening(face: Face) -> tuple[float, float]:
    """x between which lips part: their dark line may go on beyond, as a crease of the skin."""
    rim, lips = face.mouth, face.lips
    within = _WITHIN * lips.half_width
    return max(rim.left, lips.left + within), min(rim.right, lips.right - within)


def corners(face: Face) -> tuple[float, float]:
    """x between which parted lips are lips, open or not: as far as their dark line goes, but where
    it is a crease of the cheek."""
    rim, lips = face.mouth, face.lips
    return max(rim.left, lips.left - _BEYOND), min(rim.right, lips.right + _BEYOND)


def _parted(strip: Strip, u: Array, low: Array) -> Rim:
    """Both edges to a fraction of a pixel, meeting in the corners."""
    seam, depth = _valley(strip, (u + low) / 2)
    gap = low - u
    shut = smoothstep(1.5, 3.5, smooth(gap, 1.0))  # where they touch, both edges are the seam's
    edges = []
    for at, other, outward, mesh in ((u, low, -1, strip.upper), (low, u, 1, strip.lower)):
        edge, clear = _edge(strip, at, other, outward)
        dark = _dark_edge(strip, seam, outward)
        edges.append(_eased(dark + (edge - dark) * shut, mesh, np.maximum(clear, 0.3)))
    open_ = np.flatnonzero(gap > 1.5)
    ends = _corners(strip, depth, int(open_[0]), int(open_[-1]))
    return _rim(strip, edges[0], edges[1], *ends)


def _edge(strip: Strip, at: Array, other: Array, outward: int) -> tuple[Array, Array]:
    """Where the picture is halfway from lip to what lies within, near row edges `at`: offsets, and
    how clearly they are seen, 0 to 1."""
    n = len(strip.rows)
    result, clear = np.zeros((2, COLUMNS), np.float32)
    soft = smooth(strip.colours, 1.0, axis=1)
    for c in range(COLUMNS):
        edge = float(at[c]) - 0.5  # of row centres
        depth = max(1.0, min(5.0, abs(other[c] - at[c]) / 2))
        steps = np.arange(-6, 7, dtype=np.float32)
        rows = np.clip(edge + outward * steps, 0, n - 1)
        line = np.stack([np.interp(rows, np.arange(n), soft[:, c, k]) for k in range(3)], -1)
        lip, within = line[9:12].mean(axis=0), line[int(6 - depth)]
        way = lip - within
        share = (line - within) @ way / max(float(way @ way), 1e-6)
        result[c] = edge + outward * _crossing(share, steps)
        clear[c] = min(1.0, float(np.linalg.norm(way)) / _CLEAR)
    return single(strip.rows[0] + result * STEP), clear


def _dark_edge(strip: Strip, seam: Array, outward: int) -> Array:
    """Where the dark line at offsets `seam` has brightened by half, above (-1) or below it (1)."""
    bright = smooth(strip.colours[..., 0], 1.0, axis=1)
    columns, start = np.arange(COLUMNS), (seam - strip.rows[0]) / STEP
    steps = np.arange(_DARK + 1)
    rows = np.clip(np.round(start + outward * steps[:, None]), 0, len(strip.rows) - 1).astype(int)
    line = bright[rows, columns]  # [_DARK + 1, C]
    half = (line[0] + line.max(axis=0)) / 2
    reach = np.argmax(line >= half, axis=0)
    return single(seam + outward * smooth(single(reach), 1.5) * STEP)


def _eased(found: Array, mesh: Array, weight: Array) -> Array:
    """The edge that follows `found` where it is clear, and elsewhere goes as the mesh's does."""
    bends = np.diff(np.eye(COLUMNS), 2, axis=0)
    stiff = _STIFF * bends.T @ bends + np.diag(weight + _HELD)
    return single(mesh + np.linalg.solve(stiff, weight * (found - mesh)))


def _crossing(share: Array, steps: Array) -> float:
    """Where `share` rises through a half nearest to step 0; 0 if it does not within 4."""
    rising = np.flatnonzero((share[:-1] < 0.5) & (share[1:] >= 0.5))
    if not len(rising):
        return 0.0
    i = rising[np.argmin(np.abs(steps[rising] + 0.5))]
    found = float(steps[i] + (0.5 - share[i]) / (share[i + 1] - share[i]))
    return found if abs(found) < 4 else 0.0


def _closed(strip: Strip, near: Array, gap: float) -> Rim | None:
    """The seam of closed lips as both edges, or of a thick dark line its edges if the mesh has a
    `gap`; None if there is none to be seen.

    Where the mesh sees lips apart by less than shows what is behind them, little more of the dark
    line is between them, and the rest the lips' own shade. Taken all for a gap, lips that had been
    closed were squeezed thin, and lost their line.
    """
    seam, depth = _valley(strip, near)
    inner = slice(COLUMNS // 4, -COLUMNS // 4)
    usual = float(np.median(depth[inner]))
    if usual < _SEAM:
        return None
    strong = np.flatnonzero(smooth(depth, 2.0) > 0.35 * usual)
    ends = _corners(strip, depth, int(strong[0]), int(strong[-1]))
    clear = np.clip(depth / usual, 0.0, 1.0)
    middle = np.zeros_like(seam)  # the mesh's, whose own gap is none
    line = _eased(seam, middle, clear)
    if gap > _THICK:
        upper, lower = (
            _eased(_dark_edge(strip, seam, outward), middle, clear) for outward in (-1, 1)
        )
        if gap <= APART:
            wide = min(_SHADED, _BARELY * APART / gap)
            half = 0.5 * wide * np.maximum(strip.lower - strip.upper, 0.0)
            upper = np.maximum(upper, line - half)
            lower = np.minimum(lower, line + half)
            return _rim(strip, np.minimum(upper, line), np.maximum(lower, line), *ends)
        if float((lower - upper).max()) > APART:
            return _rim(strip, upper, lower, *ends)
    return _rim(strip, line, line, *ends)


def _valley(strip: Strip, near: Array) -> tuple[Array, Array]:
    """The darkest line at most a few pixels from row edges `near`: offset and depth, [C] each."""
    bright = smooth(smooth(strip.colours[..., 0], 1.0, axis=0), 1.5, axis=1)
    row = np.arange(len(strip.rows))[:, None]
    beside = np.minimum(np.roll(bright, 7, axis=0), np.roll(bright, -7, axis=0))
    away = np.abs(row - (near - 0.5))
    dark = np.where(away > 14, np.nan, bright)
    dark = dark - np.nanmedian(dark, axis=0)
    cost = (dark + bright - beside) * 8.0 + (away / 7.0) ** 2
    cost = np.where(away > 14, 1e3, cost)
    total, moves = cost[:, :1], []
    for c in range(1, COLUMNS):
        total, came = step_along(total)
        total = total + cost[:, c : c + 1]
        moves.append(came[:, 0])
    at = int(np.argmin(total[:, 0]))
    path = [at]
    for came in reversed(moves):
        at += int(came[at])
        path.append(at)
    rows = np.clip(np.array(path[::-1]), 2, len(strip.rows) - 3)
    columns = np.arange(COLUMNS)
    a, b, c_ = (bright[rows + k, columns] for k in (-2, 0, 2))
    curve = a - 2 * b + c_
    shift = np.where(curve > 1e-5, np.clip((a - c_) / np.maximum(curve, 1e-5), -1.5, 1.5), 0.0)
    found = strip.rows[0] + smooth(rows + shift, 1.0) * STEP
    return single(found), single((beside - bright)[rows, columns])


def _corners(strip: Strip, depth: Array, left: int, right: int) -> tuple[float, float]:
    """x of both corners: where the dark line of `depth` ends, or lips do from column `left` to
    `right`; at least the mesh's inner corners."""
    inner = np.flatnonzero((strip.lower - strip.upper > 0) | (strip.top < -8 * STEP))
    first, last = (int(inner[0]), int(inner[-1])) if len(inner) else (left, right)
    middle = slice(COLUMNS // 4, -COLUMNS // 4)
    faint = np.flatnonzero(smooth(depth, 1.5) < 0.4 * np.median(depth[middle]))
    before, after = faint[faint < max(left, first)], faint[faint > min(right, last)]
    left = min(left, int(before[-1]) + 1) if len(before) else 1
    right = max(right, int(after[0]) - 1) if len(after) else COLUMNS - 2
    return float(strip.x[min(left, first)]), float(strip.x[max(right, last)])


def _rim(strip: Strip, upper: Array, lower: Array, left: float, right: float) -> Rim:
    x = np.linspace(left, right, 65).astype(np.float32)
    top, bottom = (np.interp(x, strip.x, strip.middle + y) for y in (upper, lower))
    middle = (top + bottom) / 2
    ends = np.clip((1.0 - np.abs(np.linspace(-1, 1, 65))) / _TAPER, 0.0, 1.0) ** 0.8
    top, bottom = middle + (top - middle) * ends, middle + (bottom - middle) * ends
    return Rim(x, single(np.minimum(top, bottom)), single(np.maximum(top, bottom)))
