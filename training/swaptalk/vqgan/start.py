"""Where a training begins.

PyTorch's own beginning lets every convolution shrink what passes; after 60 steps the picture was
hardly more than its mean colour. Here what passes keeps its size, and blocks add little to it, so
that from the first step on the way through the whole network is short.
"""

from __future__ import annotations

import torch
from torch import nn

from pipelines.swaptalk.vqgan.layers import AttnBlock, ResnetBlock
from pipelines.swaptalk.vqgan.network import Vqgan

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
