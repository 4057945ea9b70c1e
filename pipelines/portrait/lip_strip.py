"""The mouth cut out along the mesh's line, and the edges in it that part lips from what is not lip.

Every pixel between the outer edges of the lips is compared with the colour of the upper and of the
lower lip beside it; the pair is found over the whole width at once, by dynamic programming.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import Array, Face, single, smoothstep

Index = npt.NDArray[np.intp]

COLUMNS = 121
STEP = 0.0024  # face units between rows: half a pixel of the canvas
_BEYOND = 0.035  # face units: how far past the mesh's corners the line between lips may go on
_REACH = 26  # rows that an edge may lie away from the mesh's
_TRUST = 0.014  # face units: how far the mesh is easily wrong
_BEND = 0.5  # cost of a row's step from column to column
_STEPS = 1  # rows that an edge may rise or fall per column
_UNLIKE = 0.42  # of the cost of a pixel that cannot be lip: a pixel as likely lip as not


@dataclass(frozen=True)
class Strip:
    """The mouth cut out along the mesh's own line: rows x columns."""

    x: Array  # [C] face units
    middle: Array  # [C] the mesh's line
    rows: Array  # [R] offset from it
    colours: Array  # [R, C, 3] brightness, then two differences of colour
    upper: Array  # [C] offsets of the mesh's edges
    lower: Array
    top: Array  # [C] offsets of the outer edges of the lips
    bottom: Array


def cut(face: Face, picture: Tensor) -> Strip:
    """Of the canvas `picture`, float32 [3, S, S] in [0, 1], along the mesh's own `face.mouth`."""
    rim, lips = face.mouth, face.lips
    x = np.linspace(lips.left - _BEYOND, lips.right + _BEYOND, COLUMNS).astype(np.float32)
    upper, lower, top, bottom = (
        f(x) for f in (rim.upper_at, rim.lower_at, lips.upper_at, lips.lower_at)
    )
    middle = (upper + lower) / 2
    for side, inner, outer, y in (
        (x < rim.left, rim.left, lips.left, lips.upper[0]),
        (x > rim.right, rim.right, lips.right, lips.upper[-1]),
    ):
        way = np.clip((x[side] - inner) / (outer - inner if outer != inner else 1.0), 0.0, 1.0)
        middle[side] += (y - middle[side]) * way
    beyond = (x < rim.left) | (x > rim.right)
    upper, lower = np.where(beyond, middle, upper), np.where(beyond, middle, lower)
    half = max(float((middle - top).max()), float((bottom - middle).max())) + 4 * STEP
    rows = np.arange(-half, half + STEP, STEP).astype(np.float32)
    at = np.stack(np.broadcast_arrays(x[None], middle[None] + rows[:, None]), axis=-1)
    where = torch.from_numpy(face.to_canvas(at))[None]
    seen = F.grid_sample(picture[None], where, padding_mode="border", align_corners=False)[0]
    return Strip(
        x, middle, rows, _opponent(seen), upper - middle, lower - middle, top - middle,
        bottom - middle,
    )  # fmt: skip


def _opponent(rgb: Tensor) -> Array:
    """Brightness, and how red and how blue, the latter twice as important as they are large."""
    r, g, b = rgb.numpy()
    return single(np.stack([0.3 * r + 0.6 * g + 0.1 * b, 2.0 * (r - g), 1.2 * (b - g)], axis=-1))


def unlike_lips(strip: Strip) -> tuple[Array, Array]:
    """How unlike the upper and the lower lip at its column each pixel is: [R, C], 0 to 1."""
    rows = strip.rows[:, None]
    bands = []
    for inner, outer in ((strip.upper, strip.top), (strip.lower, strip.bottom)):
        depth = (rows - inner) / np.where(np.abs(outer - inner) < 1e-4, 1e-4, outer - inner)
        bands.append((depth > 0.30) & (depth < 0.85))
    to_upper, _ = _distance(strip.colours, bands[0])
    to_lower, fair = _distance(strip.colours, bands[1])
    to_upper = np.minimum(to_upper, to_lower)  # where the mesh takes a moustache for the lip
    past = smoothstep(0.002, 0.010, rows - strip.lower)  # light on a lower lip is not a tooth
    return to_upper, single(to_lower * (1.0 - past * fair))


