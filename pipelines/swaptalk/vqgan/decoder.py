"""Vectors to pictures: of all rows, or of the lower ones alone."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.config import VqganConfig
from pipelines.swaptalk.vqgan.layers import Middle, UpLevel, norm, swish


def halos(config: VqganConfig) -> tuple[int, tuple[int, ...]]:
    """Rows above a cut that rows below it depend on, in a local decoder.

    Returns:
        Rows of the latent map; rows that enter the blocks of each level, finest first.
    """
    wanted, rows = 1, []  # the last convolution reaches a row
    for _ in config.ch_mult:
        entering = wanted + 2 * config.decoder_blocks  # a block reaches two
        rows.append(entering)
        wanted = (entering + 2) // 2  # half of them, rounded up, and what the doubling reaches
    return rows[-1] + 2 * 2 + 1, tuple(rows)  # the middle's two blocks, the first convolution


class Decoder(nn.Module):
    """[B, code_dim, h, w] -> pictures [B, 3, h factor, w factor], about [-1, 1], not clamped."""

    def __init__(self, config: VqganConfig) -> None:
        super().__init__()
        self.config = config
        wide, fine = config.widths[-1], config.widths[0]
        self.conv_in = nn.Conv2d(config.code_dim, wide, 3, padding=1)
        self.mid = Middle(config, local=config.local_decoder)
        self.up = nn.ModuleList(UpLevel(i, config) for i in range(len(config.ch_mult)))
        self.norm_out = norm(fine, config, local=config.local_decoder)
        self.conv_out = nn.Conv2d(fine, 3 * config.patch**2, 3, padding=1)
        if config.shortcut:
            cell = config.factor
            self.past = nn.ConvTranspose2d(config.code_dim, 3, cell, cell, bias=False)

    def forward(self, z: Tensor, first: int = 0) -> Tensor:
        """`first`: the latent row whose pixels come first. A local decoder then computes little
        of what is above; others compute it all."""
        if first and not self.config.local_decoder:
            whole: Tensor = self(z)
            return whole[:, :, first * self.config.factor :]
        above, by_level = halos(self.config)
        last = len(self.up) - 1
        x, top = _cut(z, 0, first - above)  # top: which row of all the first of x is
        x = self.mid(self.conv_in(x))
        for level in range(last, -1, -1):
            part = self.up[level]
            assert isinstance(part, UpLevel)
            x, top = _cut(x, top, (first << (last - level)) - by_level[level])
            x = part(x)
            if level:
                x, top = part.upsample(x), 2 * top
        x, top = _cut(x, top, (first << last) - 1)
        x = self.conv_out(swish(self.norm_out, x))
        x, _ = _cut(x, top, first << last)
        pictures = F.pixel_shuffle(x, self.config.patch)
        return pictures + self.past(z[:, :, first:]) if self.config.shortcut else pictures


def _cut(x: Tensor, top: int, wanted: int) -> tuple[Tensor, int]:
    """The rows of x, whose first is row `top`, from row `wanted` on, and which is now the first."""
    skipped = max(wanted - top, 0)
    return x[:, :, skipped:], top + skipped
