"""Small untrained weights of the `swaptalk` pipeline, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from pipelines.swaptalk.config import EarConfig, LatentConfig, LipConfig, SwapConfig
from pipelines.swaptalk.faces import LatentFaces
from pipelines.swaptalk.lips import LipSync
from pipelines.swaptalk.options import SwapTalkOptions
from pipelines.swaptalk.swap import Swap
from pipelines.swaptalk.vqgan.config import VqganConfig
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.weights import metadata_of as vqgan_metadata
from pipelines.swaptalk.weights import metadata_of as lips_metadata

TINY = SwapTalkOptions(
    vqgan_weights="tiny-vqgan", lips_weights="tiny-lips", swap_weights="tiny-swap"
)
"""What names them: the names of those that ship are taken."""
TINY_SETTINGS = """
[pipeline.swaptalk]
vqgan_weights = "tiny-vqgan"
lips_weights = "tiny-lips"
swap_weights = "tiny-swap"
"""
TINY_VQGAN = VqganConfig(
    size=64, patch=2, ch=8, ch_mult=(1, 2, 2), blocks=1, decoder_blocks=1, attention=(), groups=4,
    code_dim=8, codes=64, codes_lower=64, local_decoder=True,
)  # fmt: skip
TINY_LIPS = LipConfig(
    latent=LatentConfig(dim=8, rows=8, columns=8), ear=EarConfig(ahead=0, width=16, tokens=3),
    warp_widths=(8, 8, 8), widths=(8, 8, 8), heads=2,
)  # fmt: skip
TINY_SWAP = SwapConfig(latent=TINY_LIPS.latent, width=16, heads=2, layers=1, hidden=16)


def tiny_swap(seed: int = 0) -> Swap:
    """A swap of such faces."""
    torch.manual_seed(seed)
    return Swap(TINY_SWAP).eval().requires_grad_(False)


def tiny_networks(seed: int = 0, vqgan: VqganConfig = TINY_VQGAN) -> tuple[Vqgan, LipSync]:
    """A space of 64 pixels and lips that move something."""
    torch.manual_seed(seed)
    space, lips = Vqgan(vqgan).eval(), LipSync(TINY_LIPS).eval()
    for layer in (lips.transform.leave, lips.warp.offsets.leave):
        torch.nn.init.normal_(layer.weight, std=0.5)  # at the start they say nothing
    with torch.no_grad():
        for book in (space.quantize, space.quantize_lower):
            book.embedding.weight.normal_()  # as far apart as maps are
    return space, lips


def tiny_faces(seed: int = 0, margin: float = 0.0) -> LatentFaces:
    """What draws lower faces, of tiny networks."""
    return LatentFaces(*(each.requires_grad_(False) for each in tiny_networks(seed)), margin)


def write_weights(folder: Path, seed: int = 0, prefix: str = "tiny") -> None:
    """Write all networks as PREFIX-vqgan and so on; by default those that `TINY` names."""
    folder.mkdir(parents=True, exist_ok=True)
    space, lips = tiny_networks(seed)
    swap = tiny_swap(seed)
    for part, network, about in (
        ("vqgan", space, vqgan_metadata(space.config)),
        ("swap", swap, lips_metadata(swap.config)),
        ("lips", lips, lips_metadata(lips.config)),
    ):
        save_file(network.state_dict(), folder / f"{prefix}-{part}.safetensors", about)
