"""From band levels to lips: what a spectrum says about an articulation.

Cues are ramps over differences of band levels, after the mean spectrum of each phone in synthetic
speech: open vowels are strong around 600-1150 Hz, spread ones between second formant and what lies
below it, rounded ones have neither; s and sh hiss. A dip that no hiss or burst of high frequency
follows is taken for p, b, m and closes the lips; other dips (t, k, n) only narrow them. The jaw
moves more slowly than the lips, which close over it. Constants were set against the reference
articulation of training voices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.motion.voice import BANDS


@dataclass(frozen=True, kw_only=True)
class LipsConfig:
    """Levels in dB, 0 being the speaker's own; times in steps of 10 ms, counted back from now."""

    low_db: float = -33.0  # where the mouth begins to open
    high_db: float = -7.0  # where it is fully open
    close_db: float = 11.5  # how much less a close vowel counts
    bright: float = 0.15  # what a strong second formant adds to an open vowel
    round_narrow: float = 0.35  # share that rounding takes off the opening
    hiss_narrow: float = 0.8  # and hissing
    burst_db: float = 3.0  # a dip with more hiss over its body soon after it is no lip closure
    audible_db: float = -40.0  # and this much in all
    burst_ahead: int = 6
    narrow: float = 0.21  # opening kept in such a dip
    nasal: float = 0.45  # share of it kept in an n
    shut: float = 0.12  # an opening below this closes the lips
    shut_firm: float = 1.2
    shut_half_width: float = 4.0
    centre: float = 6.5  # of the smoothing; the frame due is 8.75 old, so lips lead by 22 ms
    half_width: float = 5.6
    jaw_half_width: float = 8.5
    gamma: float = 0.7
    gain: float = 0.38  # jawOpen of a loud open vowel
    jaw_share: float = 0.85  # of its slow path that the jaw keeps when the lips are nearer
    press: float = 0.25  # weights of the other articulators at their fullest
    wide: float = 0.35
    pucker: float = 0.4
    teeth: float = 0.12
    tuck: float = 0.4


# name: (weights of band levels, value in dB where the cue begins, where it is full)
_Cue = tuple[dict[str, float], float, float]


def _cues(config: LipsConfig) -> dict[str, _Cue]:
    low, high = config.low_db, config.high_db
    over_body = {"hiss": 1.0, "open": -0.5, "close": -0.5}
    return {
        "open": ({"open": 1.0}, low, high),
        "close": ({"close": 1.0}, low + config.close_db, high + config.close_db),
        "bright": ({"front": 1.0}, -27.0, -15.0),
        "voiced": ({"close": 1.0}, -18.0, -12.0),
        "front": ({"front": 1.0, "back": -1.0}, 6.0, 24.0),
        "dark": ({"front": -1.0}, 14.0, 23.0),
        "hollow": ({"back": -1.0}, 12.0, 22.0),
        "hiss": (over_body, 0.0, 12.0),
        "loud_hiss": ({"hiss": 1.0}, -30.0, -18.0),
        "hush": ({"front": 1.0}, -26.0, -16.0),
        "burst": (over_body, config.burst_db - 3.0, config.burst_db + 3.0),
        "audible": ({"hiss": 1.0}, config.audible_db - 4.0, config.audible_db + 4.0),
        "murmur": ({"murmur": 1.0, "close": -0.5}, 2.0, 6.0),
        "not_m": ({"front": 1.0, "open": -1.0}, -9.0, -3.0),
    }


ARTICULATORS: dict[str, dict[str, float]] = {
    "jaw": {"jawOpen": 1.0},
    "over": {"mouthClose": 1.0},
    "press": {"mouthPressLeft": 1.0, "mouthPressRight": 1.0},
    "wide": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0},
    "round": {"mouthFunnel": 0.5, "mouthPucker": 1.0},
    "teeth": {
        "mouthLowerDownLeft": 1.0,
        "mouthLowerDownRight": 1.0,
        "mouthUpperUpLeft": 0.6,
        "mouthUpperUpRight": 0.6,
    },
    "tuck": {"mouthRollLower": 1.0},
}


