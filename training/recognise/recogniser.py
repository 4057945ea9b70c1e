"""Squares of faces to whose they are, as losses and figures want it.

dlib cuts a chip of 150 x 150 pixels out of a picture, by the similarity that brings landmarks
nearest to where a mean face has them, a quarter of that face's box being left on each side. In
pixels of the chip the corners of the subject's right eye are at (37.1, 46.3) outside and
(58.4, 47.9) inside, of the left at (111.0, 46.3) and (89.6, 47.9), and the foot of the nose is at
(74.0, 87.8). Of 68 landmarks it takes eyes, nose and upper lip, whose corners are at (50.4, 103.0)
and (97.6, 103.0).

A square of `face_square` is aligned by eyes and mouth, so that the chip lies at one place in it.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.checkpoints import check_tensors
from training.recognise.centre import CENTRE
from training.recognise.network import CHIP, FaceNetwork

VARIABLE = "VIVAVOCE_RECOGNISER"
FILE = "recogniser.safetensors"

# Where the chip is in the square, from its middle to its outermost pixels' centres: the median
# of what dlib's landmarks gave on 120 portraits, 5 or 68 of them (the two are 0.006 apart; corners
# of single portraits are spread by 0.03).
_HALF = 0.836
_CENTRE = (0.0, -0.046)


class Recogniser(nn.Module):
    """Squares of faces to unit vectors; frozen, but gradients pass through it."""

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        self.network = network
        place = torch.tensor([[_HALF, 0.0, _CENTRE[0]], [0.0, _HALF, _CENTRE[1]]])
        self.grid: Tensor
        grid = F.affine_grid(place[None], [1, 3, CHIP, CHIP], align_corners=True)
        self.register_buffer("grid", grid, persistent=False)
        self.centre: Tensor
        self.register_buffer("centre", torch.tensor(CENTRE), persistent=False)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Recogniser:
        """It stays as it is."""
        return super().train(False)

    def chips(self, pictures: Tensor) -> Tensor:
        """Squares float [N, 3, S, S] in [-1, 1] -> chips float32 [N, 3, 150, 150] in [0, 255]."""
        count, channels, height, width = pictures.shape
        if channels != 3 or height != width:
            raise ValueError(f"expected squares [N, 3, S, S], got {list(pictures.shape)}")
        finer = max(1, int(_HALF * width / CHIP))  # pixels of the square in one of the chip
        small = F.avg_pool2d(pictures.float(), finer, ceil_mode=True) if finer > 1 else pictures
        grid = self.grid.expand(count, -1, -1, -1)
        found = F.grid_sample(small.float(), grid, padding_mode="border", align_corners=False)
        return 127.5 * (found + 1.0)

    def describe(self, pictures: Tensor) -> Tensor:
        """Squares as in `forward` -> dlib's descriptors [N, 128]; nearer than 0.6: one person."""
        with torch.autocast(pictures.device.type, enabled=False):
            described: Tensor = self.network(self.chips(pictures))
            return described

    def pooled(self, pictures: Tensor) -> Tensor:
        """Squares as in `forward` -> features [N, 256] before the last layer."""
        with torch.autocast(pictures.device.type, enabled=False):
            return self.network.pooled(self.chips(pictures))

    def forward(self, pictures: Tensor) -> Tensor:
        """Squares of `pipelines.swaptalk.vqgan.crop.face_square` -> whose faces they are.

        pictures: float [N, 3, S, S] in [-1, 1].

        Returns:
            float32 [N, 128], of length 1: the direction of the descriptor from the mean of faces.
            Cosines of two people are about 0, of pictures of one person over 0.47.

        Raises:
            ValueError: not of that shape.
        """
        return F.normalize(self.describe(pictures) - self.centre, dim=1)


def recogniser(path: Path | str | None = None) -> Recogniser:
    """The recogniser of a file that `python -m training.recognise` made.

    path: of the file; without it what $VIVAVOCE_RECOGNISER says, so that
    `--identity training.recognise.recogniser:recogniser` works.

    Raises:
        ValueError: no such file, or not of this network.
    """
    path = Path(path or os.environ.get(VARIABLE, FILE))
    if not path.is_file():
        raise ValueError(
            f"no recogniser at {path}; `python -m training.recognise --out FOLDER` fetches one, "
            f"and {VARIABLE} says where it is"
        )
    network = FaceNetwork()
    tensors = load_file(path)
    check_tensors(tensors, network.state_dict(), str(path))
    network.load_state_dict(tensors)
    return Recogniser(network)
