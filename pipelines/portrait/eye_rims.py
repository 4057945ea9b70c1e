"""Finds the true outline of each eye in the picture, starting from the mesh.

Drawn and painted eyes are often larger than the mesh expects; there the white of the eye goes on
beyond it, and the outline grows along. On photos the mesh is right to two or three pixels: up to a
quarter of the opening, so that a lid would begin in the middle of its lashes, or above its crease.
There the outline is bent to where the picture changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import IRIS, SIDES, Array, Face, Mask, Rim, Side, single

_COLUMNS, _ROWS = 97, 96
_ACROSS, _DOWN = 1.35, 1.3  # extent looked at, in half widths and openings
_REACH = 22  # grid steps that the outline may grow
_ROUGH = 0.045  # of the opening: a rougher outline is not an eye
# Of the opening: how far into it a rim is looked for. Hardly outwards, where creases are.
_BENDS = np.linspace(-0.10, 0.30, 9)
_STIFF = 3.0  # what a bend of the whole opening must gain, of the eye's contrast
_UNEVEN = 1.5  # and the same of neighbouring thirds that bend apart
_CLEARLY = 1.25  # times the steps of the bent outline: painted eyes on photos pass for drawn ones
_MOST = 0.35  # of the eye's contrast: a step that a catch light makes is no rim


def find_eye_rims(face: Face, picture: Tensor) -> Tensor:
    """Return x, upper and lower edge of the right and left eye: float32 [2, 3, n], face units.

    `picture` is the canvas, float32 [3, S, S] in [0, 1].
    """
    rims = [_grown(face, side, picture) for side in SIDES]
    return torch.from_numpy(np.stack([np.stack([r.x, r.upper, r.lower]) for r in rims]))


def _grown(face: Face, side: Side, picture: Tensor) -> Rim:
    rim = face.eyes[side]
    x, y = _grid(rim)
    colours = _look(face, picture, x, y)  # [R, C, 3]
    inside = (
        (y > rim.upper_at(x)) & (y < rim.lower_at(x)) & (np.abs(x - rim.middle) < rim.half_width)
    )
    points = face.points[list(IRIS[side]), :2]
    radius = float(np.linalg.norm(points[1:] - points[0], axis=1).mean())
    from_iris = np.hypot(x - points[0, 0], y - points[0, 1]) / radius
    iris = np.abs(x[0] - points[0, 0]) < 0.75 * radius
    steps = _steps(colours, x[0], y[:, 0], iris, rim.gap)
    bent = _bent(steps, rim)
    white = inside & (from_iris > 1.2)
    if white.sum() < 30:
        return bent
    bright = colours.mean(axis=-1)
    white &= bright >= np.quantile(bright[white], 0.5)
    around = (y > rim.lower_at(x) + 0.5 * rim.gap) | (y < rim.upper_at(x) - 0.6 * rim.gap)
    eye, skin = np.median(colours[white], axis=0), np.median(colours[around], axis=0)
    hue, eye_hue, skin_hue = (
        c / (c.sum(axis=-1, keepdims=True) + 1e-3) for c in (colours, eye, skin)
    )
    contrast = float(np.linalg.norm(eye_hue - skin_hue))
    if np.linalg.norm(eye - skin) < 0.17 or contrast < 0.05:
        return bent  # a photo in soft light
    to_eye = np.linalg.norm(colours - eye, axis=-1)
    to_skin = np.linalg.norm(colours - skin, axis=-1)
    alike = (to_eye < 0.6 * to_skin) & (bright > 0.75 * float(eye.mean()))
    shaded = np.linalg.norm(hue - eye_hue, axis=-1) < 0.45 * contrast  # grey, but not skin
    alike |= shaded & (bright > 0.42 * float(eye.mean()))
    alike |= (from_iris < 1.0) & (to_skin > 0.18)
    grown = _outline(_grow(inside, alike), x[0], y[:, 0], rim)
    return grown if steps.of(grown) > _CLEARLY * max(steps.of(bent), 0.0) else bent


def _grid(rim: Rim) -> tuple[Array, Array]:
    middle = float(rim.upper.min() + rim.lower.max()) / 2
    x = rim.middle + np.linspace(-_ACROSS, _ACROSS, _COLUMNS) * rim.half_width
    y = middle + np.linspace(-_DOWN, _DOWN, _ROWS) * rim.gap
    gx, gy = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return gx, gy


def _look(face: Face, picture: Tensor, x: Array, y: Array) -> Array:
    where = torch.from_numpy(face.to_canvas(np.stack([x, y], axis=-1)))[None]
    seen = F.grid_sample(picture[None], where, padding_mode="border", align_corners=False)
    return np.asarray(seen[0].permute(1, 2, 0).numpy())


@dataclass(frozen=True)
class _Steps:
    """How much rather an edge lies there than elsewhere: at rows `y` [R] and columns `x` [C]."""

    x: Array
    y: Array
    upper: Array  # [R, C], in the eye's contrasts
    lower: Array

    def along(self, edge: Array, steps: Array) -> Array:
        """What edges [..., C] at the columns `edge` collect of `steps` on their way."""
        row = (edge - self.y[0]) / (self.y[1] - self.y[0])
        rows = np.clip(row, 0, len(self.y) - 1).round().astype(np.int64)
        return single(steps[rows, np.arange(len(self.x))])

    def of(self, rim: Rim) -> float:
        """The mean over both edges of `rim`."""
        inner = np.abs(self.x - rim.middle) < 0.9 * rim.half_width
        edges = (rim.upper_at(self.x), self.upper), (rim.lower_at(self.x), self.lower)
        return float(np.mean([self.along(edge, steps)[inner].mean() for edge, steps in edges]))


def _steps(colours: Array, x: Array, y: Array, iris: Mask, gap: float) -> _Steps:
    """Upwards an eye becomes darker where its lashes begin, downwards it becomes redder and, but
    for the columns of the `iris`, darker. `colours` is [R, C, 3]."""
    bright = colours.mean(axis=-1)
    red = colours[..., 0] - colours[..., 2]
    low, high = np.quantile(bright, (0.05, 0.95))
    reach = max(1, round(0.055 * gap / float(y[1] - y[0])))
    rise, blush = (_step(p, reach) / max(float(high - low), 0.05) for p in (bright, red))
    lower = np.where(iris, -0.6, 1.0) * -rise + 0.7 * blush
    return _Steps(x, y, np.clip(rise, -_MOST, _MOST), single(np.clip(lower, -_MOST, _MOST)))


def _step(plane: Array, reach: int) -> Array:
    """How much `plane` [R, C] grows downwards from just above each row to just below it."""
    rows = np.arange(len(plane))
    below, above = (np.clip(rows + d, 0, len(plane) - 1) for d in (reach, -reach))
    return single(plane[below] - plane[above])


def _bent(steps: _Steps, rim: Rim) -> Rim:
    """Both edges bent to where the picture has its steps."""
    upper = _bend(steps, steps.upper, rim, rim.upper, _BENDS)
    lower = _bend(steps, steps.lower, rim, rim.lower, -_BENDS)
    return Rim(rim.x, np.minimum(upper, lower), np.maximum(upper, lower))


def _bend(steps: _Steps, plane: Array, rim: Rim, edge: Array, offers: Array) -> Array:
    """`edge`, bent at its thirds by the `offers` that gain most."""
    u = (steps.x - rim.middle) / rim.half_width
    inner = np.abs(u) < 0.9
    ends = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    bends = np.stack(np.meshgrid(offers, offers, offers, indexing="ij"), axis=-1).reshape(-1, 3)
    hats = np.stack([np.interp(u, ends, np.eye(5)[n]) for n in (1, 2, 3)])  # [3, C]
    at = np.interp(steps.x, rim.x, edge) + rim.gap * (bends @ hats)  # [N, C]
    gain = steps.along(at, plane)[:, inner].mean(axis=1)
    gain -= _STIFF * (bends**2).mean(axis=1) + _UNEVEN * (np.diff(bends) ** 2).mean(axis=1)
    best = bends[int(gain.argmax())]
    curve = np.interp((rim.x - rim.middle) / rim.half_width, ends, [0.0, *best, 0.0])
    return single(edge + rim.gap * _rounded(curve))


def _rounded(curve: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A line of straight parts without its corners; its ends stay."""
    ramp = max(3, len(curve) // 5) | 1
    padded = np.concatenate([-curve[ramp // 2 : 0 : -1], curve, -curve[-2 : -ramp // 2 - 1 : -1]])
    return np.convolve(padded, np.ones(ramp) / ramp, mode="valid")


def _grow(seed: Mask, allowed: Mask) -> Mask:
    """Spread `seed` into neighbouring `allowed` cells, `_REACH` steps far."""
    grown = torch.from_numpy(seed.astype(np.float32))[None, None]
    may = torch.from_numpy((seed | allowed).astype(np.float32))[None, None]
    for _ in range(_REACH):
        grown = F.max_pool2d(grown, 3, stride=1, padding=1) * may
    return np.asarray(grown[0, 0].numpy() > 0.5)


def _outline(mask: Mask, x: Array, y: Array, rim: Rim) -> Rim:
    """The edges of `mask` as two smooth curves between corners; the mesh's own if it has none."""
    columns = np.flatnonzero(mask.sum(axis=0) >= 3)
    left, right = min(x[columns[0]], rim.left), max(x[columns[-1]], rim.right)
    half = (y[1] - y[0]) / 2
    upper = np.array([y[np.argmax(mask[:, c])] - half for c in columns])
    lower = np.array([y[len(y) - 1 - np.argmax(mask[::-1, c])] + half for c in columns])
    u = (x[columns] - (left + right) / 2) / ((right - left) / 2)
    up, up_error = _lid_curve(u, upper)
    low, low_error = _lid_curve(u, lower)
    at = np.linspace(left, right, len(rim.x)).astype(np.float32)
    fine = np.linspace(-1.0, 1.0, len(rim.x))
    top, bottom = np.polyval(up, fine), np.polyval(low, fine)
    grown = float((bottom - top).max()) / rim.gap
    if max(up_error, low_error) > _ROUGH * rim.gap or grown > 1.6:
        return rim
    fringe = 0.03 * rim.gap  # past the soft edge of the white
    top, bottom = top - fringe, bottom + fringe
    corner = (top + bottom) / 2
    ends = np.clip((1.0 - np.abs(fine)) / 0.06, 0.0, 1.0)  # the curves meet in the corners
    top, bottom = corner + (top - corner) * ends, corner + (bottom - corner) * ends
    return Rim(at, np.minimum(top, bottom).astype(np.float32), bottom.astype(np.float32))


def _lid_curve(u: Array, y: Array) -> tuple[npt.NDArray[np.float64], float]:
    """Coefficients of a curve of degree 4 through a lid's edge, and its mean error."""
    curve = np.polyfit(u, y, 4)
    return curve, float(np.abs(np.polyval(curve, u) - y).mean())
