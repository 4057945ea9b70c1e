"""Puts the pictures of an eye together, as a patch sees them: eyeball, catch light, painted lid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kernels.reference_mouth_and_eyes import (
    FRINGE,
    HANGING,
    LASH,
    LID_SHADOW,
    PAINTED,
    PHOTO,
    THICKER,
    THIN,
)
from pipelines.motion.space import MOTION_INDEX
from pipelines.photo.geometry import Array, single
from pipelines.portrait.bake import Baked
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.rules import BLINK, FOLLOW, MOST_FOLLOW, MOST_RAISE, RAISE, SUNK

_PITCH = MOTION_INDEX["gazePitch"]


def shut(values: Sequence[float], eye: int) -> float:
    """How far the upper lid of an eye (0 right, 1 left) is down, 0..1: it also follows the gaze."""
    follow = min(max(-values[_PITCH] * FOLLOW, 0.0), MOST_FOLLOW)
    return min(max(values[BLINK[eye]] + follow, 0.0), 1.0)


def sunk(values: Sequence[float], eye: int) -> float:
    """The weight of an eye's `eyeBlink` shape: what of `shut` the skin around it follows.

    A lid that goes down a little is the photo's own, lashes, make-up and all; further down it is
    painted. In between one goes over into the other.
    """
    down = shut(values, eye)
    return SUNK * math.tanh(down / SUNK)


def raised(values: Sequence[float], eye: int) -> float:
    """How far the upper lid of an eye is up with its gaze, as a share of `eyeWide`, 0..1."""
    follow = min(max(values[_PITCH] * RAISE, 0.0), MOST_RAISE)
    return follow * (1.0 - min(max(values[BLINK[eye]], 0.0), 1.0))


def eyeball(white: Array, iris: Array, light: Array) -> Array:
    """RGB [3, H, W] of the pictures [4, H, W] of `Eyeballs`, as they are seen."""
    ball = iris[:3] + white[:3] * (1.0 - iris[3:])
    return single(light[:3] * iris[3:] + ball * white[3:])


def lidded(
    baked: Baked, patch: Patch, ball: Array, lid: Array, edge: Array, down: float
) -> tuple[Array, Array]:
    """Lower a lid by `down` (see `shut`) over an eyeball [3, H, W].

    `lid` and `edge` are pictures of `Eyeballs`, [4, H, W]. Returns what to show where no skin is,
    [3, H, W], and the share of skin that is left, [H, W]: the lid also hides the open eye's lashes.
    """
    unit = 0.010 * baked.face.unit * baked.placement.side / 2  # pixels in 0.01 face heights
    below = edge[0] - down * edge[1]  # pixels below the lid's edge
    shown = _smooth((down - PHOTO) / (PAINTED - PHOTO))
    under = np.maximum(below, 0.0)
    ball = ball * (1.0 - LID_SHADOW * shown * np.exp(under * (-1.0 / unit)))
    skin = shown * lid[3] * np.clip(0.5 - below, 0.0, 1.0)
    thick = np.maximum(unit * (THIN + THICKER * edge[2]), 0.8)
    line = edge[2] * np.exp(-np.square(np.maximum(below * FRINGE, -below) / thick))
    hanging = edge[3] * np.exp(under * (-1.0 / (LASH * unit))) * (below > 0)
    dark = shown * np.maximum(line, HANGING * hanging)
    over = 1.0 - (1.0 - skin) * (1.0 - dark)
    cover = patch.cover * (1.0 - over)
    lashes = single(baked.lashes)[:, None, None]
    paint = lid[:3] * (skin * (1.0 - dark)) + lashes * dark
    paint += ball * ((1.0 - over) * (1.0 - patch.cover))
    return paint / np.maximum(1.0 - cover, 1e-3), cover


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)
