"""Wav2Lip's judge of picture quality, which its GAN training adds."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.swaptalk.wav2lip.audio_encoder import PUBLISHED_WIDTH
from pipelines.swaptalk.wav2lip.blocks import Extent
from pipelines.swaptalk.wav2lip.generator import CROP

_SLOPE = 0.01  # of the leaky ReLU


class _LeakyConv(nn.Module):
    """Convolution and leaky ReLU: normalisation would let one picture of a batch see the others."""

    def __init__(
        self, dim_in: int, dim_out: int, kernel: int, stride: Extent = 1, pad: int = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim_in, dim_out, kernel, stride, pad)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(x), _SLOPE)


class QualityDiscriminator(nn.Module):
    """Pictures to how real their lower halves look."""

    def __init__(self, width: int = PUBLISHED_WIDTH) -> None:
        super().__init__()
        w = width
        levels = (
            [_LeakyConv(3, w, 7, 1, 3)],
            [_LeakyConv(w, 2 * w, 5, (1, 2), 2), _LeakyConv(2 * w, 2 * w, 5, 1, 2)],
            [_LeakyConv(2 * w, 4 * w, 5, 2, 2), _LeakyConv(4 * w, 4 * w, 5, 1, 2)],
            [_LeakyConv(4 * w, 8 * w, 5, 2, 2), _LeakyConv(8 * w, 8 * w, 5, 1, 2)],
            [_LeakyConv(8 * w, 16 * w, 3, 2, 1), _LeakyConv(16 * w, 16 * w, 3, 1, 1)],
            [_LeakyConv(16 * w, 16 * w, 3, 2, 1), _LeakyConv(16 * w, 16 * w, 3, 1, 1)],
            [_LeakyConv(16 * w, 16 * w, 3), _LeakyConv(16 * w, 16 * w, 1)],
        )
        self.face_encoder_blocks = nn.Sequential(*(nn.Sequential(*level) for level in levels))
        self.binary_pred = nn.Sequential(nn.Conv2d(16 * w, 1, 1), nn.Sigmoid())

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, 3, T, 96, 96] in [0, 1] -> [T B, 1] in [0, 1], 1 for real; the first frames of all
        come first.

        Raises:
            ValueError: not of that shape.
        """
        if pictures.dim() != 5 or pictures.shape[1] != 3 or pictures.shape[3:] != (CROP, CROP):
            raise ValueError(
                f"expected pictures [B, 3, T, {CROP}, {CROP}], got {list(pictures.shape)}"
            )
        frames = pictures.permute(2, 0, 1, 3, 4).flatten(0, 1)
        seen = self.face_encoder_blocks(frames[:, :, CROP // 2 :])
        verdict: Tensor = self.binary_pred(seen)
        return verdict.flatten(1)
