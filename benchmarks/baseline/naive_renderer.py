"""AniTalker's renderer in the order in which the original computes it: one frame, nothing kept.

The parameters are those of `FlowWarp`; every step is spelled out as published (arXiv 2203.09043,
1912.04958). Every frame encodes its source again, every picture of a batch convolves with kernels
of its own, and nothing is folded.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.anitalker.encoder import ImageEncoder, MotionHead, ResBlock
from pipelines.anitalker.layers import EqualConv, EqualLinear, FlowHead, RgbHead, StyledConv
from pipelines.anitalker.network import FlowWarp, FlowWarpGenerator, Level

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
KERNEL = TAPS[:, None] * TAPS / 64.0


def smooth(x: Tensor, gain: float, before: int, after: int) -> Tensor:
    """Zero padding, then gain times the 4x4 kernel on every channel."""
    x = F.pad(x, (before, after, before, after))
    kernel = (gain * KERNEL).to(x).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, groups=x.shape[1])


def activate(x: Tensor, bias: Tensor) -> Tensor:
    """Leaky ReLU of x plus a bias by channel, [B, C, H, W]."""
    return F.leaky_relu(x + bias.view(1, -1, 1, 1), 0.2) * math.sqrt(2.0)


def linear(layer: EqualLinear, x: Tensor) -> Tensor:
    """[B, in] -> [B, out], the weight scaled when used."""
    return F.linear(x, layer.weight / math.sqrt(layer.weight.shape[1]), layer.bias)


def equal_conv(layer: EqualConv, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """[B, in, H, W] -> [B, out, ...], the weight scaled when used; without the bias."""
    weight = layer.weight / math.sqrt(layer.weight[0].numel())
    return F.conv2d(x, weight, stride=stride, padding=padding)


def res_block(block: ResBlock, x: Tensor) -> Tensor:
    """Half the size: [B, in, 2 n, 2 n] -> [B, out, n, n]."""
    y = activate(equal_conv(block.conv, x, padding=1), block.conv.bias)
    y = activate(equal_conv(block.down, smooth(y, 1.0, 2, 2), stride=2), block.down.bias)
    return (y + equal_conv(block.skip, smooth(x, 1.0, 1, 1), stride=2)) / math.sqrt(2.0)


def encode(encoder: ImageEncoder, picture: Tensor) -> tuple[list[Tensor], Tensor]:
    """Pictures [B, 3, size, size] -> maps [B, C, n, n], n from 8 up, and start [B, latent]."""
    maps = [activate(equal_conv(encoder.entry, picture), encoder.entry.bias)]
    blocks: list[ResBlock] = list(encoder.blocks)  # type: ignore[arg-type]
    for block in blocks:
        maps.append(res_block(block, maps[-1]))
    maps.append(equal_conv(encoder.exit, maps[-1]))
    means = [x.mean((2, 3)) for x in maps]
    for i, layer in enumerate(encoder.projections):
        if isinstance(layer, EqualLinear):
            means[i] = linear(layer, means[i])
    shares = encoder.mix.softmax(0)
    return maps[-3::-1], torch.stack([s * x for s, x in zip(shares, means, strict=True)]).sum(0)


def motion_code(head: MotionHead, start: Tensor) -> Tensor:
    """Start [B, latent] -> motion code [B, motion]."""
    code: Tensor = head.leave_identity(start)
    chain: list[EqualLinear] = list(head.chain)  # type: ignore[arg-type]
    for layer in chain:
        code = linear(layer, code)
    return code


def modulated(weight: Tensor, style: Tensor, x: Tensor, *, demodulate: bool, up: bool) -> Tensor:
    """Convolution of each picture by its own kernel, all in one grouped convolution."""
    count, inside, height, width = x.shape
    out, _, size, _ = weight.shape
    kernel = weight[None] / math.sqrt(inside * size**2) * style[:, None, :, None, None]
    if demodulate:
        kernel = kernel * torch.rsqrt(kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    x = x.reshape(1, count * inside, height, width)
    if up:
        kernel = kernel.transpose(1, 2).reshape(count * inside, out, size, size)
        y = F.conv_transpose2d(x, kernel, stride=2, groups=count)
        return smooth(y.view(count, out, *y.shape[2:]), 4.0, 1, 1)
    y = F.conv2d(x, kernel.view(count * out, inside, size, size), padding=size // 2, groups=count)
    return y.view(count, out, height, width)


def styled(layer: StyledConv, x: Tensor, latent: Tensor) -> Tensor:
    """A modulated convolution of [B, in, n, n], of twice the size where the layer enlarges."""
    style = linear(layer.modulation, latent)
    return activate(modulated(layer.weight, style, x, demodulate=True, up=layer.up), layer.bias)


def double(x: Tensor) -> Tensor:
    """Twice the size, by zeros between the samples and smoothing."""
    count, channels, height, width = x.shape
    spread = x.new_zeros(count, channels, height, 2, width, 2)
    spread[:, :, :, 0, :, 0] = x
    return smooth(spread.view(count, channels, 2 * height, 2 * width), 4.0, 2, 1)


def flow_head(head: FlowHead, x: Tensor, latent: Tensor, last: Tensor | None) -> Tensor:
    """Flow x, y and mask, before tanh and sigmoid: [B, 3, n, n]; `last` of half the size."""
    style = linear(head.modulation, latent)
    flow = modulated(head.weight[:, :, None, None], style, x, demodulate=False, up=False)
    flow = flow + head.bias.view(1, 3, 1, 1)
    return flow if last is None else flow + double(last)


def rgb_head(head: RgbHead, warped: Tensor, last: Tensor | None) -> Tensor:
    """The picture so far, [B, 3, n, n]; `last` of half the size."""
    picture = activate(equal_conv(head.colours, warped), head.colours.bias)
    picture = picture + head.bias.view(1, 3, 1, 1)
    return picture if last is None else picture + double(last)


def generate(
    generator: FlowWarpGenerator, maps: list[Tensor], start: Tensor, code: Tensor
) -> Tensor:
    """Maps and start of `encode`, and a code [B, motion] -> pictures [B, 3, size, size]."""
    basis, _ = torch.linalg.qr(generator.directions + 1e-8)
    latent = start + torch.sum(code[:, None] * basis[None], dim=2)
    x = generator.constant[None].repeat(len(latent), 1, 1, 1)
    x = styled(generator.first, x, latent)
    flow: Tensor | None = None
    image: Tensor | None = None
    levels: list[Level] = list(generator.levels)  # type: ignore[arg-type]
    for level, source in zip(levels, maps, strict=True):
        x = styled(level.plain, styled(level.up, x, latent), latent)
        flow = flow_head(level.flow, x, latent, flow)
        axis = torch.linspace(-1.0, 1.0, x.shape[-1])
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).to(x)
        grid = grid + flow[:, :2].tanh().permute(0, 2, 3, 1)
        mask = flow[:, 2:].sigmoid()
        warped = F.grid_sample(source, grid, align_corners=False) * mask
        image = rgb_head(level.rgb, warped, image)
        if level.paint is not None:
            kernel = level.paint.colours.weight / math.sqrt(x.shape[1])
            painted = F.conv2d(x, kernel) + level.paint.bias[:, None, None]
            image = image + painted * (1.0 - mask)
        x = warped + x * (1.0 - mask)
    assert image is not None
    return image


def render(model: FlowWarp, source: Tensor, code: Tensor) -> Tensor:
    """A frame as the original makes it, source and all: [B, 3, size, size] -> the same."""
    maps, start = encode(model.encoder, source)
    return generate(model.generator, maps, start, code)
