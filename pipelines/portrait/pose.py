"""Head pose: a depth for every point of the person, and how much of it follows the head.

A pose displaces a point by `w * ((R - I) p + t)` in the picture plane. That is linear in the four
fields (w x, w y, w z, w), so a pose is one small matrix product per frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipelines.portrait.geometry import Array, Face, smoothstep

_PIVOT_Y = 0.08  # face units below the lips: inside the skull's base
_PIVOT_Z = -0.16  # behind the plane of the ears
_CAMERA = 5.0  # distance of the camera in face units, for headZ


def depth(face: Face, x: Array, y: Array) -> Array:
    """Depth toward the viewer at points (x, y), face units, 0 at the ears' plane."""
    mesh = face.points[:468]
    ring = _around(face)
    points = np.concatenate([mesh[:, :2], ring[:, :2]])
    values = np.concatenate([mesh[:, 2], ring[:, 2]])
    width = np.concatenate([np.full(len(mesh), 0.075), np.full(len(ring), 0.16)])
    squared = (x[:, None] - points[:, 0]) ** 2 + (y[:, None] - points[:, 1]) ** 2
    weight = np.exp(-squared / (2 * width**2)) + 1e-9 / (squared + 0.05)
    result: Array = ((weight @ values) / weight.sum(axis=1)).astype(np.float32)
    return result


def _around(face: Face) -> Array:
    """Points on hair, skull and body around the face with plausible depths: [n, 3]."""
    middle = (face.points[10, :2] + face.points[152, :2]) / 2
    half = abs(float(face.points[454, 0] - face.points[234, 0])) / 2
    rows = []
    for scale, z in ((1.28, 0.02), (1.6, -0.08), (2.1, -0.16), (3.0, -0.2)):
        for angle in np.linspace(0, 2 * np.pi, 28, endpoint=False):
            up = -math.cos(angle)
            reach = 0.56 if up < 0 else 0.62
            level = 0.12 * max(0.0, up) if scale > 1.3 else 0.0
            at = middle + scale * np.array([half * math.sin(angle), reach * up])
            rows.append([at[0], at[1], z + level])
    return np.array(rows, dtype=np.float32)


def follow(face: Face, y: Array) -> Array:
    """Share of the head's motion at height `y`: 1 on the head, little at the shoulders."""
    neck = smoothstep(face.chin - 0.10, face.chin + 0.62, y)
    body = smoothstep(face.chin + 0.5, face.chin + 1.3, y)
    return ((1.0 - 0.90 * neck) * (1.0 - 0.6 * body)).astype(np.float32)


def pose_fields(face: Face, x: Array, y: Array, z: Array) -> Array:
    """The four fields (w x, w y, w z, w) at points, [4, P], face units."""
    w = follow(face, y)
    return np.stack([w * x, w * (y - _PIVOT_Y), w * (z - _PIVOT_Z), w]).astype(np.float32)


def pose_matrix(
    pose: Sequence[float], interocular: float
) -> tuple[list[list[float]], list[list[float]]]:
    """Return (coefficients [2, 4] of the pose fields, rotation [2, 2] in the picture plane).

    `pose` is (yaw, pitch, roll) in degrees, then (x, y, z) in interocular distances.
    """
    yaw, pitch, roll = (math.radians(a) for a in pose[:3])
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    turned = [[cy, 0.0, sy], [sp * sy, cp, -sp * cy]]  # yaw, then pitch; rows x and y
    scale = 1.0 + pose[5] * interocular / _CAMERA
    rotation = [
        [scale * (cr * turned[0][i] - sr * turned[1][i]) for i in range(3)],
        [scale * (sr * turned[0][i] + cr * turned[1][i]) for i in range(3)],
    ]
    coefficients = [
        [rotation[0][0] - 1.0, rotation[0][1], rotation[0][2], pose[3] * interocular],
        [rotation[1][0], rotation[1][1] - 1.0, rotation[1][2], pose[4] * interocular],
    ]
    return coefficients, [rotation[0][:2], rotation[1][:2]]
