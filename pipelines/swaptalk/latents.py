"""Halves of latent maps, and the scale on which networks see them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.swaptalk.config import LatentConfig

_LEAST_SPREAD = 1e-6  # of a channel that never changes


def check_rows(name: str, found: Tensor, *wanted: int) -> None:
    """ValueError, in words of `name`, where a batch is not of shape [B, *wanted]."""
    if tuple(found.shape[1:]) != wanted or not found.dim():
        shape = ", ".join(map(str, wanted))
        raise ValueError(f"expected {name} [B, {shape}], got {list(found.shape)}")


def check_maps(maps: Tensor, config: LatentConfig) -> None:
    """ValueError where these are not maps [B, dim, rows, columns] of a whole face."""
    check_rows("latents", maps, config.dim, config.rows, config.columns)


def upper(maps: Tensor) -> Tensor:
    """[B, C, rows, columns] -> the upper half, [B, C, rows / 2, columns]."""
    return maps[:, :, : maps.shape[2] // 2]


def lower(maps: Tensor) -> Tensor:
    """[B, C, rows, columns] -> the lower half, [B, C, rows / 2, columns]."""
    return maps[:, :, maps.shape[2] // 2 :]


class LatentScale(nn.Module):
    """Maps brought to mean 0 and spread 1 by channel, and back.

    Codebooks come in any scale: a fresh one of 1024 codes begins within 1/1024 of 0.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.zeros(dim, 1, 1))
        self.register_buffer("spread", torch.ones(dim, 1, 1))

    @torch.no_grad()
    def fit(self, maps: Tensor) -> None:
        """Take the scale from maps [B, dim, ...]."""
        spread, mean = torch.std_mean(maps.float(), (0, 2, 3), keepdim=True)
        self.mean.copy_(mean[0])
        self.spread.copy_(spread[0].clamp_min(_LEAST_SPREAD))

    @property
    def unit(self) -> Tensor:
        """The spread of all channels together, a scalar: what distances are measured in.

        Unlike in `enter` channels keep their say in how far a vector is from its code.
        """
        return self.spread.square().mean().sqrt()

    def enter(self, maps: Tensor) -> Tensor:
        """Maps [B, dim, ...] of the VQGAN -> as networks see them."""
        return (maps - self.mean) / self.spread

    def leave(self, maps: Tensor) -> Tensor:
        """The way back from `enter`."""
        return maps * self.spread + self.mean
