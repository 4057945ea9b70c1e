"""What a lid on its way hides and what it leaves, told to the warp.

The portrait renderer paints a lid that is on its way down, and so the flow of the whole opening of
that eye is unknown. But below the lid the photo's eye still shows, and the lid itself looks like
the skin above it. Told to hide all of it, a network drew half a blink as a veil, and painted shut
lids in one colour for all. So here a lid looks up into the skin above it, as in a mirror, and what
is left of the eye looks where it is; only the line of lashes between stays unknown. Far below the
rim nothing is asked: a shut eye whose lid was to look up all the way fetched the brow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.motion.space import MOTION_INDEX

_BLINKS = (MOTION_INDEX["eyeBlinkRight"], MOTION_INDEX["eyeBlinkLeft"])  # as in regions
_PITCH = MOTION_INDEX["gazePitch"]
_FOLLOW, _MOST_FOLLOW = 1.0 / 50.0, 0.3  # `portrait` lowers lids with the gaze, per degree
_BOX = (1.6, 1.3)  # reach across and down around an eye, over its half width
_MIRRORED = 0.25  # rows of skin above for each row of the lid,
_BEGIN = 1.5  # from so many above the open eye's rim: lashes are there
_LASHES = 1.0  # rows on either side of a lid's edge
_NEAR = 4.5  # rows below the rim that are told
FREE = float("inf")  # a flow that nothing is asked of, neither a place nor that it shows nothing


def with_lids(flows: Tensor, regions: Tensor, motion: Tensor) -> Tensor:
    """Flows [N, 2, F, F] of frames with `motion` [N, MOTION_DIM], told of lids.

    regions: [N, 3, 3], as in a store. What is unknown elsewhere, NaN, stays so; of a lid far below
    the rim flows are FREE.
    """
    follow = (-motion[:, _PITCH] * _FOLLOW).clamp(0.0, _MOST_FOLLOW)
    down = torch.stack([(motion[:, blink] + follow).clamp(0.0, 1.0) for blink in _BLINKS], 1)
    told = _filled(flows, _lowered(regions, down, flows.shape[-1]))
    return torch.where(flows.isnan(), told, flows)


def _lowered(regions: Tensor, down: Tensor, size: int) -> Tensor:
    """How far lids are down around either eye, [N, size, size]; NaN elsewhere."""
    line = (torch.arange(size) + 0.5) * (2.0 / size) - 1.0
    found = torch.full((len(down), size, size), float("nan"))
    for eye in (0, 1):
        x, y, half = regions[:, 1 + eye, :, None].unbind(1)
        across = (line - x).abs() < _BOX[0] * half
        rows = (line - y).abs() < _BOX[1] * half
        here = rows[:, :, None] & across[:, None]
        found = torch.where(here, down[:, eye, None, None], found)
    return found


def _filled(flows: Tensor, down: Tensor) -> Tensor:
    """What an eye's opening shows, column by column; NaN where there is no lid."""
    size = flows.shape[-1]
    row = torch.arange(size).view(1, size, 1).expand(len(flows), -1, size)
    known = ~flows.isnan().any(1)
    above = torch.where(known, row, -1).cummax(1).values  # the last known row
    below = torch.where(known, row, size).flip(1).cummin(1).values.flip(1)
    edge = above + 0.5 + down * (below - above - 1)  # the lid covers what is above it
    lid = _at(flows, above - _BEGIN - _MIRRORED * (row - above))
    share = ((row - above) / (below - above).clamp_min(1))[:, None]
    eye = torch.lerp(_at(flows, above.float()), _at(flows, below.float()), share)
    lid = lid.masked_fill((row - above > _NEAR)[:, None], FREE)
    found = torch.where((row < edge)[:, None], lid, eye)
    unknown = ((row - edge).abs() <= _LASHES) | down.isnan() | (above < 0) | (below >= size)
    return found.masked_fill(unknown[:, None], float("nan"))


def _at(flows: Tensor, rows: Tensor) -> Tensor:
    """Flows [N, 2, F, F] in rows [N, F, F] of the same columns, between them linearly."""
    rows = rows.clamp(0, flows.shape[2] - 1)
    low = rows.floor()
    first, second = (
        flows.gather(2, r.long()[:, None].expand_as(flows))
        for r in (low, (low + 1).clamp_max(flows.shape[2] - 1))
    )
    return torch.where(
        (rows > low)[:, None], torch.lerp(first, second, (rows - low)[:, None]), first
    )
