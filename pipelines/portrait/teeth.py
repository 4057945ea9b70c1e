"""Paints what is behind the lips: two rows of teeth with gums, and the tongue.

Drawn once per identity, in millimetres of an average mouth, and tinted with the photo's light.
Pictures are premultiplied RGBA, float32 [4, H, W] in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.geometry import Array, single, smoothstep

MILLIMETRE = 0.0074  # in face units


@dataclass(frozen=True)
class _Row:
    """Teeth from the midline outwards, as seen from the front, mm: the arch turns away sideways."""

    edges: tuple[float, ...]  # between teeth, and beside the last
    length: tuple[float, ...]
    drop: tuple[float, ...]  # how much shorter than the incisors at the biting edge
    rounding: tuple[float, ...]  # how far the corners of the biting edge are rounded off
    sharpness: tuple[float, ...]  # of these corners: large is square, 2 a point
    light: tuple[float, ...]  # of the incisors' brightness: canines are darker
    curve: float  # of the biting edge, per mm


_UPPER = _Row(
    edges=(0.0, 8.5, 15.0, 21.4, 26.2, 29.8, 32.2, 33.6),
    length=(10.4, 9.0, 10.2, 8.6, 7.6, 7.0, 6.5),
    drop=(0.0, 0.55, 0.05, 0.5, 0.7, 0.8, 0.8),
    rounding=(0.45, 0.6, 1.2, 1.0, 0.9, 0.8, 0.8),
    sharpness=(6.0, 4.0, 2.2, 2.4, 2.5, 3.0, 3.0),
    light=(1.0, 0.97, 0.93, 0.95, 0.94, 0.92, 0.92),
    curve=0.0010,
)
_LOWER = _Row(
    edges=(0.0, 5.3, 11.0, 17.2, 22.6, 26.6, 29.8, 32.0),
    length=(8.4, 8.6, 9.4, 8.2, 7.4, 6.8, 6.2),
    drop=(0.0, 0.15, -0.2, 0.4, 0.6, 0.7, 0.7),
    rounding=(0.45, 0.6, 1.4, 1.2, 1.0, 1.0, 1.0),
    sharpness=(5.0, 4.0, 2.0, 2.2, 2.5, 3.0, 3.0),
    light=(1.0, 0.99, 0.94, 0.95, 0.94, 0.92, 0.92),
    curve=0.0018,
)
ENAMEL = (1.0, 0.968, 0.915)
_NECK = (0.95, 0.88, 0.785)  # enamel is thin at the gum: the dentine shows
_GUM = (0.74, 0.42, 0.41)
_LOWER_LIGHT = 0.86  # of the upper row's: it lies further back, below the lip's shadow
_TONGUE = (0.84, 0.45, 0.45)

# All three pictures cover the same extent, so that one batched sampling reads them: x right, y
# down, origin at the incisal midline (of the tongue: the middle of its back).
HALF_WIDTH, TOP, BOTTOM = 36.0, -20.0, 28.0  # mm


def width_scale(half_width: float) -> float:
    """How wide this mouth's millimetre is across, for a mouth of `half_width` face units."""
    return 0.5 + 0.5 * min(half_width, 0.15) / (28.0 * MILLIMETRE)


def mm_grid(scale: float) -> tuple[Array, Array]:
    """x and y, mm, of the pixels of these pictures at `scale` pixels per mm."""
    width, height = round(2 * HALF_WIDTH * scale), round((BOTTOM - TOP) * scale)
    x = ((np.arange(width) + 0.5) / width - 0.5) * 2 * HALF_WIDTH
    y = TOP + (np.arange(height) + 0.5) / height * (BOTTOM - TOP)
    gx, gy = np.meshgrid(single(x), single(y))
    return gx, gy


def upper_teeth(scale: float, tint: Array) -> Tensor:
    """The upper row with its gum, `scale` pixels per mm, lit by `tint` [3]."""
    x, y = mm_grid(scale)
    return _row(x, -y, _UPPER, tint, scale)


