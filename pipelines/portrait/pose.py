"""Head pose: a depth for every point of the person, and how much of it follows the head.

A pose displaces a point by `w * ((R - I) p + t)` in the picture plane. That is linear in the four
fields (w x, w y, w z, w), so a pose is one small matrix product per frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.photo.geometry import Array, Face, single, smoothstep
from pipelines.portrait.rules import CAMERA, HEAD

_PIVOT_Y = 0.08  # face units below the lips: inside the skull's base
_PIVOT_Z = -0.16  # behind the plane of the ears


def depth(face: Face, x: Array, y: Array) -> Array:
    """Depth toward the viewer at points (x, y), face units, 0 at the ears' plane.

    A Gaussian-weighted mean of the mesh and of points around it.
    """
    mesh, ring = face.points[:468], _around(face)
    known = np.concatenate([mesh, ring])
    width = np.concatenate([np.full(len(mesh), 0.075), np.full(len(ring), 0.16)])
    points = single(np.stack([x, y], axis=-1))
    squared = (points**2).sum(axis=1)[:, None] + (known[:, :2] ** 2).sum(axis=1)
    squared -= 2.0 * points @ known[:, :2].T
    weight = np.exp(squared * single(-0.5 / width**2)) + single(1e-9) / (squared + single(0.05))
    return single((weight @ known[:, 2]) / weight.sum(axis=1))


def _around(face: Face) -> Array:
    """Points on hair, skull and body around the face with plausible depths: [n, 3]."""
    middle = (face.points[10, :2] + face.points[152, :2]) / 2
    half = abs(float(face.points[454, 0] - face.points[234, 0])) / 2
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    down = -np.cos(angle)
    rings = []
    for scale, back in ((1.28, 0.02), (1.6, -0.08), (2.1, -0.16), (3.0, -0.2)):
        x = middle[0] + scale * half * np.sin(angle)
        y = middle[1] + scale * np.where(down < 0, 0.56, 0.62) * down
        z = back + (0.12 * np.maximum(down, 0.0) if scale > 1.3 else 0.0 * down)
        rings.append(np.stack([x, y, z], axis=-1))
    return single(np.concatenate(rings))


def follow(face: Face, y: Array) -> Array:
    """Share of the head's motion at height `y`: 1 on the head, little at the shoulders."""
    neck = smoothstep(face.chin - 0.10, face.chin + 0.62, y)
    body = smoothstep(face.chin + 0.5, face.chin + 1.3, y)
    return single((1.0 - 0.90 * neck) * (1.0 - 0.6 * body))


def pose_fields(face: Face, x: Array, y: Array, back: float = 0.0) -> Array:
    """The four fields (w x, w y, w z, w) at points, [4, P], face units.

    `back` is how far behind the skin the points lie.
    """
    w, z = follow(face, y), depth(face, x, y) - back
    return single(np.stack([w * x, w * (y - _PIVOT_Y), w * (z - _PIVOT_Z), w]))


@dataclass(frozen=True)
class Pose:
    """One head pose in canvas coordinates."""

    coefficients: Array  # [2, 4] of the pose fields
    rotation: Array  # [2, 2] of displacements that ride on the head
    rows: tuple[tuple[float, ...], ...]  # both as floats: coefficients, rotation

    def displace(self, field: Sequence[float]) -> tuple[float, float]:
        """Displacement of a point whose pose fields are `field` [4]."""
        a, b, c, d = field
        x, y = (r[0] * a + r[1] * b + r[2] * c + r[3] * d for r in self.rows[:2])
        return x, y


def head_pose(motion: Sequence[float], face: Face) -> Pose:
    """Read the head's pose from a motion vector."""
    values = motion[HEAD]
    yaw, pitch, roll = (math.radians(a) for a in values[:3])
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    scale = 1.0 + values[5] * face.interocular / CAMERA
    yx, yy, yz = cy, 0.0, sy  # yaw, then pitch: rows x and y of the rotation
    px, py, pz = sp * sy, cp, -sp * cy
    turn = [
        [cr * yx - sr * px, cr * yy - sr * py, cr * yz - sr * pz],
        [sr * yx + cr * px, sr * yy + cr * py, sr * yz + cr * pz],
    ]
    shift = [value * face.interocular for value in values[3:5]]
    moved = [[scale * v for v in row] + [by] for row, by in zip(turn, shift, strict=True)]
    axes, unit = face.axes.tolist(), face.unit
    rows = [[axes[0][i] * x + axes[1][i] * y for x, y in zip(*moved, strict=True)] for i in (0, 1)]
    coefficients = [
        [unit * (a - axes[0][i]), unit * (b - axes[1][i]), unit * c, unit * d]
        for i, (a, b, c, d) in enumerate(rows)
    ]
    turned = [[a * axes[0][j] + b * axes[1][j] for j in (0, 1)] for a, b, _, _ in rows]
    return Pose(
        single(coefficients), single(turned), tuple(tuple(row) for row in coefficients + turned)
    )
