"""The corrections of many drawn lower faces at once: what `paste.correction` gives of each alone.

A median of as many cells as a mask's rim has is read out of all cells in order, and three equations
are solved by determinants: nothing depends on a value, and no solver has to tell whether it could.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.swaptalk.mask import HEIGHT, WIDTH
from pipelines.swaptalk.paste import FIRM, MOST, RIM, UNLIKE, basis_of_cells


class Corrections:
    """Constants of it, on one device."""

    def __init__(self, device: torch.device) -> None:
        self._basis = basis_of_cells(device)  # [3, cells]
        self._firm = FIRM * torch.eye(3, device=device)

    def __call__(self, lower: Tensor, around: Tensor, masks: Tensor) -> Tensor:
        """What must be added to lower halves [n, 3, h, w] where masks [n, HEIGHT, WIDTH] are half
        and frames show `around` [n, 3, HEIGHT, WIDTH]: planes, float32 [n, 3 (constant, across,
        down), 3 (RGB)], see `paste.correction`."""
        wrong = (around - F.adaptive_avg_pool2d(lower, (HEIGHT, WIDTH))).flatten(2)
        rim = (4.0 * masks * (1.0 - masks)).flatten(1)
        on = rim > RIM
        count = on.sum(1)[:, None, None]
        usual = _median(wrong, on[:, None], count)
        unlike = (wrong - usual).abs().mean(1) / UNLIKE
        weighted = self._basis * (rim * torch.exp(-(unlike**2)))[:, None]
        matrix = weighted @ self._basis.T + self._firm
        planes = _solved(matrix, weighted @ wrong.mT)
        return planes.clamp(-MOST, MOST) * (count > 0)


def _median(values: Tensor, on: Tensor, count: Tensor) -> Tensor:
    """Of values [n, C, cells] where `on`, of which there are `count` [n, 1, 1]: [n, C, 1]; the
    lower one of two, and 0 of none."""
    ordered = torch.where(on, values, torch.inf).sort(2).values
    middle = (count.clamp_min(1) - 1) // 2
    found = ordered.gather(2, middle.expand(-1, values.shape[1], -1))
    return torch.where(count > 0, found, 0.0)


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """x of matrix [n, 3, 3] @ x = right [n, 3, m], in float64."""
    rows = matrix.double()
    first, second, third = rows.unbind(1)
    turned = torch.stack(
        [torch.linalg.cross(*pair) for pair in ((second, third), (third, first), (first, second))],
        2,
    )  # columns of the adjugate
    determinant = (first[:, :, None] * turned[:, :, :1]).sum(1, keepdim=True)
    solved: Tensor = (turned @ right.double() / determinant).float()
    return solved