def lower_teeth(scale: float, tint: Array) -> Tensor:
    """The lower row with its gum, seen a little from above."""
    x, y = mm_grid(scale)
    return _row(x, y, _LOWER, tint * _LOWER_LIGHT, scale)


def _row(x: Array, height: Array, row: _Row, tint: Array, scale: float) -> Tensor:
    """Teeth whose biting edge is at `height` 0 and whose gum lies at their length, mm."""
    side = np.abs(x)
    edges = np.array(row.edges)
    index = np.clip(np.searchsorted(edges, side, side="right") - 1, 0, len(row.length) - 1)
    width = (edges[1:] - edges[:-1])[index]
    across = (side - (edges[:-1] + edges[1:])[index] / 2) / (width / 2)  # -1..1 within a tooth
    corner = np.abs(across) ** np.array(row.sharpness)[index]
    edge = row.curve * side**2 + np.array(row.drop)[index] + np.array(row.rounding)[index] * corner
    tooth = height - edge
    neck = np.array(row.length)[index] + 0.4 * row.curve * side**2 - 2.2 * across**2
    soft = 0.5 / scale + 0.12
    alpha = np.clip(tooth / (2 * soft) + 0.5, 0, 1) * np.clip((row.edges[-1] - side) / 1.5, 0, 1)
    in_gum = np.clip((height - neck) / 0.7 + 0.5, 0, 1)
    # The arch turns from the light, the more so behind the canines.
    turn = 1.0 - 0.26 * smoothstep(5.0, 21.0, side) - 0.50 * smoothstep(18.0, 33.0, side)
    turn *= np.array(row.light)[index]
    gap = (1.0 - np.abs(across)) * width / 2  # to the next tooth, mm
    seam = 0.09 * np.exp(-((gap / 0.45) ** 2)) + 0.06 * np.exp(-((gap / 1.2) ** 2))
    body = 1.0 - 0.05 * across**2 + 0.05 * np.exp(-(((across + 0.25) / 0.4) ** 2))
    rim = 1.0 - 0.10 * np.exp(-((tooth / 1.1) ** 2))  # translucent: what is behind is dark
    upward = smoothstep(3.0, 10.0, tooth)
    enamel = _colour(ENAMEL) * (1 - upward) + _colour(_NECK) * upward
    flesh = _colour(_GUM) * (1.0 - 0.25 * np.exp(-(((height - neck) / 0.6) ** 2)))
    light = turn * ((1 - seam) * body * rim * (1 - in_gum) + 0.9 * in_gum)
    colour = (enamel * (1 - in_gum) + flesh * in_gum) * light * single(tint)[:, None, None]
    return _premultiplied(colour, alpha)


def tongue(scale: float, tint: Array) -> Tensor:
    """A tongue seen from the front: its tip and sides near, its back far and dark."""
    x, y = mm_grid(scale)
    depth = y - 0.020 * x**2 - 0.8 * np.exp(-((x / 3.0) ** 2))
    alpha = smoothstep(-0.8, 2.2, depth) * np.clip((25 - np.abs(x)) / 4, 0, 1)
    groove = 1.0 - 0.14 * np.exp(-((x / 1.8) ** 2)) * smoothstep(0.0, 3.0, depth)
    near = 0.60 + 0.40 * smoothstep(0.0, 9.0, depth)
    wet = 0.10 * np.exp(-(((np.abs(x) - 5.0) / 2.6) ** 2) - ((depth - 6.5) / 1.6) ** 2)
    light = groove * near * (1 - 0.7 * (x / 27) ** 2).clip(0, 1)
    colour = (_colour(_TONGUE) * light + wet) * single(tint)[:, None, None]
    return _premultiplied(colour, alpha)


def _colour(rgb: tuple[float, float, float]) -> Array:
    return np.array(rgb, np.float32)[:, None, None]


def _premultiplied(colour: Array, alpha: Array) -> Tensor:
    return torch.from_numpy(single(np.concatenate([np.clip(colour, 0, 1) * alpha, alpha[None]])))
