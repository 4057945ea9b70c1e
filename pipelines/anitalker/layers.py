"""Layers of StyleGAN2 (arXiv 1912.04958) that encoder and generator are made of.

Weights are kept at unit variance and scaled by 1/sqrt(fan in) when used ("equalised"), so that all
of them learn at one pace.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.reference_flow_warp import double


def leaky(x: Tensor, bias: Tensor) -> Tensor:
    """Leaky ReLU of x [B, C, H, W] + bias [C], brought back to the variance it had."""
    return F.leaky_relu(x + bias[:, None, None], 0.2) * math.sqrt(2.0)


def smoothing(like: Tensor) -> Tensor:
    """The kernel that keeps halving and doubling from aliasing, [4, 4], of sum 1."""
    taps = like.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8.0
    return taps[:, None] * taps


def blur(x: Tensor, pad: int, stride: int = 1) -> Tensor:
    """[B, C, H, W], smoothed after zero padding by `pad` all round."""
    channels = x.shape[1]
    kernel = smoothing(x).expand(channels, 1, 4, 4)
    return F.conv2d(x, kernel, padding=pad, stride=stride, groups=channels)


def exact(x: Tensor) -> Tensor:
    """At least float32: flows and pictures add up over the levels, whatever convolves."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def base_grid(size: int, like: Tensor) -> Tensor:
    """Where each pixel looks without flow, [1, 2, size, size] of (x, y), corners at -1 and 1.

    `warp` takes -1 and 1 for the outer edges of the picture, not for the centres of its outermost
    pixels, so no flow means a slight zoom; published weights expect it.
    """
    axis = torch.linspace(-1.0, 1.0, size, device=like.device, dtype=like.dtype)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y])[None]


def warp(source: Tensor, flow: Tensor) -> Tensor:
    """Look up source [B, C, H, W] where the raw flow [B, 3, H, W] points, dimmed by its mask.

    Channels of the flow: x and y of the shift, through tanh, in units of half the picture; the
    mask, through a sigmoid. Outside of the picture there are zeros.
    """
    grid = flow[:, :2].tanh() + base_grid(flow.shape[-1], flow)
    moved = F.grid_sample(source, grid.permute(0, 2, 3, 1), align_corners=False)
    return moved * flow[:, 2:].sigmoid()


class EqualLinear(nn.Module):
    """Linear map [B, in] -> [B, out]; the bias starts at `start`."""

    def __init__(self, dim_in: int, dim_out: int, start: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim_out, dim_in))
        self.bias = nn.Parameter(torch.full((dim_out,), start))

    def scaled(self) -> Tensor:
        """The map's matrix, [out, in]."""
        return self.weight / math.sqrt(self.weight.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled(), self.bias)


class EqualConv(nn.Module):
    """Convolution [B, in, H, W] -> [B, out, ...] without bias.

    `down` halves the size, smoothing first. Otherwise the size stays, or with `valid` shrinks by
    kernel - 1.
    """

    def __init__(
        self, dim_in: int, dim_out: int, kernel: int, *, down: bool = False, valid: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim_out, dim_in, kernel, kernel))
        self.down = down
        self.pad = 0 if valid else kernel // 2

    def scaled(self) -> Tensor:
        """The kernel, [out, in, k, k]."""
        return self.weight / math.sqrt(self.weight[0].numel())

    def forward(self, x: Tensor) -> Tensor:
        if not self.down:
            return F.conv2d(x, self.scaled(), padding=self.pad)
        if self.pad == 0:  # of the smoothed samples every second is used: compute no others
            return F.conv2d(blur(x, pad=1, stride=2), self.scaled())
        return F.conv2d(blur(x, pad=1 + self.pad), self.scaled(), stride=2)


class EqualConvActive(EqualConv):
    """`EqualConv`, then a bias and the leaky ReLU."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int, *, down: bool = False) -> None:
        super().__init__(dim_in, dim_out, kernel, down=down)
        self.bias = nn.Parameter(torch.zeros(dim_out))

    def forward(self, x: Tensor) -> Tensor:
        return leaky(super().forward(x), self.bias)


class StyledConv(nn.Module):
    """3x3 convolution whose input channels a latent scales; output variance kept; leaky ReLU.

    Scaling the channels of the input and of the output instead of the kernel is the same thing,
    and lets all pictures of a batch share one kernel. `up` doubles the size.
    """

    def __init__(self, dim_in: int, dim_out: int, latent_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim_out, dim_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(dim_out))
        self.modulation = EqualLinear(latent_dim, dim_in, start=1.0)
        self.up = up

    def scaled(self) -> Tensor:
        """The shared kernel, [out, in, 3, 3]."""
        return self.weight / math.sqrt(self.weight[0].numel())

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """x [B, in, H, W] and latent [B, latent_dim] -> [B, out, H, W], or twice that size."""
        kernel, style = self.scaled(), self.modulation(latent)
        gain = torch.rsqrt(style.square() @ kernel.square().sum((2, 3)).T + 1e-8)
        x = x * style[:, :, None, None]
        if self.up:
            x = 4.0 * blur(F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2), pad=1)
        else:
            x = F.conv2d(x, kernel, padding=1)
        return leaky(x * gain[:, :, None, None], self.bias)


class FlowHead(nn.Module):
    """1x1 convolution to a raw flow, its input channels scaled by a latent; adds to the last."""

    def __init__(self, dim_in: int, latent_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, dim_in))
        self.bias = nn.Parameter(torch.zeros(3))
        self.modulation = EqualLinear(latent_dim, dim_in, start=1.0)

    def scaled(self) -> Tensor:
        """The shared matrix, [3, in]."""
        return self.weight / math.sqrt(self.weight.shape[1])

    def forward(self, x: Tensor, latent: Tensor, last: Tensor | None) -> Tensor:
        """x [B, in, H, W], latent [B, latent_dim], last flow at half the size -> [B, 3, H, W]."""
        x = x * self.modulation(latent)[:, :, None, None]
        flow = exact(F.conv2d(x, self.scaled()[:, :, None, None], self.bias))
        return flow if last is None else flow + double(last)


class PaintHead(nn.Module):
    """1x1 convolution of the generator's own features to colours.

    Ours: the published network has every colour from the source, and must find a dark place of it
    to show an open mouth.
    """

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.colours = EqualConv(dim_in, 3, 1)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, in, H, W] -> [B, 3, H, W]."""
        return exact(self.colours(x)) + self.bias[:, None, None]


class RgbHead(nn.Module):
    """1x1 convolution of warped features to colours, which add to the last level's picture."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.colours = EqualConvActive(dim_in, 3, 1)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, warped: Tensor, last: Tensor | None) -> Tensor:
        """warped [B, in, H, W] and the last picture at half the size -> [B, 3, H, W]."""
        picture = exact(self.colours(warped)) + self.bias[:, None, None]
        return picture if last is None else picture + double(last)
