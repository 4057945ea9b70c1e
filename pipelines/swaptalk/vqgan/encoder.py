"""Pictures to the vectors that are looked up."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.config import VqganConfig
from pipelines.swaptalk.vqgan.layers import DownLevel, Middle, norm, swish


class Encoder(nn.Module):
    """Pictures [B, 3, H, W] -> [B, code_dim, H / factor, W / factor]."""

    def __init__(self, config: VqganConfig) -> None:
        super().__init__()
        self.config = config
        self.conv_in = nn.Conv2d(3 * config.patch**2, config.ch, 3, padding=1)
        self.down = nn.ModuleList(DownLevel(i, config) for i in range(len(config.ch_mult)))
        self.mid = Middle(config)
        self.norm_out = norm(config.widths[-1], config, local=False)
        self.conv_out = nn.Conv2d(config.widths[-1], config.code_dim, 3, padding=1)
        if config.shortcut:
            self.past = nn.Conv2d(3, config.code_dim, config.factor, config.factor, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.conv_in(F.pixel_unshuffle(pictures, self.config.patch))
        for level in self.down:
            x = level(x)
        encoded: Tensor = self.conv_out(swish(self.norm_out, self.mid(x)))
        return encoded + self.past(pictures) if self.config.shortcut else encoded
