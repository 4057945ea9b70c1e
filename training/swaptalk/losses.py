"""How far predicted latents are from the true ones, and predicted faces from the person meant."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.network import Vqgan
from training.flow_warp.losses import attention

Recognise = Callable[[Tensor], Tensor]
"""Latents [B, dim, rows, columns] -> whose face it is, vectors [B, D]: a frozen decoder, then a
frozen network that recognises faces. Gradients pass through both."""


def cell_weights(regions: Tensor, rows: int, columns: int) -> Tensor:
    """Weights of latent cells [N, 1, rows, columns], of mean about 1, highest at mouth and eyes.

    regions: [N, 3, 3] of mouth, right eye, left eye: x, y, half width in [-1, 1].
    """
    fine = attention(regions, 4 * max(rows, columns))  # a mouth may lie between cells
    return F.adaptive_avg_pool2d(fine, (rows, columns))


def map_loss(made: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 of maps [N, dim, h, w] by weight [N, 1, h, w]; a scalar.

    Of whole maps it is `L_proxy`, of lower halves `L_code`. The weights' sum does not count.
    """
    error = (made - wanted).abs().mean(1, keepdim=True)
    return (error * weight).sum() / weight.sum()


def identity_loss(seen: Tensor, wanted: Tensor) -> Tensor:
    """1 - cosine of whose faces are seen and whose should be, vectors [B, D] each; a scalar."""
    return 1.0 - F.cosine_similarity(seen, wanted).mean()


class Recognised(nn.Module):
    """A `Recognise`: latents decoded, and the faces in the pictures recognised. Frozen."""

    def __init__(self, vqgan: Vqgan, recogniser: nn.Module) -> None:
        """recogniser: pictures [B, 3, S, S] in [-1, 1] -> vectors [B, D]."""
        super().__init__()
        self.vqgan, self.recogniser = vqgan, recogniser
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Recognised:
        """It stays as it is."""
        return super().train(False)

    def forward(self, latents: Tensor) -> Tensor:
        vectors: Tensor = self.recogniser(self.vqgan.decode(latents))
        return vectors
