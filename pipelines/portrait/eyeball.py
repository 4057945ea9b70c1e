"""The eye behind the lids: the white without its iris, and the iris completed under the lids."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.geometry import IRIS, SIDES, Array, Face, Mask, Side, single
from pipelines.photo.matte import blur, dilate, push_pull


@dataclass(frozen=True)
class Eyeballs:
    """Pictures of both eyes, right then left, aligned with canvas pixels from their corners."""

    pictures: Tensor  # [4, 4, H, W] premultiplied: both whites, then both irises
    corners: tuple[tuple[int, int], ...]  # left, top of each eye's pictures


def paint_eyeballs(face: Face, picture: Tensor) -> Eyeballs:
    """Take the eyes apart; `picture` is the canvas, float32 [3, S, S] in [0, 1]."""
    size = picture.shape[-1]
    reach = max(rim.half_width for rim in face.eyes.values()) * face.unit * size / 2
    width, height = int(3.0 * reach) + 1, int(2.4 * reach) + 1
    whites, irises, corners = [], [], []
    for side in SIDES:
        rim = face.eyes[side]
        ends = np.array([[rim.left, rim.upper[0]], [rim.right, rim.upper[-1]]], np.float32)
        centre = (face.to_canvas(ends).mean(axis=0) + 1) / 2 * size
        left = max(0, min(int(centre[0] - 1.5 * reach), size - width))
        top = max(0, min(int(centre[1] - 1.2 * reach), size - height))
        patch = picture[:, top : top + height, left : left + width]
        white, iris = _take_apart(face, side, patch, left, top, size)
        whites.append(torch.cat([white, torch.ones_like(white[:1])]))
        irises.append(iris)
        corners.append((left, top))
    return Eyeballs(torch.stack(whites + irises), tuple(corners))


def _take_apart(
    face: Face, side: Side, patch: Tensor, left: int, top: int, size: int
) -> tuple[Tensor, Tensor]:
    rim = face.eyes[side]
    at = _face_grid(face, left, top, patch.shape[-1], patch.shape[-2], size)
    x, y = at[..., 0], at[..., 1]
    margin = 2.0 / (face.unit * size)  # one pixel in face units
    inside = (y > rim.upper_at(x) + margin) & (y < rim.lower_at(x) - margin)
    inside &= (x > rim.left + margin) & (x < rim.right - margin)
    points = face.points[list(IRIS[side]), :2]
    middle = points[0]
    radius = float(np.linalg.norm(points[1:] - middle, axis=1).mean())
    distance = np.hypot(x - middle[0], y - middle[1])
    radius = _true_radius(patch, inside, distance, np.abs(y - middle[1]), radius)
    known = inside & (distance > 1.10 * radius + 1.5 * margin)
    dark = _dark_rim(patch, known, distance / radius, np.abs(y - middle[1]) < 0.7 * distance)
    spread = dilate(torch.from_numpy(dark)[None], 1)[0].numpy()
    white = _white(patch, known & (spread < 0.05))
    return white, _iris(patch, inside, distance, radius, dark)


def _dark_rim(patch: Tensor, known: Mask, distance: Array, beside: Mask) -> Array:
    """What is dark beside the iris belongs to it (a wide iris, a drawn outline): [H, W] in 0..1."""
    if known.sum() < 4:
        return np.zeros(known.shape, dtype=np.float32)
    bright = patch.numpy().mean(axis=0)
    level = float(np.quantile(bright[known], 0.7))
    dark = np.clip((0.88 * level - bright) / (0.25 * level), 0.0, 1.0)
    near = np.clip((1.5 - distance) / 0.1, 0.0, 1.0)
    return single(dark * near * (known & beside))


def _true_radius(
    patch: Tensor, inside: Mask, distance: Array, height: Array, guess: float
) -> float:
    """Where the eye turns from iris to white, looking sideways from the middle; near `guess`."""
    bright = patch.numpy().mean(axis=0)
    beside = inside & (height < 0.5 * distance)
    edges = np.linspace(0.7, 1.45, 16) * guess
    rings = []
    for near, far in pairwise(edges):
        ring = beside & (distance >= near) & (distance < far)
        if ring.sum() < 2:
            return guess
        rings.append(float(np.median(bright[ring])))
    rise = np.array(rings[2:]) - np.array(rings[:-2])
    best = int(np.argmax(rise))
    return float(edges[best + 1] + edges[best + 2]) / 2 if rise[best] > 0.08 else guess


def _white(patch: Tensor, known: Mask) -> Tensor:
    """The white as seen where it is `known`, and its brighter half spread over the rest."""
    if known.sum() < 4:
        return torch.full_like(patch, 0.85)
    bright = patch.numpy().mean(axis=0)
    clean = known & (bright >= np.quantile(bright[known], 0.4))
    filled = 0.95 * push_pull(patch, torch.from_numpy(clean.astype(np.float32))[None])
    mask = blur(torch.from_numpy(known.astype(np.float32))[None], 0.7)
    mask = torch.from_numpy(known.astype(np.float32))[None] * mask
    return filled * (1 - mask) + patch * mask


def _iris(patch: Tensor, inside: Mask, distance: Array, radius: float, dark: Array) -> Tensor:
    """Complete the disc with the mean colour at each distance from its centre."""
    bins = np.clip((distance / radius * 10).astype(np.int64), 0, 12)
    colours = patch.numpy()
    profile = np.zeros((13, 3), dtype=np.float32)
    last = np.array([0.05, 0.04, 0.04], dtype=np.float32)
    for i in range(13):
        ring = inside & (bins == i)
        if ring.sum() >= 3:
            last = np.median(colours[:, ring], axis=1).astype(np.float32)
        profile[i] = last
    completed = torch.from_numpy(profile[bins].transpose(2, 0, 1).copy())
    known = torch.from_numpy(inside.astype(np.float32))[None]
    colour = blur(completed, 1.0) * (1 - known) + patch * known
    alpha = np.clip((1.10 - distance / radius) / 0.12, 0.0, 1.0).astype(np.float32)
    alpha = np.maximum(alpha, dark)
    alpha_t = torch.from_numpy(alpha)[None]
    return torch.cat([colour * alpha_t, alpha_t])


def _face_grid(face: Face, left: int, top: int, width: int, height: int, size: int) -> Array:
    """Face coordinates of pixel centres of a canvas patch: [height, width, 2]."""
    x = (2 * (left + np.arange(width)) + 1) / size - 1
    y = (2 * (top + np.arange(height)) + 1) / size - 1
    grid = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    return face.to_face(grid)
