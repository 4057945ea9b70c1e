"""What of a drawn square is shown, compared with how it is drawn at rest, in plain PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

UNLIKE = 0.2
"""Difference of colours in [-1, 1] at which a third of the detail is left."""
BENT = 0.5
"""Change of where neighbours look, over their distance, at which a third is left."""
FAINT = 0.05
"""A mask below which a pixel counts as showing nothing."""
SPREAD = 3
"""Pixels, along a side, over which colours are compared."""


def shown_squares(
    pictures: Tensor, looks: Tensor, masks: Tensor, resting: Tensor, rows: Tensor | None,
    fade: Tensor, share: float,
) -> Tensor:  # fmt: skip
    """See `kernels.shown_squares.shown_squares`."""
    held = resting if rows is None else resting[rows]
    moved = looks - held[:, :2]
    before = at_rest(moved, held[:, 2:])
    colours = (pictures * 0.5 + 0.5 + before[:, 4:]) * fade
    lost = (1.0 - sureness(pictures, masks, moved, before)) * fade
    return torch.cat([colours, moved * share, 1.0 - lost], 1)


def at_rest(moved: Tensor, still: Tensor) -> Tensor:
    """What was at rest, `still` [n, C, R, R], where pixels that `moved` [n, 2, R, R] look."""
    side = moved.shape[-1]
    line = torch.arange(side, dtype=moved.dtype, device=moved.device)
    line = (line + 0.5) * (2.0 / side) - 1.0
    places = torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]
    grid = (places + moved).permute(0, 2, 3, 1)
    return F.grid_sample(still, grid, padding_mode="border", align_corners=False)


def sureness(pictures: Tensor, masks: Tensor, moved: Tensor, before: Tensor) -> Tensor:
    """How sure it is that squares show what was there at rest, [n, 1, R, R] in [0, 1].

    before: [n, 4 or more, R, R], what `at_rest` found: colours, then how much they show.
    """
    unlike = (pictures - before[:, :3]).abs().mean(1, keepdim=True)
    kept = (masks / before[:, 3:4].clamp_min(FAINT)).clamp_max(1.0)
    side = moved.shape[-1]
    across = F.pad(moved[..., 1:] - moved[..., :-1], (0, 1, 0, 0), mode="replicate")
    down = F.pad(moved[..., 1:, :] - moved[..., :-1, :], (0, 0, 0, 1), mode="replicate")
    bent = (across.square() + down.square()).sum(1, keepdim=True) * (side / 2) ** 2
    both = torch.cat([unlike, bent], 1)
    both = F.avg_pool2d(both, SPREAD, 1, SPREAD // 2, count_include_pad=False)
    return torch.exp(-((both[:, :1] / UNLIKE) ** 2) - both[:, 1:] / BENT**2) * kept
