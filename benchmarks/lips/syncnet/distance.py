"""LSE-D, LSE-C and the offset, from embeddings of a clip's lips and sound."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

SHIFTS = 15
"""Video frames that the sound is moved either way."""

_ADDED = 1e-6  # to each difference, as published


@dataclass(frozen=True)
class LipSync:
    """How well the lips of a clip fit its sound.

    lse_d: distance at the best shift; less is better. lse_c: by how much the median over shifts is
    farther; more is better. offset: frames by which the lips are late.
    """

    lse_d: float
    lse_c: float
    offset: int


def mean_distances(lips: Tensor, sound: Tensor) -> Tensor:
    """Mean distance of lips [N, D] and sound [N, D] by shift, [31]: that of entry s is of lips and
    sound s - 15 clips later; before and after the clip there are zeros.

    Raises:
        ValueError: no clips, or another number of lips than of sounds.
    """
    if lips.shape != sound.shape or lips.dim() != 2 or not len(lips):
        raise ValueError(
            f"expected lips and sound [N, D] alike, got {list(lips.shape)} and {list(sound.shape)}"
        )
    padded = F.pad(sound, (0, 0, SHIFTS, SHIFTS))
    shifted = padded.unfold(0, 2 * SHIFTS + 1, 1).permute(2, 0, 1)  # [31, N, D]
    return (lips - shifted + _ADDED).square().sum(2).sqrt().mean(1)


def lip_sync(lips: Tensor, sound: Tensor) -> LipSync:
    """Figures of a clip, from lips [N, D] and sound [N, D] of its N stretches of five frames."""
    distances = mean_distances(lips, sound)
    least = int(distances.argmin())
    lse_d = float(distances[least])
    return LipSync(lse_d, float(distances.median()) - lse_d, SHIFTS - least)
