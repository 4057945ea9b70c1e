"""Finds the true outline of each eye in the picture, starting from the mesh.

On photos the mesh is right to a pixel. Drawn and painted eyes are often larger than the mesh
expects; there the white of the eye goes on beyond it, and the outline grows along.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import IRIS, SIDES, Array, Face, Mask, Rim, Side

_COLUMNS, _ROWS = 97, 96
_ACROSS, _DOWN = 1.35, 1.3  # extent looked at, in half widths and openings
_REACH = 22  # grid steps that the outline may grow
_ROUGH = 0.045  # of the opening: a rougher outline is not an eye


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
    white = inside & (from_iris > 1.2)
    if white.sum() < 30:
        return rim
    bright = colours.mean(axis=-1)
    white &= bright >= np.quantile(bright[white], 0.5)
    around = (y > rim.lower_at(x) + 0.5 * rim.gap) | (y < rim.upper_at(x) - 0.6 * rim.gap)
    eye, skin = np.median(colours[white], axis=0), np.median(colours[around], axis=0)
    hue, eye_hue, skin_hue = (
        c / (c.sum(axis=-1, keepdims=True) + 1e-3) for c in (colours, eye, skin)
    )
    contrast = float(np.linalg.norm(eye_hue - skin_hue))
    if np.linalg.norm(eye - skin) < 0.17 or contrast < 0.05:
        return rim  # a photo in soft light; the mesh is right there
    to_eye = np.linalg.norm(colours - eye, axis=-1)
    to_skin = np.linalg.norm(colours - skin, axis=-1)
    alike = (to_eye < 0.6 * to_skin) & (bright > 0.75 * float(eye.mean()))
    shaded = np.linalg.norm(hue - eye_hue, axis=-1) < 0.45 * contrast  # grey, but not skin
    alike |= shaded & (bright > 0.42 * float(eye.mean()))
    alike |= (from_iris < 1.0) & (to_skin > 0.18)
    return _outline(_grow(inside, alike), x[0], y[:, 0], rim)


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
