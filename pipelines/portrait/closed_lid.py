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
from pipelines.portrait.lids import lid_height, meeting_line, patch_room

OVERLAP = 0.20  # of the opening: how far the closed lid's edge goes below the line in which lids
# meet: into the lower one's dark rim, or an observer takes the strip between two lines for an eye
_UP = 1.2  # of the opening: how far above the rim lashes, make-up and the socket's shadow reach
_DOWN = 0.2  # and below the rim those of the lower lid
_DARK_ABOVE, _DARK_BELOW = 0.62, 0.70  # of the skin's brightness: lashes and brows are darker, the
_DARKEST = 0.30  # shadow of a socket is not: left out, it would outline the lid like an open eye
_GREY = 0.03  # of warmth, below which nothing is told by it: pictures without colours have none
_EDGE, _FOLD = 0.16, 0.07  # how much darker a lid is towards its edge, and in its fold
_LIFT, _MOST_LIFT = 0.65, 1.7  # of the way from the socket's shade to the face's light, by ratio
_HUE, _LEAST_HUE = 0.9, 0.8  # and from its hue to the face's: shade on skin is greyer, or greener
_MOST_GRAIN = 0.006  # of full brightness
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
    gap = np.maximum(rim.lower_at(x) - rim.upper_at(x), 0.0)
    tall = lid_height(rim)
    travel = np.maximum(meeting_line(rim, x) - rim.upper_at(x), 0.0) + OVERLAP * gap
    brow = face.points[list(_BROW_EDGE[side])]
    free = rim.upper_at(x) - np.interp(x, brow[:, 0], brow[:, 1])
    shown = rim.upper_at(x) - rim.upper.min() + 0.95 * patch_room(rim)
    # Of eyes wide open, the patch's own top would else cut the lid off in a line.
    shown = np.minimum(shown, rim.upper_at(x) - at[:1, :, 1])
    room = single(np.clip(np.minimum(free, shown), 0.15 * tall, _UP * tall))
    skin, contrast = _skin(patch, below, gap, out, room, tall, pixel)
    v = np.clip(below / np.maximum(travel, pixel), 0.0, 1.0)
    light = 1.0 + 0.09 * np.sin(np.pi * v) - 0.08 * np.minimum(u * u, 1.5)
    light -= _EDGE * smoothstep(0.75, 1.0, v) * (below < travel + 2.0 * pixel)
    light -= _FOLD * bump(below, -0.32 * tall, max(0.15 * tall, 1.5 * pixel)) * (np.abs(u) < 1.0)
    strayed = _unlike(patch, skin) * (below > -room) * (1.0 - smoothstep(1.15, 1.45, out))
    near = 1.0 - smoothstep(0.10 * tall, np.minimum(0.45 * tall, room), -below)
    near *= 1.0 - smoothstep(0.9, 1.2, out)
    share = np.maximum(near, strayed) * smoothstep(-1.2, -0.95, out)
    share *= 1.0 - smoothstep(0.6, 1.0, -below / room)
    beyond = smoothstep(0.9, 1.1, out)  # there is no lid whose edge could end it
    share *= 1.0 - beyond * (1.0 - smoothstep(0.0, 0.2 * tall, -below))
    share *= 1.0 - smoothstep(0.3 * _DOWN * tall, _DOWN * tall, below - gap)
    taper = smoothstep(-1.02, -0.35, out) * (1.0 - smoothstep(0.85, 1.10, out))
    strength = single(np.clip(0.40 + 0.5 * contrast, 0.0, 0.85) * taper)
    lashes = single(strength * _combed(out) * (0.4 + 0.6 * smoothstep(-0.8, 0.5, out)))
    colour = (skin * torch.from_numpy(single(light))).clamp(0.0, 1.0)
    rest = np.stack([share, below / pixel, travel / pixel, strength, lashes])
    return torch.cat([colour, torch.from_numpy(single(rest))])


def _unlike(patch: Tensor, skin: Tensor) -> Array:
    """Where `patch` is not the `skin` it should be (lashes, make-up, gloss on a fold): [H, W]."""
    bright, level = patch.mean(dim=0, keepdim=True), skin.mean(dim=0, keepdim=True)
    differs = (level - bright) / level.clamp(min=0.05)
    found = ((torch.maximum(differs, -0.7 * differs) - 0.06) / 0.12).clamp(0.0, 1.0)
    return single(blur(dilate(found, 2), 1.2)[0].numpy())


