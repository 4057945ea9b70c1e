"""The eye behind the lids, taken apart: white, completed iris, the lid's shadow, catch light."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.filling import blur, dilate, push_pull
from pipelines.photo.geometry import IRIS, SIDES, Array, Face, Mask, Side, single
from pipelines.portrait.closed_lid import closed_lid


@dataclass(frozen=True)
class Eyeballs:
    """Pictures of both eyes, right then left, aligned with canvas pixels from their corners.

    They were taken apart so that at rest they add up to the photo: (white under iris) times shade,
    plus the catch light.
    """

    pictures: (
        Tensor  # [8, 4, H, W] whites with their shade, irises, catch lights, lids; RGBA, 2 each
    )
    edges: Tensor  # [2, 4, H, W] of the lids, see `closed_lid`
    lashes: tuple[float, float, float]  # their colour
    corners: tuple[tuple[int, int], ...]  # left, top of each eye's pictures


def paint_eyeballs(face: Face, picture: Tensor) -> Eyeballs:
    """Take the eyes apart; `picture` is the canvas, float32 [3, S, S] in [0, 1]."""
    size = picture.shape[-1]
    reach = max(rim.half_width for rim in face.eyes.values()) * face.unit * size / 2
    width, height = int(3.0 * reach) + 1, int(2.4 * reach) + 1
    pixel = 2.0 / (face.unit * size)  # in face units
    parts, edges, corners = [], [], []
    for side in SIDES:
        rim = face.eyes[side]
        ends = np.array([[rim.left, rim.upper[0]], [rim.right, rim.upper[-1]]], np.float32)
        centre = (face.to_canvas(ends).mean(axis=0) + 1) / 2 * size
        left = max(0, min(int(centre[0] - 1.5 * reach), size - width))
        top = max(0, min(int(centre[1] - 1.2 * reach), size - height))
        patch = picture[:, top : top + height, left : left + width]
        at = _face_grid(face, left, top, patch.shape[-1], patch.shape[-2], size)
        eyeball, iris = _take_apart(face, side, patch, at, pixel)
        lid = closed_lid(face, side, patch, at, pixel)
        light = torch.cat([eyeball[4:7], torch.ones_like(lid[:1])])
        parts.append(torch.stack([eyeball[:4], iris, light, lid[:4]]))
        edges.append(lid[4:])
        corners.append((left, top))
    pictures = torch.stack(parts, dim=1)  # [4, 2, 4, H, W]
    red, green, blue = (0.22 * pictures[3, :, :3].mean(dim=(0, 2, 3))).tolist()
    return Eyeballs(pictures.flatten(0, 1), torch.stack(edges), (red, green, blue), tuple(corners))


def _take_apart(
    face: Face, side: Side, patch: Tensor, at: Array, pixel: float
) -> tuple[Tensor, Tensor]:
    """White, shade and catch light [7, H, W], and the iris [4, H, W]."""
    rim = face.eyes[side]
    x, y = at[..., 0], at[..., 1]
    inside = (y > rim.upper_at(x) + pixel) & (y < rim.lower_at(x) - pixel)
    inside &= (x > rim.left + pixel) & (x < rim.right - pixel)
    points = face.points[list(IRIS[side]), :2]
    middle = points[0]
    radius = float(np.linalg.norm(points[1:] - middle, axis=1).mean())
    distance = np.hypot(x - middle[0], y - middle[1])
    radius = _true_radius(patch, inside, distance, np.abs(y - middle[1]), radius)
    known = inside & (distance > 1.10 * radius + 1.5 * pixel)
    shade = _lid_shade(patch, known, (y - rim.upper_at(x)) / rim.gap)
    bare = (patch / shade).clamp(max=1.0)
    dark = _dark_rim(bare, known, distance / radius, np.abs(y - middle[1]) < 0.7 * distance)
    spread = dilate(torch.from_numpy(dark)[None], 1)[0].numpy()
    white = torch.where(torch.from_numpy(inside)[None], _white(bare, known & (spread < 0.05)), bare)
    profile = _profile(bare, inside, distance / radius)
    light = _catch_light(bare, profile, inside & (distance < 0.8 * radius))
    reach = np.clip((1.10 * radius + 1.5 * pixel - distance) / (0.12 * radius), 0.0, 1.0)
    iris = _iris(bare, white, profile, inside, light, np.maximum(reach, spread))
    seen = torch.addcmul(iris[:3], white, 1.0 - iris[3:]) * shade
    spot = torch.from_numpy(single(inside & (distance < 0.9 * radius)))[None]
    glint = (patch - seen).clamp(min=0.0) * spot  # shown on the iris only
    return torch.cat([white, shade, glint]), iris


def _lid_shade(patch: Tensor, known: Mask, down: Array) -> Tensor:
    """The shadow of the upper lid on the eye, [1, H, W], as deep as the white shows it.

    `down` is the height below the upper rim in openings.
    """
    bright = patch.numpy().mean(axis=0)
    under, clear = known & (down < 0.3), known & (down > 0.4)
    depth = 0.2
    if min(under.sum(), clear.sum()) >= 4:
        level = float(np.quantile(bright[clear], 0.8))
        depth = float(np.clip(1.3 - 1.3 * np.median(bright[under]) / max(level, 1e-3), 0.15, 0.5))
    return torch.from_numpy(single(1.0 - depth * np.exp(-np.maximum(down, 0.0) / 0.28)))[None]


def _catch_light(bare: Tensor, profile: Array, iris: Mask) -> Tensor:
    """Where the light is mirrored in the eye: [1, H, W] in 0..1, soft."""
    bright = bare.numpy().mean(axis=0)
    usual = profile.mean(axis=-1)
    spot = iris & (bright > usual + 0.16) & (bright > 0.35)
    if spot.sum() > 0.22 * iris.sum():  # a bright, mottled iris
        return torch.zeros_like(bare[:1])
    return dilate(torch.from_numpy(single(spot))[None], 1)


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
    """The white as seen where it is `known`, and that spread over the rest, without its darkest.

    What is spread is about as bright as what is beside it: the brighter half alone stood out in a
    shaded corner as hard-edged shards.
    """
    if known.sum() < 4:
        return torch.full_like(patch, 0.85)
    bright = patch.numpy().mean(axis=0)
    clean = known & (bright >= np.quantile(bright[known], 0.15))
    filled = 0.92 * push_pull(patch, torch.from_numpy(clean.astype(np.float32))[None])
    there = torch.from_numpy(known.astype(np.float32))[None]
    return torch.lerp(filled, patch, there * blur(there, 0.7))


def _profile(bare: Tensor, inside: Mask, distance: Array) -> Array:
    """The usual colour at each pixel's distance from the iris's middle (in radii): [H, W, 3]."""
    bins = np.clip((distance * 10).astype(np.int64), 0, 12)
    colours = bare.numpy()
    profile = np.zeros((13, 3), dtype=np.float32)
    last = np.array([0.05, 0.05, 0.05], dtype=np.float32)
    for i in range(13):
        ring = inside & (bins == i)
        if ring.sum() >= 3:
            last = np.median(colours[:, ring], axis=1).astype(np.float32)
        profile[i] = last
    return profile[bins]


def _iris(
    bare: Tensor, white: Tensor, profile: Array, inside: Mask, light: Tensor, alpha: Array
) -> Tensor:
    """Complete the disc under the lids and the catch light: [4, H, W] premultiplied.

    Where the photo shows it, it is what makes the photo of the `white`, so that an eye at rest is
    the photo's, also where a soft edge is half of each.
    """
    completed = blur(torch.from_numpy(profile.transpose(2, 0, 1).copy()), 1.0)
    known = torch.from_numpy(single(inside))[None] * (1.0 - light)
    share = torch.from_numpy(single(alpha))[None]
    shown = (bare - (1.0 - share) * white).clamp(min=0.0).minimum(share.expand_as(bare))
    return torch.cat([torch.lerp(completed * share, shown, known), share])


def _face_grid(face: Face, left: int, top: int, width: int, height: int, size: int) -> Array:
    """Face coordinates of pixel centres of a canvas patch: [height, width, 2]."""
    x = (2 * (left + np.arange(width)) + 1) / size - 1
    y = (2 * (top + np.arange(height)) + 1) / size - 1
    grid = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    return face.to_face(grid)
