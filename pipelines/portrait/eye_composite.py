"""Puts the pictures of an eye together, as a patch sees them: eyeball, catch light, painted lid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipelines.motion.space import MOTION_INDEX
from pipelines.photo.geometry import Array, single
from pipelines.portrait.bake import Baked
from pipelines.portrait.lids import SUNK
from pipelines.portrait.lips_and_lids import Patch

_PITCH = MOTION_INDEX["gazePitch"]
_BLINK = (MOTION_INDEX["eyeBlinkRight"], MOTION_INDEX["eyeBlinkLeft"])
_FOLLOW = 1.0 / 50.0  # of the way down that a lid goes with each degree of a lowered gaze
_MOST_FOLLOW = 0.3
_RAISE = 1.0 / 30.0  # of `eyeWide` that an open lid rises with each degree of a raised gaze,
_MOST_RAISE = 0.8  # half of the iris's way
_THIN, _THICKER = 0.20, 0.25  # half the thickness of the line of lashes in 0.01 face heights, and
# by how much more where it is strong
_FRINGE = 0.4  # of its steepness: how softly the line of lashes ends below, where they hang
_LASH = 1.5  # in 0.01 face heights: by so much a hanging lash fades to a third
_PHOTO, _PAINTED = 0.08, 0.32  # of the way down: up to there a lid is the photo's, then painted


def shut(values: Sequence[float], eye: int) -> float:
    """How far the upper lid of an eye (0 right, 1 left) is down, 0..1: it also follows the gaze."""
    follow = min(max(-values[_PITCH] * _FOLLOW, 0.0), _MOST_FOLLOW)
    return min(max(values[_BLINK[eye]] + follow, 0.0), 1.0)


def sunk(values: Sequence[float], eye: int) -> float:
    """The weight of an eye's `eyeBlink` shape: what of `shut` the skin around it follows.

    A lid that goes down a little is the photo's own, lashes, make-up and all; further down it is
    painted. In between one goes over into the other.
    """
    down = shut(values, eye)
    return SUNK * math.tanh(down / SUNK)


def raised(values: Sequence[float], eye: int) -> float:
    """How far the upper lid of an eye is up with its gaze, as a share of `eyeWide`, 0..1."""
    follow = min(max(values[_PITCH] * _RAISE, 0.0), _MOST_RAISE)
    return follow * (1.0 - min(max(values[_BLINK[eye]], 0.0), 1.0))


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
    shown = _smooth((down - _PHOTO) / (_PAINTED - _PHOTO))
    under = np.maximum(below, 0.0)
    ball = ball * (1.0 - 0.45 * shown * np.exp(under * (-1.0 / unit)))
    skin = shown * lid[3] * np.clip(0.5 - below, 0.0, 1.0)
    thick = np.maximum(unit * (_THIN + _THICKER * edge[2]), 0.8)
    line = edge[2] * np.exp(-np.square(np.maximum(below * _FRINGE, -below) / thick))
    hanging = edge[3] * np.exp(under * (-1.0 / (_LASH * unit))) * (below > 0)
    dark = shown * np.maximum(line, 0.7 * hanging)
    over = 1.0 - (1.0 - skin) * (1.0 - dark)
    cover = patch.cover * (1.0 - over)
    lashes = single(baked.lashes)[:, None, None]
    paint = lid[:3] * (skin * (1.0 - dark)) + lashes * dark
    paint += ball * ((1.0 - over) * (1.0 - patch.cover))
    return paint / np.maximum(1.0 - cover, 1e-3), cover


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)
