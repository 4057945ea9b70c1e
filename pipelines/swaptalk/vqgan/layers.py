"""What encoder and decoder are made of. Names of parameters are those of the published files."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.norm_swish import group_norm_swish, pixel_norm_swish
from kernels.reference_norm_swish import pixel_norm
from pipelines.swaptalk.vqgan.config import VqganConfig

_EPS = 1e-6


class PixelNorm(nn.Module):
    """Root mean square over the channels of each cell brought to 1, then scaled and shifted.

    What GroupNorm does, without looking at other cells.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, H, W] -> the same shape."""
        return pixel_norm(x, self.weight, self.bias, _EPS)


def swish(norm: nn.Module, x: Tensor) -> Tensor:
    """Swish of x [B, dim, H, W], normalised by a `GroupNorm` or a `PixelNorm`."""
    if torch.is_grad_enabled():  # kernels have no way back
        return F.silu(norm(x))
    if isinstance(norm, nn.GroupNorm):
        return group_norm_swish(x, norm.weight, norm.bias, norm.num_groups, norm.eps)
    assert isinstance(norm, PixelNorm)
    return pixel_norm_swish(x, norm.weight, norm.bias, _EPS)


def norm(dim: int, config: VqganConfig, *, local: bool) -> nn.Module:
    """The normalisation of `dim` channels."""
    return PixelNorm(dim) if local else nn.GroupNorm(config.groups, dim, eps=_EPS)


class ResnetBlock(nn.Module):
    """Two convolutions added to what came in; reaches 2 cells."""

    def __init__(self, dim_in: int, dim_out: int, config: VqganConfig, *, local: bool) -> None:
        super().__init__()
        self.norm1 = norm(dim_in, config, local=local)
        self.conv1 = nn.Conv2d(dim_in, dim_out, 3, padding=1)
        self.norm2 = norm(dim_out, config, local=local)
        self.conv2 = nn.Conv2d(dim_out, dim_out, 3, padding=1)
        if dim_in != dim_out:
            self.nin_shortcut = nn.Conv2d(dim_in, dim_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H, W]."""
        hidden = self.conv1(swish(self.norm1, x))
        hidden = self.conv2(swish(self.norm2, hidden))
        if hasattr(self, "nin_shortcut"):
            x = self.nin_shortcut(x)
        added: Tensor = x + hidden
        return added


class AttnBlock(nn.Module):
    """Attention of one head over all cells, added to what came in."""

    def __init__(self, dim: int, config: VqganConfig) -> None:
        super().__init__()
        self.norm = norm(dim, config, local=False)
        self.q = nn.Conv2d(dim, dim, 1)
        self.k = nn.Conv2d(dim, dim, 1)
        self.v = nn.Conv2d(dim, dim, 1)
        self.proj_out = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, H, W] -> the same shape."""
        seen = self.norm(x)
        q, k, v = (part(seen).flatten(2).mT for part in (self.q, self.k, self.v))
        found = F.scaled_dot_product_attention(q, k, v)
        added: Tensor = x + self.proj_out(found.mT.reshape(x.shape))
        return added


class Downsample(nn.Module):
    """Half the size: a convolution over a zero row below and a zero column at the right."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, H, W] -> [B, dim, H/2, W/2]."""
        halved: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return halved


class Upsample(nn.Module):
    """Twice the size: each cell four times, then a convolution that reaches 1 cell."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, H, W] -> [B, dim, 2 H, 2 W]."""
        doubled: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled


class Level(nn.Module):
    """Residual blocks of one size, attention after each where the level has it."""

    def __init__(
        self, dim_in: int, dim_out: int, blocks: int, config: VqganConfig,
        *, attention: bool, local: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        dims = [dim_in] + [dim_out] * blocks
        self.block = nn.ModuleList(
            ResnetBlock(dims[i], dim_out, config, local=local) for i in range(blocks)
        )
        self.attn = nn.ModuleList(AttnBlock(dim_out, config) for _ in range(blocks * attention))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H, W]."""
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return x


class DownLevel(Level):
    """A level of the encoder, and what halves its result unless it is the last."""

    def __init__(self, level: int, config: VqganConfig) -> None:
        widths = (config.ch, *config.widths)
        attention = config.level_sizes[level] in config.attention
        super().__init__(
            widths[level], widths[level + 1], config.blocks, config, attention=attention
        )
        if level + 1 < len(config.ch_mult):
            self.downsample = Downsample(widths[level + 1])

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H/2, W/2], or of the same size in the last level."""
        x = super().forward(x)
        return self.downsample(x) if hasattr(self, "downsample") else x


class UpLevel(Level):
    """A level of the decoder. Its `upsample`, which level 0 lacks, is called from outside."""

    def __init__(self, level: int, config: VqganConfig) -> None:
        widths = (*config.widths, config.widths[-1])
        attention = config.level_sizes[level] in config.attention
        super().__init__(
            widths[level + 1], widths[level], config.decoder_blocks, config,
            attention=attention, local=config.local_decoder,
        )  # fmt: skip
        if level:
            self.upsample = Upsample(widths[level])


class Middle(nn.Module):
    """Two residual blocks at the coarsest size, with attention between them unless local."""

    def __init__(self, config: VqganConfig, *, local: bool = False) -> None:
        super().__init__()
        dim = config.widths[-1]
        self.block_1 = ResnetBlock(dim, dim, config, local=local)
        if not local:
            self.attn_1 = AttnBlock(dim, config)
        self.block_2 = ResnetBlock(dim, dim, config, local=local)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, H, W] -> the same shape."""
        x = self.block_1(x)
        if hasattr(self, "attn_1"):
            x = self.attn_1(x)
        middle: Tensor = self.block_2(x)
        return middle
