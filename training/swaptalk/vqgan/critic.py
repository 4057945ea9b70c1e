"""A critic of patches that tells drawn faces from real ones (arXiv 1611.07004), hinge loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MOST = 1e4


class Critic(nn.Module):
    """Pictures [N, 3, H, W] -> a mark for each patch, [N, 1, h, w]; high for real ones.

    With two layers a patch is 34 pixels wide: teeth, a nostril, a stretch of beard.
    """

    def __init__(self, width: int = 32, layers: int = 2) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        dim = width
        for i in range(1, layers + 1):
            wide, stride = width * min(2**i, 8), 2 if i < layers else 1
            parts += [nn.Conv2d(dim, wide, 4, stride, 1), nn.GroupNorm(8, wide), nn.LeakyReLU(0.2)]
            dim = wide
        self.layers = nn.Sequential(*parts, nn.Conv2d(dim, 1, 4, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        marks: Tensor = self.layers(pictures)
        return marks


def critic_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """What the critic minimises, from its marks: a scalar."""
    return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + drawn).mean())


def adaptive_weight(faithful: Tensor, pleasing: Tensor, last: Tensor) -> Tensor:
    """What makes the gradient of pleasing the critic as large as that of being faithful.

    Both are scalars; gradients are those of the decoder's last weights.
    """
    sizes = [
        torch.autograd.grad(loss, last, retain_graph=True)[0].norm()
        for loss in (faithful, pleasing)
    ]
    weight: Tensor = (sizes[0] / (sizes[1] + 1e-4)).clamp(0.0, _MOST).detach()
    return weight
