"""Contact sheets of what the codes keep of a face, to be looked at."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from pipelines.swaptalk.vqgan.network import Vqgan
from training.flow_warp.sheets import to_image
from training.swaptalk.vqgan.batches import Batch


@torch.no_grad()
def draw_sheet(network: Vqgan, batch: Batch, with_codes: bool) -> Image.Image:
    """A row per two faces: the picture, its lower half drawn below its own upper, all drawn."""
    tall = torch.cat([batch.pictures, *_drawn(network, batch.pictures, with_codes)], 3)
    half = (len(tall) + 1) // 2
    columns = [torch.cat(list(part), 1) for part in (tall[:half], tall[half : 2 * half])]
    if columns[1].shape[1] < columns[0].shape[1]:
        columns.pop()
    return to_image(torch.cat(columns, 2))


def _drawn(network: Vqgan, pictures: Tensor, with_codes: bool) -> tuple[Tensor, Tensor]:
    z = network.encode_halves(pictures)
    if with_codes:
        z = network.quantise(z).values
    upper, _ = pictures.chunk(2, 2)
    return torch.cat([upper, network.decode_lower(z)], 2), network.decode(z)
