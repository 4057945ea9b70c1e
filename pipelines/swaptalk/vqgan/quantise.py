"""Vectors to codes and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kernels import reference_codes as reference
from kernels.nearest_codes import nearest_codes
from pipelines.swaptalk.vqgan.config import VqganConfig


class Quantised(NamedTuple):
    """The nearest codes of a map.

    values: their vectors, [B, D, h, w]. indices: which they are, int64 [B, h, w], or one more axis
    where vectors are looked up in parts.
    """

    values: Tensor
    indices: Tensor


class NearestQuantiser(nn.Module):
    """A codebook of which the nearest vector is taken.

    A vector may be looked up in `parts`, each among `codes` of its own; codes are then numbered
    from part to part, and indices are [B, h, w, parts].

    Raises:
        ValueError: `dim` numbers cannot be parted so.
    """

    def __init__(self, codes: int, dim: int, parts: int = 1) -> None:
        super().__init__()
        if dim % parts:
            raise ValueError(f"vectors of {dim} numbers have no {parts} equal parts")
        self.parts = parts
        self.embedding = nn.Embedding(parts * codes, dim // parts)
        nn.init.uniform_(self.embedding.weight, -1.0 / codes, 1.0 / codes)

    @property
    def codes(self) -> int:
        """How many there are for each part."""
        return len(self.embedding.weight) // self.parts

    def forward(self, z: Tensor, last: Tensor | None = None, margin: float = 0.0) -> Quantised:
        """Look up a map [B, D, h, w].

        last: the codes of the frame before, int64 [B, h, w], -1 where there is none. A cell keeps
        its code unless another's squared distance is smaller by more than the share `margin`, in
        [0, 1): that keeps cells between two codes from flickering.
        """
        book = self.embedding.weight.view(self.parts, self.codes, -1)
        if last is not None:
            last = last.reshape(len(z), -1, self.parts)
        look_up = reference.nearest_codes if torch.is_grad_enabled() else nearest_codes
        values, indices = look_up(z.flatten(2), book, last, margin)  # the kernel has no way back
        shape = (*z.shape[2:], self.parts) if self.parts > 1 else z.shape[2:]
        return Quantised(values.view(z.shape), indices.view(len(z), *shape))

    def parted(self, z: Tensor) -> Tensor:
        """A map [B, D, h, w] -> the parts of its vectors, [B, h, w, parts, D / parts]."""
        cells = z.permute(0, 2, 3, 1)
        return cells.reshape(*cells.shape[:3], self.parts, -1)

    def look_up(self, indices: Tensor) -> Tensor:
        """Codes int64 [B, h, w] or [B, h, w, parts] -> vectors [B, D, h, w]."""
        vectors: Tensor = self.embedding(indices).flatten(3)
        return vectors.permute(0, 3, 1, 2)


class GumbelQuantiser(nn.Module):
    """A codebook of which a convolution chooses; here always the likeliest code."""

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(dim, codes, 1)
        self.embed = nn.Embedding(codes, dim)

    def forward(self, z: Tensor, last: Tensor | None = None, margin: float = 0.0) -> Quantised:
        """Look up a map [B, D, h, w].

        last: the codes of the frame before, int64 [B, h, w], -1 where there is none. A cell keeps
        its code unless another's logit is larger by more than `margin`.
        """
        logits = self.proj(z)
        indices = logits.argmax(1)
        if last is not None:
            before = last.clamp_min(0)
            held, found = (logits.gather(1, which[:, None])[:, 0] for which in (before, indices))
            indices = torch.where((last < 0) | (found - held > margin), indices, before)
        return Quantised(self.look_up(indices), indices)

    def look_up(self, indices: Tensor) -> Tensor:
        """Codes int64 [B, h, w] -> vectors [B, D, h, w]."""
        vectors: Tensor = self.embed(indices)
        return vectors.permute(0, 3, 1, 2)


def quantiser(codes: int, config: VqganConfig) -> NearestQuantiser | GumbelQuantiser:
    """A codebook of `codes` vectors of the configuration's kind."""
    if config.quantiser == "nearest":
        return NearestQuantiser(codes, config.code_dim, config.parts)
    return GumbelQuantiser(codes, config.code_dim)
