"""From a picture to what identifies it: feature maps, an appearance code, its motion code."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.layers import EqualConv, EqualConvActive, EqualLinear


class ResBlock(nn.Module):
    """[B, in, H, W] -> [B, out, H/2, W/2]."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.conv = EqualConvActive(dim_in, dim_in, 3)
        self.down = EqualConvActive(dim_in, dim_out, 3, down=True)
        self.skip = EqualConv(dim_in, dim_out, 1, down=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.conv(x)) + self.skip(x)
        return y / math.sqrt(2.0)


class ImageEncoder(nn.Module):
    """Feature maps of a picture, and their mixed averages, `start`, which stand for the whole."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        widths, latent = config.widths, config.latent_dim
        self.config = config
        self.entry = EqualConvActive(3, widths[0], 1)
        self.blocks = nn.ModuleList([ResBlock(*pair) for pair in pairwise(widths)])
        self.exit = EqualConv(widths[-1], latent, 4, valid=True)
        self.projections = nn.ModuleList(
            [nn.Identity() if width == latent else EqualLinear(width, latent) for width in widths]
        )
        self.mix = nn.Parameter(torch.zeros(len(widths) + 1))  # logits

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Pictures float32 [B, 3, size, size] in [-1, 1].

        Returns:
            Maps for the generator, [B, C, n, n] with n = 8, 16, ..., size, and start [B, latent].

        Raises:
            ValueError: pictures of another size.
        """
        size = self.config.size
        if pictures.shape[1:] != (3, size, size):
            raise ValueError(
                f"pictures are {list(pictures.shape)}, expected [B, 3, {size}, {size}]"
            )
        maps = [self.entry(pictures)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        means = [project(x.mean((2, 3))) for project, x in zip(self.projections, maps, strict=True)]
        means.append(self.exit(maps[-1]).flatten(1))
        start = torch.einsum("k,kbd->bd", self.mix.softmax(0), torch.stack(means))
        return maps[-2::-1], start


def two_layers(dim: int) -> nn.Sequential:
    """The small perceptrons that part motion from identity."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))


class MotionHead(nn.Module):
    """Motion code of a picture from its `start`: a perceptron that leaves identity behind, and a
    chain of linear layers without activations between (they only ease learning)."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        latent = config.latent_dim
        outs = [latent] * (config.motion_layers - 1) + [config.motion_dim]
        self.leave_identity = two_layers(latent)
        self.chain = nn.Sequential(*[EqualLinear(latent, out) for out in outs])

    def forward(self, start: Tensor) -> Tensor:
        """[B, latent] -> [B, motion]."""
        code: Tensor = self.chain(self.leave_identity(start))
        return code

    def folded(self) -> tuple[Tensor, Tensor]:
        """The chain as one linear map: matrix [motion, latent] and bias [motion]."""
        layers: list[EqualLinear] = list(self.chain)  # type: ignore[arg-type]
        matrix, bias = layers[0].scaled().double(), layers[0].bias.double()
        for layer in layers[1:]:
            step = layer.scaled().double()
            matrix, bias = step @ matrix, step @ bias + layer.bias.double()
        return matrix.float(), bias.float()


class IdentityHead(nn.Module):
    """Identity code of a picture from its `start`, and the estimate from which the information that
    motion shares with it is bounded. For training only (arXiv 2405.03121, section 3.2)."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.identity = two_layers(config.latent_dim)
        self.density = two_layers(config.latent_dim)

    def forward(self, start: Tensor) -> tuple[Tensor, Tensor]:
        """start [B, latent] -> identity and its density estimate, both [B, latent]."""
        identity = self.identity(start)
        return identity, self.density(identity)
