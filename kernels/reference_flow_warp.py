"""What a generator that warps its source's features does beside convolving, in plain PyTorch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.reference import wide

_TINY = 1e-8  # added to an energy
_SLOPE = 0.2
_GAIN = math.sqrt(2.0)  # what brings a leaky ReLU's output back to the variance it had


def demodulate(y: Tensor, power: Tensor, bias: Tensor, then: Tensor | None) -> Tensor:
    """See `kernels.demodulate.demodulate`."""
    gain = torch.rsqrt(power + _TINY) * _GAIN
    kind = wide(y)
    out = torch.addcmul(bias.to(kind)[:, None, None], y.to(kind), gain[:, :, None, None])
    out = F.leaky_relu_(out, _SLOPE)
    if then is not None:
        out = out.mul_(then[:, :, None, None])
    return out.to(y.dtype)


def smooth_demodulate(
    y: Tensor, smooth: Tensor, power: Tensor, bias: Tensor, then: Tensor | None
) -> Tensor:
    """See `kernels.demodulate.smooth_demodulate`."""
    kind = wide(y)
    smoothed = F.conv2d(y.to(kind), smooth.to(kind), padding=1, groups=y.shape[1])
    return demodulate(smoothed, power, bias, then).to(y.dtype)


def flow_head(
    x: Tensor, weight: Tensor, style: Tensor, bias: Tensor, base: Tensor, last: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """See `kernels.flow_head.flow_head`."""
    n, channels, height, width = x.shape
    pixels = x.to(wide(x)).permute(0, 2, 3, 1).reshape(n, -1, channels)
    flow = (weight * style[:, None]) @ pixels.transpose(1, 2)
    flow = flow.contiguous().view(n, 3, height, width) + bias[:, None, None]
    if last is not None:
        flow = flow + double(last)
    return flow, flow[:, :2].tanh() + base, flow[:, 2:].sigmoid()


def warp_blend(
    x: Tensor, grid: Tensor, mask: Tensor, table: Tensor, slots: Tensor, then: Tensor | None
) -> Tensor:
    """See `kernels.flow_warp.warp_blend`."""
    n, _, size, _ = x.shape
    kind = wide(x)
    rows, weights = lookup(grid, mask[:, 0], slots)
    warped = F.embedding_bag(rows, table.to(kind), per_sample_weights=weights, mode="sum")
    warped = warped.view(n, size, size, -1).permute(0, 3, 1, 2)
    out = torch.addcmul(warped, x.to(kind), 1.0 - mask)
    if then is not None:
        out = out.mul_(then[:, :, None, None])
    return out.to(x.dtype)


def lookup(grid: Tensor, mask: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows of a table of all slots' pixels make each pixel, and by which weights: both
    [n * s * s, 4].

    That is bilinear sampling at `grid` [n, 2, s, s] with zeros outside, times the mask [n, s, s].
    """
    size = grid.shape[-1]
    place = (grid + 1.0) * (size / 2) - 0.5
    corner = place.floor()
    near = torch.stack([corner, corner + 1.0], dim=1)  # [n, 2 neighbours, (x, y), s, s]
    share = (1.0 - (place[:, None] - near).abs()) * ((near >= 0) & (near < size))
    near = near.clamp(0, size - 1).int()
    first = (slots * size * size).int()[:, None, None, None, None]
    rows = first + size * near[:, :, None, 1] + near[:, None, :, 0]  # [n, 2, 2, s, s]
    weights = mask[:, None, None] * share[:, :, None, 1] * share[:, None, :, 0]
    return (
        rows.permute(0, 3, 4, 1, 2).reshape(-1, 4),
        weights.permute(0, 3, 4, 1, 2).reshape(-1, 4),
    )


def warp_colours(
    colours: Tensor, grid: Tensor, mask: Tensor, slots: Tensor, biases: Tensor,
    painted: Tensor | None, last: Tensor | None,
) -> Tensor:  # fmt: skip
    """See `kernels.flow_warp.warp_colours`."""
    places = grid.permute(0, 2, 3, 1)
    warped = F.grid_sample(colours[slots], places, align_corners=False) * mask
    inner, outer, paint = biases[:, :, None, None]
    picture: Tensor = F.leaky_relu(warped + inner, _SLOPE) * _GAIN + outer
    if painted is not None:
        picture = torch.addcmul(picture, 1.0 - mask, painted.to(wide(colours)) + paint)
    return picture if last is None else picture + double(last)


def double(x: Tensor) -> Tensor:
    """[n, C, H, W] at twice the size: zeros between the samples, smoothed by [1, 3, 3, 1] / 4.

    Which is bilinear interpolation that sees zeros outside.
    """
    wide = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")
    return wide[..., 2:-2, 2:-2]
