"""Where a training begins.

PyTorch's own beginning lets every convolution shrink what passes; after 60 steps the picture was
hardly more than its mean colour. Here what passes keeps its size, and blocks add little to it, so
that from the first step on the way through the whole network is short.

Where a linear way leads past the network, it begins as a cosine transform of each cell and its
inverse: the picture is there from the first step on, and what is left to learn is what lies between
cells and beyond the kept waves (a residual autoencoder, arXiv 2410.10733).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.swaptalk.vqgan.layers import AttnBlock, ResnetBlock
from pipelines.swaptalk.vqgan.network import Vqgan
from training.swaptalk.stand_in import waves

_SPREAD = 6.0  # of a cell's mean brightness, times its side; of waves it falls with their number
_FALL, _HUE = 1.5, 0.3  # by wave, and of hue beside brightness
_BRIGHT = 0.6  # of the kept waves are of brightness
_HARDLY = 0.1  # of that, beside a linear way past the network
_LITTLE = 0.3  # of what a block adds, and of the first picture's contrast


@torch.no_grad()
def settle(network: Vqgan) -> None:
    """Draw new weights."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResnetBlock):
            module.conv2.weight.mul_(_LITTLE)
        if isinstance(module, AttnBlock):
            module.proj_out.weight.mul_(_LITTLE)
    network.decoder.conv_out.weight.mul_(_LITTLE)
    if network.config.shortcut:
        _begin_with_waves(network)


def _begin_with_waves(network: Vqgan) -> None:
    """The ways past the network, and those through it that would disturb them."""
    config = network.config
    kept, spread = _kept_waves(config.code_dim, config.factor)
    gain = spread.rsqrt()  # half way to equal spread: codes see fine waves, but coarse ones more
    order = gain.argsort().view(-1, config.parts).T.flatten()  # each part has some of all
    kept, gain = kept[order], gain[order].view(-1, 1, 1, 1)
    network.encoder.past.weight.copy_(kept * gain)
    network.decoder.past.weight.copy_(kept / gain)
    for conv in (network.quant_conv, network.post_quant_conv):
        nn.init.dirac_(conv.weight)
    for conv in (network.encoder.conv_out, network.decoder.conv_out):
        conv.weight.mul_(_HARDLY)


def _kept_waves(count: int, cell: int) -> tuple[Tensor, Tensor]:
    """Waves of brightness and two hues, [count, 3, cell, cell], and how much each varies."""
    tints = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    tints = tints / tints.norm(dim=1, keepdim=True)
    bright = round(_BRIGHT * count)
    red = (count - bright + 1) // 2
    kept: list[Tensor] = []
    spreads: list[Tensor] = []
    for tint, number in zip(tints, (bright, red, count - bright - red), strict=True):
        kept.append(tint.view(1, 3, 1, 1) * waves(number, cell)[:, None])
        order = sorted((y + x, y, x) for y in range(cell) for x in range(cell))[:number]
        far = torch.tensor([(y * y + x * x) ** 0.5 for _, y, x in order])
        share = 1.0 if not spreads else _HUE
        spreads.append(share * _SPREAD * cell / 16 / (1.0 + _FALL * far))
    return torch.cat(kept), torch.cat(spreads)
