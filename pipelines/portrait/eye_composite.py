"""Puts the pictures of an eye together, as a patch sees them: eyeball, catch light, painted lid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipelines.motion.space import MOTION_INDEX
from pipelines.portrait.bake import Baked
from pipelines.portrait.lips_and_lids import Patch

_PITCH = MOTION_INDEX["gazePitch"]
_BLINK = (MOTION_INDEX["eyeBlinkRight"], MOTION_INDEX["eyeBlinkLeft"])
_FOLLOW = 1.0 / 50.0  # of the way down that a lid goes with each degree of a lowered gaze
_MOST_FOLLOW = 0.3
_RAISE = 1.0 / 30.0  # of `eyeWide` that an open lid rises with each degree of a raised gaze,
_MOST_RAISE = 0.8  # half of the iris's way


def shut(values: Sequence[float], eye: int) -> float:
    """How far the upper lid of an eye (0 right, 1 left) is down, 0..1: it also follows the gaze."""
    follow = min(max(-values[_PITCH] * _FOLLOW, 0.0), _MOST_FOLLOW)
    return min(max(values[_BLINK[eye]] + follow, 0.0), 1.0)


def raised(values: Sequence[float], eye: int) -> float:
    """How far the upper lid of an eye is up with its gaze, as a share of `eyeWide`, 0..1."""
    follow = min(max(values[_PITCH] * _RAISE, 0.0), _MOST_RAISE)
    return follow * (1.0 - min(max(values[_BLINK[eye]], 0.0), 1.0))


def eyeball(white: Tensor, iris: Tensor, light: Tensor) -> Tensor:
    """RGB [3, H, W] of the pictures [4, H, W] of `Eyeballs`, as they are seen."""
    ball = torch.addcmul(iris[:3], white[:3], 1.0 - iris[3:])
    return torch.addcmul(light[:3] * iris[3:], ball, white[3:])


def lidded(
    baked: Baked, patch: Patch, ball: Tensor, lid: Tensor, edge: Tensor, down: float
) -> tuple[Tensor, Tensor]:
    """Lower a lid by `down` (see `shut`) over an eyeball [3, H, W].

    `lid` and `edge` are pictures of `Eyeballs`, [4, H, W]. Returns what to show where no skin is,
    [3, H, W], and the share of skin that is left, [H, W]: the lid also hides the open eye's lashes.
    """
    unit = 0.010 * baked.face.unit * baked.placement.side / 2  # pixels in 0.01 face heights
    below = edge[0] - down * edge[1]  # pixels below the lid's edge
    shown = min(1.0, 4.0 * down)
    under = below.clamp(min=0.0)
    ball = ball * (1.0 - 0.45 * shown * torch.exp(-under / unit))
    skin = shown * lid[3] * (0.5 - below).clamp(0.0, 1.0)
    thick = (unit * (0.25 + 0.45 * edge[2])).clamp(min=0.8)
    line = edge[2] * torch.exp(-((below / thick) ** 2))
    hanging = edge[3] * torch.exp(-under / unit) * (below > 0)
    dark = shown * torch.maximum(line, 0.6 * hanging)
    over = 1.0 - (1.0 - skin) * (1.0 - dark)
    cover = patch.cover * (1.0 - over)
    lashes = torch.tensor(baked.lashes, device=ball.device).view(3, 1, 1)
    paint = lid[:3] * (skin * (1.0 - dark)) + lashes * dark
    paint = paint + ball * ((1.0 - over) * (1.0 - patch.cover))
    return paint / (1.0 - cover).clamp(min=1e-3), cover
