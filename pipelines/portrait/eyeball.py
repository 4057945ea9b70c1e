"""The eye behind the lids, taken apart: white, completed iris, the lid's shadow, catch light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.filling import blur, dilate, push_pull
from pipelines.photo.geometry import SIDES, Array, Face, Mask, Side, single, smoothstep
from pipelines.portrait.closed_lid import closed_lid
from pipelines.portrait.iris_disc import Disc, find_disc


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
    """White, shade and catch light [7, H, W], and the iris [4, H, W].

    Only the iris moves. So it has nothing of what lies at the rims (lashes, their shadow, a wet
    lower edge): that is in the shade where it is dark and in the catch light where it is bright.
    """
    rim = face.eyes[side]
    x, y = at[..., 0], at[..., 1]
    depth = np.minimum(y - rim.upper_at(x), rim.lower_at(x) - y) / pixel
    depth = np.minimum(depth, np.minimum(x - rim.left, rim.right - x) / pixel)
    disc = find_disc(face, side, patch, at, pixel)
    alpha = disc.alpha(pixel)
    known = (depth > 1.5) & (alpha == 0.0)
    shade = _lid_shade(patch, known, (y - rim.upper_at(x)) / rim.gap)
    shade = shade * torch.from_numpy(0.7 + 0.3 * smoothstep(0.0, 0.3 * rim.gap / pixel, depth))
    bare = (patch / shade).clamp(max=1.0)
    dark = _dark_rim(bare, known, disc)
    spread = dilate(torch.from_numpy(dark)[None], 1)[0].numpy()
    alpha = np.maximum(alpha, spread)
    filled = _white(bare, known & (spread < 0.05), (x - rim.middle) / rim.half_width)
    share = torch.from_numpy(single(alpha))[None]
    white = torch.lerp(bare, filled, blur((8.0 * share).clamp(max=1.0), 0.7))
    # Its soft edge is dark beyond the disc: all of that moves with it, or an outline is left.
    edge = (1.0 - bare / white.clamp(min=0.05)).amax(dim=0, keepdim=True).clamp(0.0, 1.0)
    share = torch.maximum(share, edge * (share > 0.0))
    completed = disc.completed(bare, depth > 1.0)
    # What is dark at the rims stays there, and is no part of the eye that moves.
    rims = torch.from_numpy(single((1.0 - smoothstep(0.5, 2.5, depth)) * (alpha > 0.0)))[None]
    plain = torch.lerp(white, completed, share).mean(dim=0, keepdim=True) * shade
    shadow = (patch.mean(dim=0, keepdim=True) / plain.clamp(min=0.02)).clamp(0.12, 1.0)
    shade = shade * torch.lerp(torch.ones_like(shade), shadow, rims)
    bare = (patch / shade).clamp(max=1.0)
    light = disc.catch_light(bare, completed, depth > 1.0)
    iris = _iris(bare, white, completed, share, (1.0 - rims) * (1.0 - light))
    seen = torch.addcmul(iris[:3], white, 1.0 - iris[3:]) * shade
    glint = (patch - seen).clamp(min=0.0) * torch.maximum(rims, light)
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


def _dark_rim(patch: Tensor, known: Mask, disc: Disc) -> Array:
    """What is dark beside the iris belongs to it (a wide iris, a drawn outline): [H, W] in 0..1."""
    if known.sum() < 4:
        return np.zeros(known.shape, dtype=np.float32)
    bright = patch.numpy().mean(axis=0)
    level = float(np.quantile(bright[known], 0.7))
    dark = np.clip((0.75 * level - bright) / (0.25 * level), 0.0, 1.0)
    near = np.clip((1.4 - disc.distance / disc.radius) / 0.1, 0.0, 1.0)
    return single(dark * near * (known & disc.beside(0.7)))


def _white(bare: Tensor, known: Mask, u: Array) -> Tensor:
    """The white of the eye everywhere, as it goes on from where it is `known`: [3, H, W].

    A line through its colours across the eye (`u` is -1..1 there), and beside what is seen what it
    differs from that by. Spread as they are, a bright corner or a wet edge stood out as shards.
    """
    colours = bare.numpy()
    if known.sum() < 12:  # an eye that is all iris, or shut
        level = float(
            np.clip(np.quantile(colours[:, known], 0.7) if known.any() else 0.6, 0.3, 0.8)
        )
        return torch.full_like(bare, level)
    bright = colours.mean(axis=0)
    low, high = np.quantile(bright[known], (0.25, 0.90))
    clean = known & (bright >= low) & (bright <= high)
    design = np.stack([np.ones_like(u[clean]), u[clean]], axis=1)
    middle = colours[:, clean].mean(axis=1)
    ridge = np.diag([0.0, 0.15 * clean.sum()])
    line = np.linalg.solve(design.T @ design + ridge, design.T @ (colours[:, clean].T - middle))
    across = np.clip(u, *np.quantile(u[clean], (0.02, 0.98)))
    flat = middle[:, None, None] + line[0][:, None, None] + line[1][:, None, None] * across
    flat *= 1.0 - 0.35 * np.clip(2.0 * np.abs(u - across), 0.0, 1.0)  # corners lie in shadow
    flat = torch.from_numpy(single(np.clip(flat, 0.0, 1.0)))
    differs = (bare - flat).clamp(-0.08, 0.08)
    return 0.97 * flat + push_pull(differs, torch.from_numpy(single(known))[None])


def _iris(bare: Tensor, white: Tensor, completed: Tensor, share: Tensor, known: Tensor) -> Tensor:
    """The whole disc: [4, H, W] premultiplied, `completed` but where it is `known` [1, H, W].

    There it is what makes the photo of the `white`, so that an eye at rest is the photo's, also
    where a soft edge is half of each.
    """
    shown = (bare - (1.0 - share) * white).clamp(min=0.0).minimum(share.expand_as(bare))
    return torch.cat([torch.lerp(completed * share, shown, known), share])


def _face_grid(face: Face, left: int, top: int, width: int, height: int, size: int) -> Array:
    """Face coordinates of pixel centres of a canvas patch: [height, width, 2]."""
    x = (2 * (left + np.arange(width)) + 1) / size - 1
    y = (2 * (top + np.arange(height)) + 1) / size - 1
    grid = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    return face.to_face(grid)