def _skin(
    patch: Tensor, below: Array, gap: Array, out: Array, room: Array, size: float, pixel: float
) -> tuple[Tensor, float]:
    """What the lid's skin looks like, and how much darker than it the photo's lashes are (0..1)."""
    bright = patch.numpy().mean(axis=0)
    across = (out > -1.25) & (out < 1.45)
    covered = (below > -room) & (below < gap + 0.14 * size) & across
    near = (below > -room - 0.3 * size) & (below < gap + 0.8 * size) & (np.abs(out) < 1.5)
    near &= ~covered
    if near.sum() < 8:
        return patch, 0.5
    level = float(np.median(bright[near]))
    above = near & (below < 0)
    shaded = float(np.quantile(bright[above], 0.65)) if above.any() else level
    dark = max(_DARK_ABOVE * min(shaded, level), _DARKEST * level)
    warm = _warmth(patch)
    usual = float(np.median(warm[near & (bright > 0.8 * level)]))
    skin = warm > usual - max(0.4 * abs(usual), _GREY)  # lashes and their shadow are greyer
    skin &= bright > np.where(below < 0, dark, _DARK_BELOW * level)
    if (skin & ~covered).sum() < 8:
        return patch, 0.5
    weight = single(np.where(below < 0, 1.0, 0.4))  # an eye's lower lid is often pale or red
    first = push_pull(patch, torch.from_numpy(weight * (skin & ~covered))[None])
    # The skin between lashes and brow is the best there is, as far as it is neither.
    lid = skin & (below < -0.3 * np.minimum(room, size)) & (below > -room) & across
    lid &= _unlike(patch, first) < 0.1
    bare = torch.from_numpy(weight * (skin & ~covered | lid))[None]
    filled = push_pull(patch, bare)
    soft = blur(filled, max(0.6, 0.10 * size / pixel))
    lit = torch.from_numpy(skin & near).flatten()
    face = patch.flatten(1)[:, lit].quantile(0.85, dim=1)  # out of the socket
    soft = soft * _lifted(soft, face, below, gap, room)
    fine = _grain(patch, skin & near & (below > gap + 0.4 * size))
    band = (np.abs(below) < 0.12 * size) & (np.abs(out) < 0.9)
    lash = float(np.quantile(bright[band], 0.2)) if band.any() else level
    return (soft + fine).clamp(0.0, 1.0), float(np.clip(1.0 - lash / max(level, 1e-3), 0.0, 1.0))


def _lifted(soft: Tensor, face: Tensor, below: Array, gap: Array, room: Array) -> Tensor:
    """Gain that brings a lid from the shade of an open eye's socket towards the `face`: [3, H, W].

    A lid bulges into the light as it closes. Without gain, 40 of 100 portraits closed their eyes
    with patches greyer and darker than all skin around; with the same gain for light and hue, lids
    of deep sockets stayed grey or greenish. `face` is the colour of lit skin, [3].
    """
    inner = torch.from_numpy((below > 0.0) & (below < gap))
    if not inner.any():
        return torch.ones_like(soft)
    lid = soft[:, inner].mean(dim=1)
    ratio = face / lid.clamp(min=0.02)
    level = ratio.mean()
    gain = level.clamp(min=1.0).pow(_LIFT) * (ratio / level).pow(_HUE)
    gain = gain.clamp(_LEAST_HUE, _MOST_LIFT)
    near = torch.from_numpy(single(smoothstep(-1.0, 0.1, below / np.maximum(room, 1e-6))))
    return 1.0 + (gain - 1.0)[:, None, None] * near


def _grain(patch: Tensor, skin: Mask) -> Tensor:
    """As much fine unevenness as the photo's `skin` has: [1, H, W].

    Copied from under the eye, lower lashes came along.
    """
    uneven = (patch - blur(patch, 1.2)).mean(dim=0).numpy()[skin]
    rough = 1.4826 * float(np.median(np.abs(uneven))) if len(uneven) else 0.0
    grain = np.random.default_rng(0).standard_normal(skin.shape)
    soft = blur(torch.from_numpy(single(grain))[None], 1.2)
    return soft * (min(rough, _MOST_GRAIN) / float(soft.std()))


def _warmth(picture: Tensor) -> Array:
    """How much redder than blue [3, H, W] is, of its brightness: [H, W]."""
    return single(((picture[0] - picture[2]) / picture.sum(dim=0).clamp(min=0.05)).numpy())


def _combed(out: Array) -> Array:
    """Uneven strands along the lid, whose outer corner is at 1: [H, W] in 0..1."""
    wave = np.sin(24.0 * out + 0.4) + 0.7 * np.sin(41.0 * out + 1.7) + 0.5 * np.sin(13.0 * out)
    return single(np.clip(0.45 + 0.4 * wave, 0.0, 1.0))
