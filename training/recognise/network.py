"""dlib's face recognition network in PyTorch: a ResNet of 29 convolutions.

As dlib's `dnn_face_recognition_ex.cpp` has it (weights dlib_face_recognition_resnet_model_v1 by
Davis King, public domain). Each convolution's affine layer is folded into it. A face costs
0.54 GFLOP.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHIP = 150  # pixels along a side of what the network sees
POOLED, DESCRIBED = 256, 128  # numbers before and after the last layer
SAME = 0.6  # descriptors nearer than this are of one person, as dlib is trained

_MEAN = (122.782, 117.001, 104.298)  # of red, green and blue
_STEM = 32
_LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, blocks, and whether the first of them halves the picture."""


class _Block(nn.Module):
    """Two convolutions beside a way past them, which is padded with zeros where it is smaller."""

    def __init__(self, before: int, channels: int, halves: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if halves else (1, 1)
        self.first = nn.Conv2d(before, channels, 3, stride, padding)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.halves = halves

    def forward(self, maps: Tensor) -> Tensor:
        found = self.second(F.relu(self.first(maps)))
        past = F.avg_pool2d(maps, 2) if self.halves else maps
        shape = [max(sizes) for sizes in zip(found.shape[1:], past.shape[1:], strict=True)]
        return F.relu(_padded(found, shape) + _padded(past, shape))


def _padded(maps: Tensor, shape: list[int]) -> Tensor:
    """Maps [N, C, h, w] to `shape`, zeros behind, below and to the right."""
    channels, height, width = (
        want - have for want, have in zip(shape, maps.shape[1:], strict=True)
    )
    return F.pad(maps, (0, width, 0, height, 0, channels))


class FaceNetwork(nn.Module):
    """Face chips to descriptors, whose distance says whether two faces are one person's."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.stem = nn.Conv2d(3, _STEM, 7, 2)
        blocks, before = list[nn.Module](), _STEM
        for channels, count, halves in _LEVELS:
            for index in range(count):
                blocks.append(_Block(before, channels, halves and index == 0))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(POOLED, DESCRIBED, bias=False)

    def pooled(self, chips: Tensor) -> Tensor:
        """Chips float32 [N, 3, 150, 150], RGB in [0, 255] -> features [N, 256], all >= 0."""
        maps = F.relu(self.stem((chips - self.mean) / 256.0))
        found: Tensor = self.blocks(F.max_pool2d(maps, 3, 2))
        return found.mean((2, 3))

    def forward(self, chips: Tensor) -> Tensor:
        """Chips float32 [N, 3, 150, 150], RGB in [0, 255] -> descriptors [N, 128]."""
        described: Tensor = self.last(self.pooled(chips))
        return described
