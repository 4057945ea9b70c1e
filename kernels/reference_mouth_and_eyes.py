"""What shows through lips and lids, pixel by pixel, in plain PyTorch.

Colours are [n, C, P] in [0, 1]; `real` are the columns of `kernels.portrait_layout.Real`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.portrait_layout import STRIP, Real

SEAL = 0.56  # half a pixel, and a little so that closed layers leave no hairline
CHOOSE = 0.3  # of a pixel inside: over three, the upper skin goes over into the lower

# Of the mouth. Light comes in from outside: what lies deep is dark behind a slit.
LIT_HALF = (1.4, 5.0)  # mm of opening that let half of the light in: on teeth, deeper
LEAST = (0.66, 0.26)  # light left behind a slit
SHADOW_MM = (2.4, 1.0)  # in which the shadow of the upper lip and the lower lip's fade
LOWER_SHADOW = 0.7  # of the upper lip's
WET_MM = (0.8, 1.5)  # of the inner side of the upper and the lower lip that shows
LEAST_WET = 0.8  # pixels of it

# Of the eyes.
THIN, THICKER = 0.20, 0.25  # half the thickness of the line of lashes in 0.01 face heights, and by
# how much more where it is strong
FRINGE = 0.4  # of its steepness: how softly that line ends below, where lashes hang
LASH = 1.5  # in 0.01 face heights: by so much a hanging lash fades to a third
PHOTO, PAINTED = 0.08, 0.32  # of the way down: up to there a lid is the photo's, then painted
LID_SHADOW, HANGING = 0.45, 0.7


def mouth_colour(
    real: Tensor, lips: Tensor, pictures: list[Tensor], inside: Tensor, flow: Tensor
) -> Tensor:
    """Teeth, tongue and cavity lit through the opening, and the wet inner side of the lips."""
    millimetre = real[:, Real.MILLIMETRE, None, None]
    below, above = (away[:, None] * millimetre for away in (-inside).clamp(min=0.0).unbind(1))
    gap = below + above
    front, deep = (
        least + (1.0 - least) * gap / (gap + half)
        for least, half in zip(LEAST, LIT_HALF, strict=True)
    )
    tongue, lower, upper = pictures
    shown = (tongue[:, :3] + _colour(real, Real.CAVITY) * (1.0 - tongue[:, 3:])) * deep
    for teeth in (lower, upper):
        shown = teeth[:, :3] * front + shown * (1.0 - teeth[:, 3:])
    dark = _colour(real, Real.SHADOW)
    shown = shown * (1.0 - dark * torch.exp(below * (-1.0 / SHADOW_MM[0])))
    shown = shown * (1.0 - LOWER_SHADOW * dark * torch.exp(above * (-1.0 / SHADOW_MM[1])))
    a, b, c = (real[:, Real.STRIP_X + i, None] for i in range(3))
    place = (a * flow[:, 0] + b * flow[:, 1] + c).round().clamp(0.0, STRIP - 1.0).long()
    place = place.clamp(0, STRIP - 1)[:, None].expand(-1, 3, -1)
    lit = 0.5 + 0.5 * gap / (gap + 1.0)
    for lip, away in enumerate((below, above)):
        reach = torch.maximum(0.4 * gap, LEAST_WET * millimetre).clamp(max=WET_MM[lip])
        share = torch.exp(-torch.square(away / reach))
        shown = shown + (lips[:, lip].gather(2, place) * lit - shown) * share
    return shown


def eye_colour(
    real: Tensor,
    ball: tuple[Tensor, Tensor, Tensor],
    lid: Tensor,
    edge: Tensor,
    down: Tensor,
    cover: Tensor,
) -> tuple[Tensor, Tensor]:
    """An eyeball (white, iris, light), a `lid` lowered over it with the line of lashes at its
    `edge`; and the share of skin [n, 1, P] that is left of `cover`."""
    white, iris, light = ball
    seen = iris[:, :3] + white[:, :3] * (1.0 - iris[:, 3:])
    seen = light[:, :3] * iris[:, 3:] + seen * white[:, 3:]
    unit = real[:, Real.LASH, None, None]
    rim, travel, strength, lash = (part[:, None] for part in edge.unbind(1))
    below = rim - down * travel  # pixels below the lid's edge
    part = ((down - PHOTO) / (PAINTED - PHOTO)).clamp(0.0, 1.0)
    shown = part * part * (3.0 - 2.0 * part)
    under = below.clamp(min=0.0)
    seen = seen * (1.0 - LID_SHADOW * shown * torch.exp(under * (-1.0 / unit)))
    skin = shown * lid[:, 3:] * (0.5 - below).clamp(0.0, 1.0)
    thick = (unit * (THIN + THICKER * strength)).clamp(min=0.8)
    line = strength * torch.exp(-torch.square(torch.maximum(below * FRINGE, -below) / thick))
    hanging = lash * torch.exp(under * (-1.0 / (LASH * unit))) * (below > 0)
    dark = shown * torch.maximum(line, HANGING * hanging)
    over = 1.0 - (1.0 - skin) * (1.0 - dark)
    left = cover * (1.0 - over)
    paint = lid[:, :3] * (skin * (1.0 - dark)) + _colour(real, Real.LASHES) * dark
    paint = paint + seen * ((1.0 - over) * (1.0 - cover))
    return paint / (1.0 - left).clamp(min=1e-3), left


def _colour(real: Tensor, first: Real) -> Tensor:
    return real[:, first : first + 3, None]
