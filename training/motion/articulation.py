"""A reference mouth: how far the lips part, computed from phone times.

Each phone asks for a gap with a strength (dominance) that fades before and after it, and the gap is
the mean of what is asked, weighted so: the coarticulation model of Cohen and Massaro (1993). Lip
closures are complete whatever the neighbours ask. In silence the lips relax, then close.

The figures were fitted by `training.motion.refit` to the mouths of five people in the GRID corpus
(Cooke et al. 2006, CC BY 4.0), read by MediaPipe FaceMesh, each with a level and a range of their
own; phones that the corpus hardly has took the figures of their neighbours in articulation. People
shut the lips for p, b, m, nearly for f, v, w, and else hold a plateau that other consonants hardly
narrow. Gaps are inner-lip distances over face height (FaceMesh points 13-14 over 10-152), scaled so
that running speech has the percentiles of people talking to a camera: 10th 0.00-0.01, 50th
0.01-0.06, 90th 0.04-0.09, lips closed (gap under 0.006) in 9-33 % of frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.motion.style import STYLE, STYLE_DIM
from training.speech.phones import BILABIALS, VOWELS, Phone

FPS = 25
CLOSED = 0.006  # a gap below this reads as closed lips

Array = NDArray[np.float64]
Targets = Mapping[str, tuple[float, float]]

# label: (gap, dominance)
TARGETS: Targets = {
    "AA": (0.084, 0.8), "AE": (0.075, 0.7), "AH": (0.044, 0.8), "AO": (0.060, 0.8),
    "AW": (0.070, 0.7), "AX": (0.040, 0.5), "AY": (0.079, 0.9), "EH": (0.076, 1.0),
    "ER": (0.035, 0.8), "EY": (0.079, 1.4), "IH": (0.062, 0.6), "IY": (0.064, 1.0),
    "OW": (0.035, 1.1), "OY": (0.050, 0.9), "UH": (0.030, 0.8), "UW": (0.010, 1.3),
    "T": (0.050, 0.8), "D": (0.038, 0.5), "N": (0.024, 0.2), "K": (0.056, 0.4),
    "G": (0.048, 0.4), "NG": (0.050, 0.4), "HH": (0.040, 0.2), "L": (0.047, 1.8),
    "R": (0.004, 1.8), "Y": (0.052, 0.7), "W": (0.000, 2.6), "S": (0.045, 1.7),
    "Z": (0.032, 0.9), "SH": (0.036, 1.0), "ZH": (0.036, 1.0), "CH": (0.044, 1.0),
    "JH": (0.044, 0.8), "TH": (0.018, 0.5), "DH": (0.014, 0.9), "F": (0.003, 1.9),
    "V": (0.004, 1.6), "P": (0.000, 1.2), "B": (0.000, 1.6), "M": (0.000, 1.3),
    "SIL": (0.000, 1.5),
}  # fmt: skip

# Share of the phone during which the lips stay shut: a stop opens with its burst.
_SHUT = {"P": 0.70, "B": 0.80, "M": 0.95}
_NARROW = BILABIALS | {"F", "V", "W", "R", "UW"}  # lips shape these: their opening is no style

# What one unit of a style number does.
_REST_PER_UNIT = 0.007  # gap of the resting lips; nobody's are more than shut
_PLATEAU_PER_UNIT = 0.18  # of every gap
_CONSONANTS_PER_UNIT = 0.25  # of the gap of consonants


@dataclass(frozen=True, kw_only=True)
class ArticulationConfig:
    lead_s: float = 0.015  # lips before sound
    fade_in_s: float = 0.045  # by which a phone's dominance grows e-fold before it
    begin_s: float = 0.14  # and before one that ends a silence: lips part before a voice is heard
    fade_out_s: float = 0.036  # and falls after it
    shut_ramp_s: float = 0.055  # from open to shut, and from shut to open
    # A silence relaxes the lips, weakly so that what was said holds them, and then closes them:
    # within a live stream nobody knows how long it will be.
    relaxed: tuple[float, float] = (0.012, 0.06)  # gap and dominance
    relax_s: float = 0.06  # how long it stays so
    close_s: float = 0.26  # in which it turns to the target of SIL
    targets: Targets = field(default_factory=lambda: TARGETS)

    @classmethod
    def load(cls, path: Path) -> ArticulationConfig:
        """What `training.motion.refit` wrote; what it leaves out is as above."""
        held = json.loads(path.read_text(encoding="utf-8"))
        targets = {label: (gap, strength) for label, (gap, strength) in held["targets"].items()}
        return cls(targets=dict(TARGETS) | targets)


def articulate(
    phones: Sequence[Phone],
    frames: int,
    config: ArticulationConfig | None = None,
    style: Array | None = None,
) -> Array:
    """Gap over face height per video frame, float64 [frames]; frame n is read at its middle.

    style: [STYLE_DIM], that of the average speaker unless given.
    """
    config = config or ArticulationConfig()
    times = (np.arange(frames) + 0.5) / FPS
    steps = np.arange(-2, 3) * 0.008  # a camera's exposure, and what landmarks smooth
    fine = gap_at((times[:, None] + steps).ravel(), phones, config, style)
    return np.asarray(fine.reshape(frames, len(steps)).mean(1))


def gap_at(
    times_s: Array,
    phones: Sequence[Phone],
    config: ArticulationConfig,
    style: Array | None = None,
) -> Array:
    """Gap over face height at each of `times_s`; the first phone lasts from ever, the last on."""
    if not phones:
        return np.zeros_like(times_s)
    ask = _asked(config, style)
    targets = np.array([ask[phone.label] for phone in phones])
    silent = np.array([phone.label == "SIL" for phone in phones])
    quiet, hold = resting(times_s, phones, config, rest=ask["SIL"][0])
    gap = np.where(silent, quiet, targets[:, 0])
    weight = np.where(silent, hold, targets[:, 1]) * fading(times_s, phones, config)
    mean = (weight * gap).sum(1) / weight.sum(1)
    return np.asarray(mean * openness(times_s, phones, config))


def fading(times_s: Array, phones: Sequence[Phone], config: ArticulationConfig) -> Array:
    """Share of its dominance that each phone has at each time, [T, P]."""
    due = times_s[:, None] + config.lead_s
    starts = np.array([phone.start_s for phone in phones])
    ends = np.array([phone.end_s for phone in phones])
    starts[0], ends[-1] = -np.inf, np.inf
    follows = np.array([False, *(phone.label == "SIL" for phone in phones[:-1])])
    fade_in = np.where(follows, config.begin_s, config.fade_in_s)
    before = np.maximum(starts - due, 0.0) / fade_in
    after = np.maximum(due - ends, 0.0) / config.fade_out_s
    # Not less than 1e-9: far outside every phone the weights must still have a sum.
    return np.asarray(np.maximum(np.exp(-before - after), 1e-9))


def resting(
    times_s: Array, phones: Sequence[Phone], config: ArticulationConfig, rest: float = 0.0
) -> tuple[Array, Array]:
    """Gap and dominance that each phone would have as a silence, [T, P]: relaxed, then at rest."""
    starts: list[float] = []
    for before, phone in zip((None, *phones), phones, strict=False):
        again = before is not None and before.label == "SIL" == phone.label
        first = before is None and phone.label == "SIL"  # before anything was said
        starts.append(starts[-1] if again else -np.inf if first else phone.start_s)
    since = times_s[:, None] + config.lead_s - np.array(starts)
    shut = _smooth((since - config.relax_s) / config.close_s)
    relaxed, weak = config.relaxed
    relaxed = max(relaxed, rest)
    strength = config.targets["SIL"][1]
    return relaxed + (rest - relaxed) * shut, weak ** (1.0 - shut) * strength**shut


def _asked(config: ArticulationConfig, style: Array | None) -> dict[str, tuple[float, float]]:
    """(gap, dominance) by label, of this style."""
    rest, plateau, consonants, _ = np.zeros(STYLE_DIM) if style is None else style
    assert STYLE[:3] == ("rest", "plateau", "consonants")
    found = {}
    for label, (gap, strength) in config.targets.items():
        if label == "SIL":
            gap = max(rest * _REST_PER_UNIT, 0.0)
        elif label not in _NARROW:
            gap *= float(np.exp(plateau * _PLATEAU_PER_UNIT))
            if label not in VOWELS:
                gap *= float(np.exp(consonants * _CONSONANTS_PER_UNIT))
        found[label] = (gap, strength)
    return found


def openness(times_s: Array, phones: Sequence[Phone], config: ArticulationConfig) -> Array:
    """0 while the lips are shut for p, b, m; 1 away from them; smooth between."""
    open_ = np.ones_like(times_s)
    for phone in phones:
        if phone.label not in BILABIALS:
            continue
        shut = phone.start_s - config.lead_s * 0.5
        release = phone.start_s + _SHUT[phone.label] * phone.length_s - config.lead_s * 0.3
        # Shut for a camera's frame at least, however short the sound.
        outside = np.maximum(shut - times_s, times_s - max(release, shut + 0.045))
        open_ = np.minimum(open_, _smooth(outside / config.shut_ramp_s))
    return open_


def _smooth(share: Array) -> Array:
    """0 below 0, 1 above 1, a smooth step between."""
    share = np.clip(share, 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))
