"""The swap of faces: a target's map retold in the features of a source (arXiv 2405.05636).

Every cell is a token. Layer by layer the target's tokens ask the source's, which stay as they are;
the target's do not ask each other. So a cell of the result depends on that cell of the target, on
its upper half and on the whole source, and the mouth of a target says nothing to its upper half.

    upper halves of both -> warp -> the source's cells in the target's pose
    target [B, dim, h, w] -> tokens, + position, + semantic -> layers <- tokens of those cells
                                                  -> linear, + the cell -> [B, dim, h, w]

What comes out is continuous; each half is then looked up in its codebook.

Beyond the paper what is learnt is added to the source's own cell, moved as the lips' reference is:
both squares are aligned by eyes and mouth, so the source is a better beginning than nothing.
Without it 1,200 steps led to the blurred face of nobody in particular, further from the answer than
the source itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.swaptalk.config import SwapConfig
from pipelines.swaptalk.latents import LatentScale, check_maps, upper
from pipelines.swaptalk.unet import silent
from pipelines.swaptalk.warp import FaceWarp, moved

_START = 0.02  # spread of embeddings before training


class Tokens(nn.Module):
    """Cells of a map as tokens that know where they are and what part of a face they show."""

    def __init__(self, config: SwapConfig) -> None:
        super().__init__()
        self.config = config
        cells = config.latent.rows * config.latent.columns
        self.cell = nn.Linear(config.latent.dim, config.width)
        self.position = nn.Parameter(_START * torch.randn(cells, config.width))
        self.semantic = nn.Parameter(_START * torch.randn(config.classes, config.width))

    def forward(self, maps: Tensor, classes: Tensor | None = None) -> Tensor:
        """[B, dim, rows, columns] -> [B, rows x columns, width].

        classes: of cells, int64 [B, rows, columns]; without them all are of class 0.
        """
        if classes is None:
            meaning = self.semantic[:1]
        else:
            meaning = self.semantic[classes.flatten(1)]
        found: Tensor = self.cell(maps.flatten(2).mT) + self.position + meaning
        return found


class Layer(nn.Module):
    """The target's tokens ask the source's; post-norm."""

    def __init__(self, config: SwapConfig) -> None:
        super().__init__()
        width = config.width
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.asked = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, config.hidden), nn.GELU(), nn.Linear(config.hidden, width)
        )
        self.fed = nn.LayerNorm(width)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        """[B, N, width] and [B, M, width] -> [B, N, width]."""
        answer, _ = self.attention(target, source, source, need_weights=False)
        target = self.asked(target + answer)
        fed: Tensor = self.fed(target + self.feed(target))
        return fed


class Swap(nn.Module):
    """Puts the source's face on the target. Before training the result is the source."""

    def __init__(self, config: SwapConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SwapConfig()
        self.scale = LatentScale(config.latent.dim)
        self.source = Tokens(config)
        self.target = Tokens(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.cell = nn.Linear(config.width, config.latent.dim)
        silent(self.cell)
        self.warp = FaceWarp(config.latent.dim, config.warp_widths, halves=2)

    def forward(
        self, source: Tensor, target: Tensor,
        source_classes: Tensor | None = None, target_classes: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Maps float32 [B, dim, rows, columns] of source and target -> of the target with the
        source's face, continuous, of the same shape and scale.

        classes: what cells show, int64 [B, rows, columns] below `config.classes`.

        Raises:
            ValueError: maps of another shape.
        """
        for maps in (source, target):
            check_maps(maps, self.config.latent)
        seen = self.scale.enter(source)
        x = self.scale.enter(target)
        seen = moved(seen, self.warp(upper(x), upper(seen))[1])
        keys = self.source(seen, source_classes)
        x = self.target(x, target_classes)
        for layer in self.layers:
            x = layer(x, keys)
        return self.scale.leave(seen + self.cell(x).mT.reshape(target.shape))
