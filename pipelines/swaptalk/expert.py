"""The latent sync expert: do five lower halves in a row fit what was heard?

SyncNet's pair of branches as Wav2Lip has them, with maps instead of pixels: unit vectors without a
negative entry, so their cosine lies in [0, 1] and is taken for the probability that they fit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.motion.space import MOTION_DIM
from pipelines.swaptalk.config import ExpertConfig
from pipelines.swaptalk.ears import MOUTH, mouth_of
from pipelines.swaptalk.latents import LatentScale, check_rows
from pipelines.swaptalk.unet import Residual, norm

_DOUBT = 1e-4  # that is left to a cosine of 0 or 1: no pair makes the loss infinite


class LipBranch(nn.Module):
    """Stacked lower halves -> a vector without a negative entry."""

    def __init__(self, config: ExpertConfig) -> None:
        super().__init__()
        first, second, third = config.widths
        rows, columns = config.latent.rows // 2, config.latent.columns
        self.layers = nn.Sequential(
            nn.Conv2d(config.frames * config.latent.dim, first, 3, padding=1),
            Residual(first, first), nn.Conv2d(first, second, 3, stride=2, padding=1),
            Residual(second, second), nn.Conv2d(second, third, 3, stride=2, padding=1),
            Residual(third, third), norm(third), nn.SiLU(),
            nn.Conv2d(third, config.embedding, (rows // 4, columns // 4)), nn.Flatten(),
            nn.Linear(config.embedding, config.embedding), nn.ReLU(),
        )  # fmt: skip

    def forward(self, halves: Tensor) -> Tensor:
        """[B, frames x dim, rows / 2, columns] -> [B, embedding]."""
        seen: Tensor = self.layers(halves)
        return seen


class MotionBranch(nn.Module):
    """The mouths of as many frames of motion -> a vector without a negative entry."""

    def __init__(self, config: ExpertConfig) -> None:
        super().__init__()
        self.frames = config.frames
        wide = 2 * config.embedding
        self.layers = nn.Sequential(
            nn.Linear(config.frames * MOUTH, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU(),
            nn.Linear(wide, config.embedding), nn.ReLU(),
        )  # fmt: skip

    def forward(self, motion: Tensor) -> Tensor:
        """[B, frames, MOTION_DIM] -> [B, embedding]."""
        check_rows("motion", motion, self.frames, MOTION_DIM)
        heard: Tensor = self.layers(mouth_of(motion).flatten(1))
        return heard


class SyncExpert(nn.Module):
    """Embeddings of lips and of sound, near each other where they belong together."""

    def __init__(
        self, config: ExpertConfig | None = None, encoder: nn.Module | None = None
    ) -> None:
        """encoder: where it hears mel, windows [B, 1, 80, 16] -> vectors [B, embedding] without a
        negative entry, as of Wav2Lip's expert.

        Raises:
            ValueError: it hears mel, and there is no encoder.
        """
        super().__init__()
        self.config = config = config or ExpertConfig()
        if config.hears == "mel" and encoder is None:
            raise ValueError("an expert that hears mel needs an audio encoder")
        self.scale = LatentScale(config.latent.dim)
        self.lips = LipBranch(config)
        self.sound = MotionBranch(config) if encoder is None else encoder

    def embed_lips(self, halves: Tensor) -> Tensor:
        """Lower halves in a row, float32 [B, frames, dim, rows / 2, columns] of the VQGAN's scale
        -> unit vectors [B, embedding].

        Raises:
            ValueError: of another shape.
        """
        latent = self.config.latent
        shape = (self.config.frames, latent.dim, latent.rows // 2, latent.columns)
        check_rows("lower halves", halves, *shape)
        return F.normalize(self.lips(self.scale.enter(halves).flatten(1, 2)).float())

    def embed_sound(self, sound: Tensor) -> Tensor:
        """Motion of these frames [B, frames, MOTION_DIM], or the mel window from the first on,
        [B, 1, 80, 16] -> unit vectors [B, embedding]."""
        return F.normalize(self.sound(sound).float())

    def cosine(self, halves: Tensor, sound: Tensor) -> Tensor:
        """How well they fit, [B] in [0, 1]."""
        return (self.embed_lips(halves) * self.embed_sound(sound)).sum(1)


def sync_loss(cosine: Tensor, fits: Tensor) -> Tensor:
    """Cross entropy of cosines [B] against whether the pairs fit, bool or 0 and 1; a scalar."""
    chance = _DOUBT + (1.0 - 2.0 * _DOUBT) * cosine.clamp(0.0, 1.0)
    return -torch.where(fits > 0, chance, 1.0 - chance).log().mean()
