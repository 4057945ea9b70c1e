"""What only the training of the VQGAN asks of its pictures and codes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_HUE = 3.0  # of hue beside brightness, which pictures differ in far more


def quantisation_loss(z: Tensor, values: Tensor, beta: float = 0.25) -> Tensor:
    """How far vectors are from their codes, a scalar.

    Codes are drawn to the vectors; those to the codes with the share `beta`, so that codes follow.
    (The released code of VQGAN had the two the other way round.)
    """
    follow = (values - z.detach()).square().mean()
    return follow + beta * (z - values.detach()).square().mean()


def tone_loss(made: Tensor, wanted: Tensor, cell: int) -> Tensor:
    """L1 of mean colours over squares of `cell` pixels, hue counting more: a scalar.

    Edges and brightness are learnt long before hue: after 80 steps without this, the hue was
    further off than that of a mean face, and with it nearer.
    """
    apart = F.avg_pool2d(made - wanted, cell)
    bright = apart.mean(1, keepdim=True)
    return bright.abs().mean() + _HUE * (apart - bright).abs().mean()
