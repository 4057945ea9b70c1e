"""A reference mouth: how far the lips part, computed from phone times.

Each phone asks for a gap with a strength (dominance) that fades before and after it, and the gap is
the mean of what is asked, weighted so: the coarticulation model of Cohen and Massaro (1993). The
lips run ahead of the sound, as people's do. Lip closures are complete whatever the neighbours ask.

Gaps are inner-lip distances over face height (FaceMesh points 13-14 over 10-152), scaled so that
running speech has the percentiles of people talking to a camera: 10th 0.00-0.01, 50th 0.01-0.06,
90th 0.04-0.09, lips closed (gap under 0.006) in 9-33 % of frames. The order of the vowels follows
their first formants; stops, fricatives and glides follow phonetic descriptions of lip and jaw
height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.speech.phones import BILABIALS, Phone

FPS = 25
CLOSED = 0.006  # a gap below this reads as closed lips

# label: (gap, dominance)
_TARGETS: dict[str, tuple[float, float]] = {
    "AA": (0.106, 1.0), "AE": (0.098, 1.0), "AO": (0.083, 1.0), "AW": (0.088, 1.0),
    "AY": (0.092, 1.0), "AH": (0.073, 0.9), "AX": (0.043, 0.5), "EH": (0.070, 0.9),
    "ER": (0.043, 0.8), "EY": (0.057, 0.9), "IH": (0.045, 0.8), "IY": (0.035, 0.9),
    "OW": (0.057, 1.0), "OY": (0.062, 1.0), "UH": (0.037, 0.9), "UW": (0.025, 1.0),
    "T": (0.022, 0.5), "D": (0.022, 0.5), "N": (0.024, 0.5), "K": (0.032, 0.3),
    "G": (0.032, 0.3), "NG": (0.032, 0.3), "HH": (0.040, 0.2), "L": (0.034, 0.5),
    "R": (0.024, 0.8), "Y": (0.024, 0.7), "W": (0.012, 1.2), "S": (0.014, 1.0),
    "Z": (0.014, 1.0), "SH": (0.018, 1.1), "ZH": (0.018, 1.1), "CH": (0.018, 1.1),
    "JH": (0.018, 1.1), "TH": (0.022, 0.8), "DH": (0.022, 0.7), "F": (0.008, 1.5),
    "V": (0.008, 1.5), "P": (0.000, 1.2), "B": (0.000, 1.2), "M": (0.000, 1.2),
    "SIL": (0.000, 0.9),
}  # fmt: skip

# Share of the phone during which the lips stay shut: a stop opens with its burst.
_SHUT = {"P": 0.60, "B": 0.75, "M": 0.95}


@dataclass(frozen=True, kw_only=True)
class ArticulationConfig:
    lead_s: float = 0.05  # lips before sound; people: some tens of ms
    fade_in_s: float = 0.055  # by which a phone's dominance grows e-fold before it
    fade_out_s: float = 0.045  # and falls after it
    shut_ramp_s: float = 0.05  # from open to shut, and from shut to open
    grid_s: float = 0.005  # resolution of the computation


def articulate(
    phones: Sequence[Phone], frames: int, config: ArticulationConfig | None = None
) -> NDArray[np.float64]:
    """Gap over face height per video frame, float64 [frames]; frame n is read at its middle."""
    config = config or ArticulationConfig()
    times = (np.arange(frames) + 0.5) / FPS
    steps = np.arange(-2, 3) * 0.008  # a camera's exposure, and what landmarks smooth
    fine = gap_at((times[:, None] + steps).ravel(), phones, config)
    return np.asarray(fine.reshape(frames, len(steps)).mean(1))


def gap_at(
    times_s: NDArray[np.float64], phones: Sequence[Phone], config: ArticulationConfig
) -> NDArray[np.float64]:
    """Gap over face height at each of `times_s`."""
    if not phones:
        return np.zeros_like(times_s)
    starts = np.array([phone.start_s for phone in phones]) - config.lead_s
    ends = np.array([phone.end_s for phone in phones]) - config.lead_s
    starts[0], ends[-1] = -np.inf, np.inf
    targets = np.array([_TARGETS[phone.label] for phone in phones])
    before = np.maximum(starts - times_s[:, None], 0.0) / config.fade_in_s
    after = np.maximum(times_s[:, None] - ends, 0.0) / config.fade_out_s
    # Not less than 1e-9: far outside every phone the weights must still have a sum.
    weight = targets[:, 1] * np.maximum(np.exp(-before - after), 1e-9)
    gap = (weight * targets[:, 0]).sum(1) / weight.sum(1)
    return np.asarray(gap * _openness(times_s, phones, config))


def _openness(
    times_s: NDArray[np.float64], phones: Sequence[Phone], config: ArticulationConfig
) -> NDArray[np.float64]:
    """0 while the lips are shut for p, b, m; 1 away from them; smooth between."""
    open_ = np.ones_like(times_s)
    for phone in phones:
        if phone.label not in BILABIALS:
            continue
        shut = phone.start_s - config.lead_s * 0.5
        release = phone.start_s + _SHUT[phone.label] * phone.length_s - config.lead_s * 0.3
        outside = np.maximum(shut - times_s, times_s - max(release, shut + 0.03))
        ramp = np.clip(outside / config.shut_ramp_s, 0.0, 1.0)
        open_ = np.minimum(open_, ramp * ramp * (3.0 - 2.0 * ramp))
    return open_
