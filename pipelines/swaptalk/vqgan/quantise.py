"""Vectors to codes and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.config import VqganConfig


class Quantised(NamedTuple):
    """The nearest codes of a map.

    values: their vectors, [B, D, h, w]. indices: which they are, int64 [B, h, w].
    """

    values: Tensor
    indices: Tensor


class NearestQuantiser(nn.Module):
    """A codebook of which the nearest vector is taken."""

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, dim)
        nn.init.uniform_(self.embedding.weight, -1.0 / codes, 1.0 / codes)

    def forward(self, z: Tensor, last: Tensor | None = None, margin: float = 0.0) -> Quantised:
        """Look up a map [B, D, h, w].

        last: the codes of the frame before, int64 [B, h, w]. A cell keeps its code unless another's
        squared distance is smaller by more than the share `margin`, in [0, 1): that keeps cells
        between two codes from flickering.
        """
        distances = self.distances(z)
        indices = distances.argmin(3)
        if last is not None:
            held = distances.gather(3, last[..., None])[..., 0]
            found = distances.gather(3, indices[..., None])[..., 0]
            indices = torch.where(found < (1.0 - margin) * held, indices, last)
        return Quantised(self.look_up(indices), indices)

    def distances(self, z: Tensor) -> Tensor:
        """Squared distances of a map [B, D, h, w] from all codes, [B, h, w, codes]."""
        cells, book = z.permute(0, 2, 3, 1), self.embedding.weight
        square = cells.square().sum(3, keepdim=True) + book.square().sum(1)
        return square - 2.0 * (cells @ book.T)

    def look_up(self, indices: Tensor) -> Tensor:
        """Codes int64 [B, h, w] -> vectors [B, D, h, w]."""
        vectors: Tensor = self.embedding(indices)
        return vectors.permute(0, 3, 1, 2)


class GumbelQuantiser(nn.Module):
    """A codebook of which a convolution chooses; here always the likeliest code."""

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(dim, codes, 1)
        self.embed = nn.Embedding(codes, dim)

    def forward(self, z: Tensor, last: Tensor | None = None, margin: float = 0.0) -> Quantised:
        """Look up a map [B, D, h, w].

        last: the codes of the frame before, int64 [B, h, w]. A cell keeps its code unless another's
        logit is larger by more than `margin`.
        """
        logits = self.proj(z)
        indices = logits.argmax(1)
        if last is not None:
            held, found = (logits.gather(1, which[:, None])[:, 0] for which in (last, indices))
            indices = torch.where(found - held > margin, indices, last)
        return Quantised(self.look_up(indices), indices)

    def look_up(self, indices: Tensor) -> Tensor:
        """Codes int64 [B, h, w] -> vectors [B, D, h, w]."""
        vectors: Tensor = self.embed(indices)
        return vectors.permute(0, 3, 1, 2)


def quantiser(codes: int, config: VqganConfig) -> NearestQuantiser | GumbelQuantiser:
    """A codebook of `codes` vectors of the configuration's kind."""
    kind = NearestQuantiser if config.quantiser == "nearest" else GumbelQuantiser
    return kind(codes, config.code_dim)
