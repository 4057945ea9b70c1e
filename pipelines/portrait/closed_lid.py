"""The upper lid as it closes: clean skin over the eye, and the line of lashes at its edge.

Stretching the skin above an open eye smears its lashes, make-up and crease over the whole lid. So
the lid is a picture of its own, filled from the skin around with all of that left out; its edge
moves, and so do the lashes on it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.filling import blur, dilate, push_pull
from pipelines.photo.geometry import Array, Face, Mask, Side, bump, single, smoothstep
from pipelines.portrait.lids import lid_height, patch_room

MEET = 1.10  # of the opening: where the closed lid's edge lies, from the upper rim: in the lower
# lid's own dark rim, or an observer takes the strip between two lines for an eye
_UP = 1.2  # of the opening: how far above the rim lashes, make-up and the socket's shadow reach
_DOWN = 0.2  # and below the rim those of the lower lid
_DARK_ABOVE, _DARK_BELOW = 0.55, 0.70  # of the skin's brightness: lashes and brows are darker, the
_DARKEST = 0.30  # shadow of a socket is not: left out, it would outline the lid like an open eye
_BROW_EDGE = {"Right": (46, 53, 52, 65, 55), "Left": (285, 295, 282, 283, 276)}  # by x


def closed_lid(face: Face, side: Side, patch: Tensor, at: Array, pixel: float) -> Tensor:
    """Paint a lid onto `patch` [3, H, W] of the canvas; two pictures in one: float32 [8, H, W].

    `at` holds the pixels' face coordinates [H, W, 2], `pixel` one pixel in face units. Channels:
    colour and share of the lid; then pixels below the upper rim, pixels that its edge travels,
    strength of the lashes' line, and of each lash that hangs from it.
    """
    rim = face.eyes[side]
    x, y = at[..., 0], at[..., 1]
    below = y - rim.upper_at(x)
    u = (x - rim.middle) / rim.half_width
    out = -u if side == "Right" else u
    inside = 1.0 - smoothstep(0.85, 1.25, np.abs(u))
    gap = np.maximum(rim.lower_at(x) - rim.upper_at(x), 0.0)
    tall = lid_height(rim)
    brow = face.points[list(_BROW_EDGE[side])]
    free = rim.upper_at(x) - np.interp(x, brow[:, 0], brow[:, 1])
    shown = rim.upper_at(x) - rim.upper.min() + 0.95 * patch_room(rim)
    room = single(np.clip(np.minimum(free, shown), 0.15 * tall, _UP * tall))
    skin, contrast = _skin(patch, below, gap, u, room, tall, pixel)
    v = np.clip(below / np.maximum(MEET * gap, pixel), 0.0, 1.0)
    edge = smoothstep(0.70, 1.0, v) * (1.0 - smoothstep(0.0, 0.12 * tall, below - MEET * gap))
    light = 1.0 + 0.12 * np.sin(np.pi * v) - 0.30 * edge
    light -= 0.09 * bump(below, -0.18 * tall, max(0.15 * tall, 1.5 * pixel)) * inside
    share = inside * (1.0 - smoothstep(0.35 * room, room, -below))
    share *= 1.0 - smoothstep(0.3 * _DOWN * tall, _DOWN * tall, below - gap)
    taper = (1.0 - smoothstep(0.7, 1.06, np.abs(u))) * (0.72 + 0.28 * smoothstep(-1.0, 0.3, out))
    strength = single(np.clip(0.55 + 0.6 * contrast, 0.0, 0.92) * taper)
    lashes = single(strength * _combed(out) * (0.4 + 0.6 * smoothstep(-0.8, 0.5, out)))
    colour = (skin * torch.from_numpy(single(light))).clamp(0.0, 1.0)
    rest = np.stack([share, below / pixel, MEET * gap / pixel, strength, lashes])
    return torch.cat([colour, torch.from_numpy(single(rest))])


def _skin(
    patch: Tensor, below: Array, gap: Array, u: Array, room: Array, size: float, pixel: float
) -> tuple[Tensor, float]:
    """What the lid's skin looks like, and how much darker than it the photo's lashes are (0..1)."""
    bright = patch.numpy().mean(axis=0)
    covered = (below > -room) & (below < gap + 0.14 * size) & (np.abs(u) < 1.3)
    near = (below > -room - 0.3 * size) & (below < gap + 0.8 * size) & (np.abs(u) < 1.5) & ~covered
    if near.sum() < 8:
        return patch, 0.5
    level = float(np.median(bright[near]))
    above = near & (below < 0)
    shaded = float(np.quantile(bright[above], 0.65)) if above.any() else level
    dark = max(_DARK_ABOVE * min(shaded, level), _DARKEST * level)
    known: Mask = ~covered & (bright > np.where(below < 0, dark, _DARK_BELOW * level))
    bare = torch.from_numpy(single(known))[None]
    filled = push_pull(patch, bare)
    soft = blur(filled, max(0.6, 0.10 * size / pixel))
    down = max(1, round(0.9 * size / pixel))  # the skin under the eye gives the texture
    texture = (patch - blur(patch, 1.5)) * (1.0 - dilate(1.0 - bare, 2))
    fine = texture.roll(-down, dims=1).clamp(-0.03, 0.03)
    band = (np.abs(below) < 0.12 * size) & (np.abs(u) < 0.9)
    lash = float(np.quantile(bright[band], 0.2)) if band.any() else level
    return (soft + fine).clamp(0.0, 1.0), float(np.clip(1.0 - lash / max(level, 1e-3), 0.0, 1.0))


def _combed(out: Array) -> Array:
    """Uneven strands along the lid, whose outer corner is at 1: [H, W] in 0..1."""
    wave = np.sin(24.0 * out + 0.4) + 0.7 * np.sin(41.0 * out + 1.7) + 0.5 * np.sin(13.0 * out)
    return single(np.clip(0.45 + 0.4 * wave, 0.0, 1.0))
