"""The flow-warp generator, and the whole model in the form in which it is trained."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.encoder import ImageEncoder, MotionHead
from pipelines.anitalker.layers import FlowHead, PaintHead, RgbHead, StyledConv, warp


class Encoded(NamedTuple):
    """What a picture gives.

    maps: [B, C, n, n] with n = 8, 16, ..., size. start: [B, latent]. code: motion, [B, motion].
    """

    maps: list[Tensor]
    start: Tensor
    code: Tensor


class Level(nn.Module):
    """One size of the generator: decide a flow, warp the source's features, add their colours.

    One that `paints` adds colours of its own where its mask hides the source.
    """

    def __init__(self, dim_in: int, dim_out: int, latent_dim: int, *, paints: bool = False) -> None:
        super().__init__()
        self.up = StyledConv(dim_in, dim_out, latent_dim, up=True)
        self.plain = StyledConv(dim_out, dim_out, latent_dim)
        self.flow = FlowHead(dim_out, latent_dim)
        self.rgb = RgbHead(dim_out)
        self.paint = PaintHead(dim_out) if paints else None

    def forward(
        self, x: Tensor, source: Tensor, latent: Tensor, flow: Tensor | None, image: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features, flow and picture of the level below -> those of this one.

        x [B, in, n/2, n/2], source [B, out, n, n], latent [B, latent_dim]; flow and image
        [B, 3, n/2, n/2], none at the first level. The colours come from the warped features, and
        from paint if there is any; the mixed features go on.
        """
        x = self.plain(self.up(x, latent), latent)
        flow = self.flow(x, latent, flow)
        warped = warp(source, flow)
        image = self.rgb(warped, image)
        hidden = 1.0 - flow[:, 2:].sigmoid()
        if self.paint is not None:
            image = image + hidden * self.paint(x)
        return warped + x * hidden, flow, image


class FlowWarpGenerator(nn.Module):
    """Pictures of a source whose maps are warped as a motion code says (arXiv 2203.09043)."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        latent, width = config.latent_dim, config.widths[-1]
        self.config = config
        self.directions = nn.Parameter(torch.randn(latent, config.motion_dim))
        self.constant = nn.Parameter(torch.randn(width, 4, 4))
        self.first = StyledConv(width, width, latent)
        widths = (width, *config.level_widths)
        self.levels = nn.ModuleList(
            Level(*pair, latent, paints=config.paints and size == config.size)
            for pair, size in zip(pairwise(widths), config.level_sizes, strict=True)
        )

    def basis(self) -> Tensor:
        """Orthonormal directions of motion, [latent, motion]."""
        basis: Tensor = torch.linalg.qr(self.directions + 1e-8).Q
        return basis

    def latent(self, start: Tensor, code: Tensor) -> Tensor:
        """Appearance [B, latent] and motion [B, motion] -> latent [B, latent] of all layers."""
        latent: Tensor = start + code @ self.basis().T
        return latent

    def forward(self, maps: list[Tensor], start: Tensor, code: Tensor) -> Tensor:
        """Maps of the source [B, C, n, n], its start [B, latent], and a motion code [B, motion].

        Returns:
            Pictures [B, 3, size, size], about [-1, 1], not clamped.
        """
        latent = self.latent(start, code)
        x = self.first(self.constant.expand(len(latent), -1, -1, -1), latent)
        flow: Tensor | None = None
        image: Tensor | None = None
        for level, source in zip(self.levels, maps, strict=True):
            x, flow, image = level(x, source, latent, flow, image)
        assert image is not None
        return image


class FlowWarp(nn.Module):
    """Encoder, motion head and generator: one picture of a face driven by another.

    rest: code [motion] of any face at rest, where codes are of a known motion; else None, and the
    motion head reads off its photo how a face rests.
    """

    rest: Tensor | None

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.motion = MotionHead(config)
        self.generator = FlowWarpGenerator(config)
        self.register_buffer("rest", None, persistent=False)

    def encode(self, pictures: Tensor) -> Encoded:
        """Pictures float32 [B, 3, size, size] in [-1, 1]."""
        maps, start = self.encoder(pictures)
        return Encoded(maps, start, self.motion(start))

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """The source's face in the driving pictures' motion; all [B, 3, size, size]."""
        maps, start, _ = self.encode(source)
        picture: Tensor = self.generator(maps, start, self.encode(driving).code)
        return picture
