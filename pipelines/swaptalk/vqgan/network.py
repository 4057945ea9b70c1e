"""The whole VQGAN: faces to maps of vectors, maps to codes, maps to faces."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.config import VqganConfig
from pipelines.swaptalk.vqgan.decoder import Decoder
from pipelines.swaptalk.vqgan.encoder import Encoder
from pipelines.swaptalk.vqgan.quantise import (
    GumbelQuantiser,
    NearestQuantiser,
    Quantised,
    quantiser,
)


class Vqgan(nn.Module):
    """Encoder, one or two codebooks, decoder. The package's docstring says how they are used."""

    def __init__(self, config: VqganConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(config.code_dim, config.code_dim, 1)
        self.quantize = quantiser(config.codes, config)
        if config.codes_lower:
            self.quantize_lower = quantiser(config.codes_lower, config)
        self.post_quant_conv = nn.Conv2d(config.code_dim, config.code_dim, 1)
        self.decoder = Decoder(config)

    @property
    def upper_book(self) -> NearestQuantiser | GumbelQuantiser:
        """What upper halves are looked up in, and whole pictures where there is no other."""
        return self.quantize

    @property
    def lower_book(self) -> NearestQuantiser | GumbelQuantiser:
        """What lower halves are looked up in."""
        return self.quantize_lower if self.config.codes_lower else self.quantize

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [-1, 1], or halves of them -> maps [B, D, H/f, W/f]."""
        encoded: Tensor = self.quant_conv(self.encoder(pictures))
        return encoded

    def encode_halves(self, pictures: Tensor) -> Tensor:
        """The same, upper and lower half seen apart: neither says anything of the other."""
        z = self.encode(torch.cat(pictures.chunk(2, 2)))
        return torch.cat(z.chunk(2), 2)

    def quantise(self, z: Tensor, last: Tensor | None = None, margin: float = 0.0) -> Quantised:
        """Look up maps of whole pictures [B, D, h, w], each half in its book.

        last, margin: hold on to the codes of the frame before, int64 [B, h, w]; see the books.
        """
        if not self.config.codes_lower:
            found: Quantised = self.quantize(z, last, margin)
            return found
        halves = zip(z.chunk(2, 2), (None, None) if last is None else last.chunk(2, 1), strict=True)
        books = (self.upper_book, self.lower_book)
        parts = [book(half, held, margin) for book, (half, held) in zip(books, halves, strict=True)]
        return Quantised(
            torch.cat([part.values for part in parts], 2),
            torch.cat([part.indices for part in parts], 1),
        )

    def look_up(self, indices: Tensor) -> Tensor:
        """Codes of whole pictures, int64 [B, h, w] -> maps [B, D, h, w]."""
        if not self.config.codes_lower:
            return self.quantize.look_up(indices)
        upper, lower = indices.chunk(2, 1)
        return torch.cat([self.upper_book.look_up(upper), self.lower_book.look_up(lower)], 2)

    def decode(self, z: Tensor) -> Tensor:
        """Maps [B, D, h, w] -> pictures [B, 3, h f, w f], about [-1, 1], not clamped."""
        return self.decoder(self.post_quant_conv(z))  # type: ignore[no-any-return]

    def decode_lower(self, z: Tensor) -> Tensor:
        """Maps of whole pictures [B, D, h, w] -> their lower halves [B, 3, h f / 2, w f].

        Equal to the lower rows of `decode`; with a local decoder for about half of its work.
        """
        return self.decoder(self.post_quant_conv(z), z.shape[2] // 2)  # type: ignore[no-any-return]
