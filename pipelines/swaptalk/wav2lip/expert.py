"""The lip-sync expert: how well the lower half of a face fits the sound, as Wav2Lip was taught by.

It has learnt from real video what belongs together and stays as it is while a generator learns.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.swaptalk.wav2lip.audio_encoder import PUBLISHED_WIDTH, AudioEncoder
from pipelines.swaptalk.wav2lip.blocks import conv, residual

FRAMES = 5
"""Consecutive video frames that the expert sees at once; the sound is that of the first."""
HALF = (48, 96)
"""Height and width of what it sees of each."""


class LipSyncExpert(nn.Module):
    """Embeddings of sound and of lower halves, near each other where they belong together."""

    def __init__(self, width: int = PUBLISHED_WIDTH) -> None:
        super().__init__()
        w = width
        self.face_encoder = nn.Sequential(
            conv(3 * FRAMES, w, 7, 1, 3),
            conv(w, 2 * w, 5, (1, 2), 1), residual(2 * w), residual(2 * w),
            conv(2 * w, 4 * w, 3, 2, 1), *(residual(4 * w) for _ in range(3)),
            conv(4 * w, 8 * w, 3, 2, 1), residual(8 * w), residual(8 * w),
            conv(8 * w, 16 * w, 3, 2, 1), residual(16 * w), residual(16 * w),
            conv(16 * w, 16 * w, 3, 2, 1), conv(16 * w, 16 * w, 3), conv(16 * w, 16 * w, 1),
        )  # fmt: skip
        self.audio_encoder = AudioEncoder(w, last_residuals=2)

    def embed_sound(self, mel: Tensor) -> Tensor:
        """Mel windows [B, 1, 80, 16] -> unit vectors [B, 16 width]."""
        return F.normalize(self.audio_encoder(mel))

    def embed_face(self, halves: Tensor) -> Tensor:
        """Stacked lower halves [B, 15, 48, 96] of `lower_halves` -> unit vectors [B, 16 width].

        Raises:
            ValueError: not of that shape.
        """
        if halves.dim() != 4 or halves.shape[1:] != (3 * FRAMES, *HALF):
            wanted = [3 * FRAMES, *HALF]
            raise ValueError(f"expected lower halves [B, *{wanted}], got {list(halves.shape)}")
        return F.normalize(self.face_encoder(halves).flatten(1))

    def cosine(self, mel: Tensor, halves: Tensor) -> Tensor:
        """How well they fit, [B] in [0, 1]: no entry of an embedding is negative."""
        return (self.embed_sound(mel) * self.embed_face(halves)).sum(1)


def lower_halves(pictures: Tensor) -> Tensor:
    """Five frames of faces [B, 3, 5, 96, 96] -> their lower halves on channels, [B, 15, 48, 96],
    the three colours of the first frame first."""
    if pictures.dim() != 5 or pictures.shape[2] != FRAMES:
        raise ValueError(f"expected [B, 3, {FRAMES}, 96, 96], got {list(pictures.shape)}")
    return pictures[..., HALF[0] :, :].transpose(1, 2).flatten(1, 2)


def sync_loss(cosine: Tensor, in_sync: Tensor) -> Tensor:
    """Binary cross-entropy of cosines [B] against 1 where sound and lips fit, else 0."""
    return F.binary_cross_entropy(cosine.clamp(0.0, 1.0), in_sync.to(cosine.dtype))