class Lips(nn.Module):
    """A pure function of the recent past; all memory is in `pipelines.motion.voice`."""

    def __init__(self, history: int, config: LipsConfig | None = None) -> None:
        super().__init__()
        self.config = config or LipsConfig()
        self.cues = tuple(_cues(self.config))
        weights, offsets = _ramps(self.config)
        self.weights: Tensor
        self.offsets: Tensor
        self.taps: Tensor
        self.mixing: Tensor
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)
        self.register_buffer("taps", _taps(self.config, history), persistent=False)
        self.register_buffer("mixing", _mixing(), persistent=False)

    def forward(self, level: Tensor, gate: Tensor) -> Tensor:
        """level [B, history, bands] in dB, gate [B] in [0, 1] -> motion [B, MOTION_DIM]."""
        config = self.config
        smooth = (self._tracks(level) * self.taps).sum(2)
        opening, slow, shut, spread, rounding, hiss, tuck = smooth.unbind(1)
        firm = (1.0 - config.shut_firm * shut).clamp_min(0.0)
        parting = opening**config.gamma * firm * config.gain
        jaw = torch.maximum(parting, slow**config.gamma * (config.gain * config.jaw_share))
        articulators = torch.stack(
            [
                jaw,
                jaw - parting,
                shut * (slow > 0.05) * config.press,
                spread * config.wide,
                rounding * config.pucker,
                hiss * config.teeth,
                tuck * config.tuck,
            ],
            1,
        )
        return (articulators * gate[:, None]) @ self.mixing

    def _tracks(self, level: Tensor) -> Tensor:
        """What each 10 ms asks of the lips, in [0, 1]: [B, tracks, history]."""
        config = self.config
        cues = (level @ self.weights + self.offsets).clamp(0.0, 1.0)
        cue = dict(zip(self.cues, cues.unbind(2), strict=True))
        rounding = cue["voiced"] * cue["dark"] * cue["hollow"] * (1.0 - cue["front"])
        hiss = cue["hiss"] * cue["loud_hiss"]
        body = torch.maximum(cue["open"] * (1.0 + config.bright * cue["bright"]), cue["close"])
        body = body * (1.0 - config.round_narrow * rounding) * (1.0 - config.hiss_narrow * hiss)
        window = config.burst_ahead + 1
        burst = cue["burst"] * cue["audible"]
        burst_soon = F.max_pool1d(F.pad(burst, (0, window - 1)), window, 1)
        not_labial = torch.maximum(burst_soon, config.nasal * cue["murmur"] * cue["not_m"])
        opening = torch.maximum(body, config.narrow * not_labial)
        return torch.stack(
            [
                opening,
                opening,
                (1.0 - opening / config.shut).clamp_min(0.0),
                cue["front"] * cue["voiced"],
                rounding + hiss * cue["hush"],
                hiss,
                burst * (1.0 - hiss) * (1.0 - body),
            ],
            1,
        )


def _ramps(config: LipsConfig) -> tuple[Tensor, Tensor]:
    """Weights [bands, cues] and offsets [cues] that turn levels into cues."""
    cues = _cues(config).values()
    weights = torch.zeros(len(BANDS), len(cues))
    offsets = torch.zeros(len(cues))
    for column, (bands, begin, full) in enumerate(cues):
        for name, weight in bands.items():
            weights[list(BANDS).index(name), column] = weight / (full - begin)
        offsets[column] = -begin / (full - begin)
    return weights, offsets


def _taps(config: LipsConfig, history: int) -> Tensor:
    """[tracks, history]: a smoothing kernel per track, centred before the frame that is due."""
    age = torch.arange(history - 1, -1, -1.0)
    widths = [config.half_width, config.jaw_half_width, config.shut_half_width]
    widths += [config.half_width] * 4
    kernel = 1.0 - (age - config.centre).abs() / torch.tensor(widths)[:, None]
    kernel = kernel.clamp_min(0.0)
    return kernel / kernel.sum(1, keepdim=True)


def _mixing() -> Tensor:
    table = torch.zeros(len(ARTICULATORS), MOTION_DIM)
    for row, parts in enumerate(ARTICULATORS.values()):
        for name, weight in parts.items():
            table[row, MOTION_INDEX[name]] = weight
    return table
