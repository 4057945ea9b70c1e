"""From band levels to lips: what a spectrum says about an articulation.

The mouth opens with the level around the first formant of open vowels; the balance of second
formants spreads or rounds the lips; hissing brings the teeth together. A dip that no hiss or burst
of high frequency follows is taken for p, b, m and closes the lips; other dips only narrow them.
Constants were set by hand against the reference articulation on training voices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX


@dataclass(frozen=True, kw_only=True)
class LipsConfig:
    """Levels in dB below the speaker's own, times in steps of 10 ms before the newest one."""

    low_db: float = -31.0  # where the mouth begins to open
    high_db: float = -9.0  # where it is fully open
    close_db: float = 9.0  # how much less a close vowel counts
    tilt: float = 0.12  # and how much more an open one does
    hiss_db: float = 6.0  # over the body of the spectrum, where hissing narrows the mouth
    hiss: float = 0.4
    burst_db: float = -35.0  # a dip with more hiss than this after it is no lip closure
    burst_ahead: int = 6
    narrow: float = 0.16  # opening kept in such a dip
    centre: float = 6.2  # of the smoothing; the frame due is 8.75 old, so this leads by 26 ms
    half_width: float = 5.0
    gamma: float = 1.15
    jaw: float = 0.38  # jawOpen of a loud open vowel


ARTICULATORS: dict[str, dict[str, float]] = {
    "jaw": {"jawOpen": 1.0},
    "press": {"mouthPressLeft": 1.0, "mouthPressRight": 1.0},
    "wide": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0},
    "round": {"mouthFunnel": 0.7, "mouthPucker": 0.6},
    "teeth": {
        "mouthLowerDownLeft": 0.5,
        "mouthLowerDownRight": 0.5,
        "mouthUpperUpLeft": 0.4,
        "mouthUpperUpRight": 0.4,
    },
}


class Lips(nn.Module):
    """A pure function of the recent past; all memory is in `pipelines.motion.voice`."""

    def __init__(self, history: int, config: LipsConfig | None = None) -> None:
        super().__init__()
        self.config = config or LipsConfig()
        self.taps: Tensor
        self.mixing: Tensor
        self.register_buffer("taps", _taps(self.config, history), persistent=False)
        self.register_buffer("mixing", _mixing(), persistent=False)

    def forward(self, level: dict[str, Tensor], gate: Tensor) -> Tensor:
        """level: [B, history] in dB per band, gate [B] in [0, 1] -> motion [B, MOTION_DIM]."""
        config = self.config
        body = torch.maximum(level["open"], level["close"] - config.close_db)
        body = body + config.tilt * (level["open"] - level["close"]).clamp(-10.0, 10.0)
        opening = ((body - config.low_db) / (config.high_db - config.low_db)).clamp(0.0, 1.2)
        hissing = torch.sigmoid((level["hiss"] - body - config.hiss_db) / 3.0) * torch.sigmoid(
            (level["hiss"] + 30.0) / 3.0
        )
        opening = opening * (1.0 - config.hiss * hissing)
        ahead = F.pad(level["hiss"], (0, config.burst_ahead), value=-50.0)
        burst = F.max_pool1d(ahead, config.burst_ahead + 1, 1)
        burst = torch.sigmoid((burst - config.burst_db) / 3.0)
        opening = torch.maximum(opening, config.narrow * burst)
        front = ((level["front"] - level["back"] - 2.0) / 12.0).clamp(-1.0, 1.0)
        tracks = torch.stack([opening, front * opening, hissing], 1)
        opening, spread, hiss = (tracks * self.taps).sum(2).unbind(1)
        articulators = torch.stack(
            [
                opening.clamp_min(0.0) ** config.gamma * config.jaw,
                (0.06 - opening).clamp_min(0.0) * 8.0,
                spread.clamp_min(0.0) * 0.35,
                (-spread).clamp_min(0.0) * 0.55,
                hiss * 0.25,
            ],
            1,
        )
        return (articulators * gate[:, None]) @ self.mixing


def _taps(config: LipsConfig, history: int) -> Tensor:
    """[3, history]: a smoothing kernel per track, centred before the frame that is due."""
    age = torch.arange(history - 1, -1, -1.0)
    kernel = (1.0 - (age - config.centre).abs() / config.half_width).clamp_min(0.0)
    return (kernel / kernel.sum()).expand(3, history).clone()


def _mixing() -> Tensor:
    table = torch.zeros(len(ARTICULATORS), MOTION_DIM)
    for row, parts in enumerate(ARTICULATORS.values()):
        for name, weight in parts.items():
            table[row, MOTION_INDEX[name]] = weight
    return table