def _distance(colours: Array, band: Array) -> tuple[Array, Array]:
    """From the median colour of `band` around each column, and which pixels are brighter, or redder
    and not much darker."""
    columns = np.arange(COLUMNS)
    if band.sum() < 20:
        return np.ones(band.shape, np.float32), np.zeros(band.shape, np.float32)
    own = np.full((COLUMNS, 3), np.nan)
    for c in columns:
        near = slice(max(0, c - 10), c + 11)
        if band[:, near].sum() >= 12:
            own[c] = np.median(colours[:, near][band[:, near]], axis=0)
    known = np.flatnonzero(~np.isnan(own[:, 0]))
    own = np.stack([np.interp(columns, known, own[known, k]) for k in range(3)], axis=-1)
    off = np.linalg.norm(colours - own, axis=-1)
    rough = float(np.clip(np.median(off[band]) * 1.5, 0.035, 0.10))
    far = single(1.0 - np.exp(-0.5 * (off / (1.6 * rough)) ** 2))
    redder = (colours[..., 1] > own[:, 1]) & (colours[..., 0] > 0.65 * own[:, 0])
    return far, single((colours[..., 0] > own[:, 0]) | redder)


def best_pair(strip: Strip, to_upper: Array, to_lower: Array) -> tuple[Array, Array]:
    """The rows of the upper and lower edge at each column, [C] each, by dynamic programming."""
    rows = strip.rows[:, None]
    lips = (rows > strip.top * 0.85) & (rows < strip.bottom * 0.85)
    zero = np.zeros((1, COLUMNS))
    above = np.concatenate([zero, np.cumsum(np.where(lips, to_upper, 0.0), axis=0)])
    below = np.concatenate([zero, np.cumsum(np.where(lips, to_lower, 0.0), axis=0)])
    alike = 2 * _UNLIKE - np.minimum(to_upper, to_lower)
    between = np.concatenate([zero, np.cumsum(np.where(lips, alike, _UNLIKE), axis=0)])
    edges = np.append(strip.rows, strip.rows[-1] + STEP)[:, None] - STEP / 2
    columns, away = np.arange(COLUMNS), np.arange(-_REACH, _REACH + 1)[:, None]
    upper, lower = (
        np.clip(np.argmin(np.abs(edges - mesh), axis=0) + away, 0, len(edges) - 1)
        for mesh in (strip.upper, strip.lower)
    )  # [2 _REACH + 1, C]: which edge a state is, so that a path along the mesh is straight
    prior = 2.0 * np.log1p(0.5 * (away * STEP / _TRUST) ** 2)
    of_upper = (above - between)[upper, columns] + prior
    of_lower = (below[-1:] - below + between)[lower, columns] + prior
    u, low = _path(of_upper, of_lower, upper, lower)
    return single(upper[u, columns]), single(lower[low, columns])


def _path(of_upper: Array, of_lower: Array, upper: Index, lower: Index) -> tuple[Index, Index]:
    """The cheapest states, [C] each, in which the upper edge is never below the lower."""
    cost = np.zeros((len(of_upper), len(of_lower)), np.float32)
    moves = []
    for c in range(COLUMNS):
        cost, from_upper = step_along(cost)
        cost, from_lower = step_along(cost.T)
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


def step_along(cost: Array) -> tuple[Array, Array]:
    """The cheapest way to each row from one at most `_STEPS` away, and from where."""
    padded = np.pad(cost, ((_STEPS, _STEPS), (0, 0)), constant_values=1e9)
    shifts = range(-_STEPS, _STEPS + 1)
    n = len(cost)
    ways = np.stack([padded[_STEPS + s : _STEPS + s + n] + _BEND * abs(s) for s in shifts])
    best = np.argmin(ways, axis=0)
    return np.take_along_axis(ways, best[None], axis=0)[0], (best - _STEPS).astype(np.int8)


def edge_rows(strip: Strip, offset: Array) -> Array:
    """Offsets [C] as edges of rows."""
    return single((offset - strip.rows[0]) / STEP + 0.5)


def contrast(u: Array, low: Array, to_upper: Array, to_lower: Array) -> float:
    """How much more unlike lip what lies between the edges is than what lies beyond them."""
    row = np.arange(len(to_upper))[:, None]
    inside = (row >= u) & (row < low)
    beside_up, beside_low = (row < u) & (row >= u - 6), (row >= low) & (row < low + 6)
    unlike = float(np.minimum(to_upper, to_lower)[inside].mean())
    return unlike - float(np.concatenate([to_upper[beside_up], to_lower[beside_low]]).mean())


def smooth(x: Array, sigma: float, axis: int = 0) -> Array:
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
