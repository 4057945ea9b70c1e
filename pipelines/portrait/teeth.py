"""Paints what is behind the lips: two rows of teeth with gums, and the tongue.

Drawn once per identity, in millimetres of an average mouth, and tinted with the photo's light.
Pictures are premultiplied RGBA, float32 [4, H, W] in [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.geometry import Array

MILLIMETRE = 0.0074  # in face units

# Edges between teeth as seen from the front, mm from the midline: the arch turns away sideways.
_UPPER_EDGES = (0.0, 8.4, 14.8, 21.0, 25.6, 29.2, 31.8, 33.6)
_LOWER_EDGES = (0.0, 5.2, 10.8, 16.8, 22.4, 26.6, 29.8, 32.0)
_UPPER_LENGTH = (10.2, 8.9, 10.0, 8.4, 7.6, 7.0, 6.5)
_LOWER_LENGTH = (8.4, 8.6, 9.4, 8.2, 7.4, 6.8, 6.2)


# All three pictures cover the same extent, so that one batched sampling reads them: x right, y
# down, origin at the incisal midline (of the tongue: the middle of its back).
HALF_WIDTH, TOP, BOTTOM = 36.0, -20.0, 28.0  # mm


def _grid(scale: float) -> tuple[Array, Array]:
    width, height = round(2 * HALF_WIDTH * scale), round((BOTTOM - TOP) * scale)
    x = ((np.arange(width) + 0.5) / width - 0.5) * 2 * HALF_WIDTH
    y = TOP + (np.arange(height) + 0.5) / height * (BOTTOM - TOP)
    gx, gy = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return gx, gy


def upper_teeth(scale: float, tint: Array) -> Tensor:
    """The upper row with its gum, `scale` pixels per mm, lit by `tint` [3]."""
    x, y = _grid(scale)
    return _row(x, -y, _UPPER_EDGES, _UPPER_LENGTH, tint, scale, curve=0.0022)


def lower_teeth(scale: float, tint: Array) -> Tensor:
    """The lower row with its gum, seen a little from above."""
    x, y = _grid(scale)
    return _row(x, y, _LOWER_EDGES, _LOWER_LENGTH, tint * 0.9, scale, curve=0.0016)


def _row(
    x: Array,
    height: Array,
    edges: tuple[float, ...],
    lengths: tuple[float, ...],
    tint: Array,
    scale: float,
    curve: float,
) -> Tensor:
    """Teeth whose edge is at `height` 0 and whose gum lies at their length, mm."""
    side = np.abs(x)
    index = np.clip(np.searchsorted(np.array(edges), side, side="right") - 1, 0, len(lengths) - 1)
    start, end = np.array(edges)[index], np.array([*edges[1:], edges[-1]])[index]
    width = np.maximum(end - start, 0.5)
    across = (side - (start + end) / 2) / (width / 2)  # -1..1 within a tooth
    length = np.array(lengths, dtype=np.float32)[index]
    drop = np.array([0.0, 0.7, 0.15, 0.7, 0.9, 1.0, 1.0])[index]
    edge = curve * side**2 + drop + 0.55 * np.abs(across) ** 5 * np.minimum(width / 6, 1)
    tooth = height - edge
    gum = length - 1.3 * across**2 * np.minimum(width / 7, 1) + 0.4 * curve * side**2
    soft = 0.5 / scale + 0.12
    alpha = np.clip(tooth / (2 * soft) + 0.5, 0, 1)
    in_gum = np.clip((height - gum) / 0.7 + 0.5, 0, 1)
    seam = np.exp(-(((1 - np.abs(across)) * width / 2 / 0.42) ** 2))
    turn = np.clip(1.0 - (side / 38.0) ** 2.0, 0.12, 1.0)  # the arch turns from the light
    round_ = 1.0 - 0.10 * across**2
    light = turn * round_ * (1.0 - 0.20 * seam) * (0.92 + 0.08 * np.clip(tooth / 4.0, 0, 1))
    enamel = np.array([1.0, 0.955, 0.885], np.float32)[:, None, None] * light
    flesh = np.array([0.70, 0.38, 0.37], np.float32)[:, None, None] * (turn * 0.85)
    colour = (enamel * (1 - in_gum) + flesh * in_gum) * tint[:, None, None]
    alpha = alpha * np.clip((edges[-1] - side) / 1.5, 0, 1)
    picture = np.concatenate([np.clip(colour, 0, 1) * alpha, alpha[None]])
    return torch.from_numpy(picture.astype(np.float32))


def tongue(scale: float, tint: Array) -> Tensor:
    """A tongue seen from the front: a dome with a shallow groove."""
    x, y = _grid(scale)
    top = 0.018 * x**2 + 1.1 * np.exp(-((x / 2.5) ** 2))
    depth = y - top
    alpha = np.clip(depth * scale / 2 + 0.5, 0, 1) * np.clip((25 - np.abs(x)) / 3, 0, 1)
    groove = 1.0 - 0.16 * np.exp(-((x / 1.6) ** 2))
    light = groove * (0.55 + 0.45 * np.clip(depth / 9.0, 0, 1)) * (1 - (np.abs(x) / 34) ** 2)
    colour = np.array([0.74, 0.38, 0.38], np.float32)[:, None, None] * light * tint[:, None, None]
    picture = np.concatenate([np.clip(colour, 0, 1) * alpha, alpha[None]])
    return torch.from_numpy(picture.astype(np.float32))
