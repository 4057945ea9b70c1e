"""The face as curves and frames, read off the mesh: where lips, lids and brows are.

Canvas coordinates: x, y in [-1, 1] edge to edge of the square canvas, y down; z on the same scale,
away from the viewer. Face coordinates: origin between the lips, x along the eye line to the right
of the picture, y down, unit = face height (forehead to chin), so that the constants of all fields
hold for every face. The subject's right is the left of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Side = Literal["Right", "Left"]
SIDES: tuple[Side, Side] = ("Right", "Left")

UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_LID = {
    "Right": (33, 246, 161, 160, 159, 158, 157, 173, 133),
    "Left": (362, 398, 384, 385, 386, 387, 388, 466, 263),
}
LOWER_LID = {
    "Right": (33, 7, 163, 144, 145, 153, 154, 155, 133),
    "Left": (362, 382, 381, 380, 374, 373, 390, 249, 263),
}
BROW = {"Right": (70, 63, 105, 66, 107), "Left": (300, 293, 334, 296, 336)}  # outer to inner
IRIS = {"Right": (468, 469, 470, 471, 472), "Left": (473, 474, 475, 476, 477)}
FOREHEAD, CHIN, NOSE_TIP, NOSE_BASE = 10, 152, 1, 2
CHEEK = {"Right": 234, "Left": 454}


@dataclass(frozen=True)
class Rim:
    """An opening from corner to corner: its upper and lower edge as y over x, face units."""

    x: Array  # [n] increasing
    upper: Array  # [n]
    lower: Array  # [n]

    @property
    def left(self) -> float:
        """x of the corner at the left of the picture."""
        return float(self.x[0])

    @property
    def right(self) -> float:
        """x of the corner at the right of the picture."""
        return float(self.x[-1])

    @property
    def middle(self) -> float:
        """x halfway between the corners."""
        return (self.left + self.right) / 2

    @property
    def half_width(self) -> float:
        """Half the distance of the corners."""
        return (self.right - self.left) / 2

    def upper_at(self, x: Array) -> Array:
        """y of the upper edge at `x`, level beyond the corners."""
        return single(np.interp(x, self.x, self.upper))

    def lower_at(self, x: Array) -> Array:
        """y of the lower edge at `x`, level beyond the corners."""
        return single(np.interp(x, self.x, self.lower))

    @property
    def gap(self) -> float:
        """The widest opening."""
        return float((self.lower - self.upper).max())


@dataclass(frozen=True)
class Face:
    """Frame and curves of one face. Points are in face units unless said otherwise."""

    points: Array  # [478, 3] face units, z toward the viewer
    origin: Array  # [2] canvas coordinates of the mouth's middle
    axes: Array  # [2, 2] rows: face x and face y in canvas coordinates, length 1
    unit: float  # face height in canvas units
    mouth: Rim
    lips: Rim  # the outer edge of the red of the lips
    eyes: dict[Side, Rim]

    def to_face(self, canvas: Array) -> Array:
        """Canvas coordinates [..., 2] to face coordinates."""
        return single((canvas - self.origin) @ self.axes.T / self.unit)

    def to_canvas(self, face: Array) -> Array:
        """Face coordinates [..., 2] to canvas coordinates."""
        return single(face @ self.axes * self.unit + self.origin)

    def vectors(self, face: Array) -> Array:
        """Displacements [..., 2] in face units to canvas units."""
        return single(face @ self.axes * self.unit)

    @cached_property
    def interocular(self) -> float:
        """Distance of the outer eye corners, face units."""
        return float(np.linalg.norm(self.points[33, :2] - self.points[263, :2]))

    @property
    def chin(self) -> float:
        """y of the chin."""
        return float(self.points[CHIN, 1])

    @property
    def nose(self) -> float:
        """y of the nose base, negative."""
        return float(self.points[NOSE_BASE, 1])


def measure(landmarks: Array, eye_rims: Array | None = None, lip_line: Array | None = None) -> Face:
    """Read frame and curves off `landmarks` [478, 3] in canvas coordinates.

    `eye_rims` [2, 3, n] (x, upper, lower; right eye, left eye) and `lip_line` [3, n] (x, upper,
    lower) replace the mesh's own.
    """
    eye_line = landmarks[263, :2] - landmarks[33, :2]
    axis_x = eye_line / np.linalg.norm(eye_line)
    axes = np.stack([axis_x, np.array([-axis_x[1], axis_x[0]])]).astype(np.float32)
    origin = (landmarks[13, :2] + landmarks[14, :2]) / 2
    unit = float(np.linalg.norm(landmarks[FOREHEAD, :2] - landmarks[CHIN, :2]))
    flat = (landmarks[:, :2] - origin) @ axes.T / unit
    depth = -(landmarks[:, 2:] - landmarks[CHEEK["Right"], 2] / 2 - landmarks[454, 2] / 2) / unit
    points = np.concatenate([flat, depth], axis=1).astype(np.float32)
    return Face(
        points=points,
        origin=origin.astype(np.float32),
        axes=axes,
        unit=unit,
        mouth=_rim(points, UPPER_INNER, LOWER_INNER) if lip_line is None else Rim(*lip_line),
        lips=_rim(points, UPPER_OUTER, LOWER_OUTER),
        eyes=_mesh_eyes(points) if eye_rims is None else _found_eyes(eye_rims),
    )


def _mesh_eyes(points: Array) -> dict[Side, Rim]:
    return {side: _rim(points, UPPER_LID[side], LOWER_LID[side]) for side in SIDES}


def _found_eyes(rims: Array) -> dict[Side, Rim]:
    return {side: Rim(*rims[i]) for i, side in enumerate(SIDES)}


def _rim(points: Array, upper: tuple[int, ...], lower: tuple[int, ...]) -> Rim:
    """Resample two landmark chains that share their ends onto a common, fine x axis."""
    top, bottom = points[list(upper), :2], points[list(lower), :2]
    n = 65
    x = np.linspace(top[0, 0], top[-1, 0], n).astype(np.float32)
    up, low = _smooth_curve(top, x), _smooth_curve(bottom, x)
    return Rim(x, np.minimum(up, low), np.maximum(up, low))


def _smooth_curve(chain: Array, x: Array) -> Array:
    """y over `x` through a chain of points with increasing x, corners rounded by a light blur."""
    order = np.argsort(chain[:, 0])
    y = np.interp(x, chain[order, 0], chain[order, 1])
    kernel = np.array([1, 4, 6, 4, 1], dtype=np.float64) / 16
    for _ in range(3):
        padded = np.concatenate([[2 * y[0] - y[2], 2 * y[0] - y[1]], y, [2 * y[-1] - y[-2]] * 2])
        smooth = np.convolve(padded, kernel, mode="valid")
        smooth[0], smooth[-1] = y[0], y[-1]
        y = smooth
    return single(y)


def single(x: npt.ArrayLike) -> Array:
    """`x` in single precision."""
    return np.asarray(x, dtype=np.float32)


def smoothstep(low: float | Array, high: float | Array, x: Array) -> Array:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = np.clip((x - low) / (np.asarray(high) - low), 0.0, 1.0)
    return single(t * t * (3.0 - 2.0 * t))


def bump(x: Array, centre: float, width: float) -> Array:
    """A Gaussian of unit height."""
    return single(np.exp(-(((x - centre) / width) ** 2)))
