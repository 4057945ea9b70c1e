"""The convolution that all networks of Wav2Lip are made of, and how it is folded for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Extent = int | tuple[int, int]
"""Along both axes, or along each."""


class Block(nn.Module):
    """Convolution, batch normalisation, ReLU; a residual one adds its input before the ReLU."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, *, residual: bool = False) -> None:
        super().__init__()
        self.conv = conv
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(conv.out_channels)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return (y + x if self.residual else y).relu()

    @torch.no_grad()
    def fold(self) -> None:
        """Let the convolution do what the normalisation does in evaluation. Training is over then.

        The statistics are those held; once folded nothing happens.
        """
        norm, conv = self.norm, self.conv
        if isinstance(norm, nn.Identity):
            return
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert conv.bias is not None
        gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        outputs = 1 if isinstance(conv, nn.ConvTranspose2d) else 0  # dimension of its kernel
        shape = [-1 if n == outputs else 1 for n in range(4)]
        conv.weight.copy_(conv.weight * gain.view(shape))
        conv.bias.copy_((conv.bias - norm.running_mean) * gain + norm.bias)
        self.norm = nn.Identity()


def conv(dim_in: int, dim_out: int, kernel: Extent, stride: Extent = 1, pad: int = 0) -> Block:
    """[B, in, H, W] -> [B, out, ...]."""
    return Block(nn.Conv2d(dim_in, dim_out, kernel, stride, pad))


def residual(dim: int) -> Block:
    """[B, C, H, W] -> the same."""
    return Block(nn.Conv2d(dim, dim, 3, 1, 1), residual=True)


def double(dim_in: int, dim_out: int) -> Block:
    """[B, in, H, W] -> [B, out, 2 H, 2 W]."""
    return Block(nn.ConvTranspose2d(dim_in, dim_out, 3, 2, 1, output_padding=1))


def spread(dim_in: int, dim_out: int) -> Block:
    """[B, in, 1, 1] -> [B, out, 3, 3]."""
    return Block(nn.ConvTranspose2d(dim_in, dim_out, 3))


def fold_norms(network: nn.Module) -> None:
    """Fold the normalisation of every block of a network, for inference."""
    for module in network.modules():
        if isinstance(module, Block):
            module.fold()
