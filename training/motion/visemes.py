"""What each phone asks of jaw and lips, and how the asking of neighbours blends.

Coarticulation by dominance (Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual
speech"): a phone asks every articulator for a target with a strength that fades before and after
it; the articulator takes the mean, weighted so. Lips round earliest: rounding is seen 100-200 ms
before the vowel, spread and lip-to-teeth contact some 50 ms (Perkell and Matthies 1992; Lubker and
Gay 1982). The gap of the lips itself is `articulation`'s; the shapes here say how it is made.

Targets are blendshape weights. Their order follows phonetic descriptions of lips; their size was
judged on rendered faces of the cast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.motion.style import STYLE
from training.motion.articulation import ArticulationConfig, gap_at
from training.speech.phones import LABELS, Phone

Array = NDArray[np.float64]

# Articulators of one timing each: how long the lips lead the sound, and the time in which the
# strength of a phone grows e-fold before it and falls after it, in seconds.
TIMINGS: dict[str, tuple[float, float, float]] = {
    "round": (0.045, 0.065, 0.050),
    "lips": (0.020, 0.045, 0.040),
    "jaw": (0.020, 0.080, 0.070),  # heavier than the lips
}
SHAPES: dict[str, str] = {  # articulator: its timing
    "wide": "round",
    "pucker": "round",
    "funnel": "round",
    "smile": "round",
    "press": "lips",
    "teeth_lower": "lips",
    "teeth_upper": "lips",
    "tuck": "lips",
    "jaw": "jaw",
}

# label: (strength of the lips' asking, of the jaw's, {articulator: target}); what a phone does not
# name it wants at 0. Strengths near 0.2 leave the articulator to the neighbours.
_Row = tuple[float, float, dict[str, float]]
_ROWS: dict[str, _Row] = {
    "AA": (0.8, 1.0, {"jaw": 0.50, "teeth_lower": 0.10}),
    "AE": (0.9, 1.0, {"jaw": 0.46, "wide": 0.30, "teeth_lower": 0.14, "teeth_upper": 0.10}),
    "AH": (0.6, 0.9, {"jaw": 0.34, "teeth_lower": 0.08}),
    "AO": (0.9, 1.0, {"jaw": 0.34, "funnel": 0.34, "pucker": 0.34}),
    "AW": (0.8, 1.0, {"jaw": 0.42, "funnel": 0.18, "pucker": 0.18}),
    "AX": (0.3, 0.5, {"jaw": 0.20}),
    "AY": (0.8, 1.0, {"jaw": 0.44, "wide": 0.28, "smile": 0.04, "teeth_lower": 0.10}),
    "EH": (0.8, 0.9, {"jaw": 0.32, "wide": 0.28, "teeth_lower": 0.12, "teeth_upper": 0.08}),
    "ER": (0.8, 0.8, {"jaw": 0.20, "funnel": 0.22, "pucker": 0.22}),
    "EY": (0.9, 0.9, {"jaw": 0.27, "wide": 0.36, "smile": 0.08, "teeth_lower": 0.12}),
    "IH": (0.7, 0.8, {"jaw": 0.22, "wide": 0.30, "smile": 0.04, "teeth_lower": 0.10}),
    "IY": (1.0, 0.9, {"jaw": 0.16, "wide": 0.46, "smile": 0.12, "teeth_lower": 0.14}),
    "OW": (1.3, 1.0, {"jaw": 0.26, "funnel": 0.32, "pucker": 0.42}),
    "OY": (1.0, 1.0, {"jaw": 0.29, "funnel": 0.30, "pucker": 0.34}),
    "UH": (0.9, 0.9, {"jaw": 0.17, "funnel": 0.26, "pucker": 0.38}),
    "UW": (1.5, 1.0, {"jaw": 0.13, "funnel": 0.24, "pucker": 0.52}),
    "P": (1.0, 0.6, {"jaw": 0.11, "press": 0.30}),
    "B": (1.0, 0.6, {"jaw": 0.12, "press": 0.26}),
    "M": (1.0, 0.6, {"jaw": 0.12, "press": 0.30}),
    "F": (1.6, 0.8, {"jaw": 0.10, "tuck": 0.65, "teeth_upper": 0.22}),
    "V": (1.5, 0.8, {"jaw": 0.11, "tuck": 0.58, "teeth_upper": 0.20}),
    "T": (0.4, 0.7, {"jaw": 0.11, "wide": 0.10, "teeth_lower": 0.10}),
    "D": (0.4, 0.6, {"jaw": 0.12, "wide": 0.10, "teeth_lower": 0.10}),
    "N": (0.4, 0.6, {"jaw": 0.13, "wide": 0.10, "teeth_lower": 0.08}),
    "L": (0.4, 0.6, {"jaw": 0.18, "wide": 0.24, "teeth_lower": 0.08}),
    "TH": (0.8, 0.7, {"jaw": 0.13, "teeth_lower": 0.16, "teeth_upper": 0.08}),
    "DH": (0.7, 0.6, {"jaw": 0.13, "teeth_lower": 0.14, "teeth_upper": 0.06}),
    "S": (0.9, 1.1, {"jaw": 0.05, "wide": 0.30, "teeth_lower": 0.22, "teeth_upper": 0.12}),
    "Z": (0.9, 1.0, {"jaw": 0.06, "wide": 0.22, "teeth_lower": 0.20, "teeth_upper": 0.12}),
    "SH": (1.2, 1.1, {"jaw": 0.06, "funnel": 0.30, "pucker": 0.34, "teeth_lower": 0.10}),
    "ZH": (1.2, 1.0, {"jaw": 0.06, "funnel": 0.30, "pucker": 0.32, "teeth_lower": 0.10}),
    "CH": (1.2, 1.1, {"jaw": 0.06, "funnel": 0.28, "pucker": 0.32, "teeth_lower": 0.10}),
    "JH": (1.2, 1.0, {"jaw": 0.07, "funnel": 0.28, "pucker": 0.30, "teeth_lower": 0.10}),
    "K": (0.2, 0.4, {"jaw": 0.18, "wide": 0.16}),
    "G": (0.2, 0.4, {"jaw": 0.18, "wide": 0.12}),
    "NG": (0.2, 0.4, {"jaw": 0.18}),
    "HH": (0.1, 0.2, {"jaw": 0.20}),
    "R": (1.0, 0.7, {"jaw": 0.13, "funnel": 0.22, "pucker": 0.32}),
    "W": (1.4, 0.8, {"jaw": 0.10, "funnel": 0.18, "pucker": 0.68}),
    "Y": (0.8, 0.7, {"jaw": 0.12, "wide": 0.36, "smile": 0.08}),
    "SIL": (0.9, 0.9, {}),
}  # fmt: skip
# What only some phones care about: the others leave rounding and spread mostly alone across p b m.
_PASSIVE = {"P": 0.25, "B": 0.25, "M": 0.25, "F": 0.2, "V": 0.2}

_WIDTH_PER_UNIT = 0.25  # of spread and rounding, by the style number "width"

_FINE_HZ = 125.0  # of the curves before a camera's exposure averages five of them
_CHUNK_S = 1.0  # computed at a time, with the phones near it
_NEAR_S = 0.9  # a strength has faded below 1e-4 by then

assert set(_ROWS) == LABELS


@dataclass(frozen=True)
class Curves:
    """Articulators on a grid of times, float64 [T] each."""

    gap: Array  # over face height, before loudness
    shapes: dict[str, Array]  # by the names of `SHAPES`, blendshape weights


def covered(phones: Sequence[Phone], length_s: float) -> list[Phone]:
    """The phones with SIL wherever nothing is said, up to `length_s`."""
    whole: list[Phone] = []
    at = 0.0
    for phone in phones:
        if phone.start_s - at > 1e-3:
            whole.append(Phone("SIL", at, phone.start_s))
        whole.append(phone)
        at = phone.end_s
    if length_s - at > 1e-3 or not whole:
        whole.append(Phone("SIL", at, max(length_s, at + 1e-3)))
    return whole


def blend(
    phones: Sequence[Phone],
    times_s: Array,
    config: ArticulationConfig | None = None,
    style: Array | None = None,
) -> Curves:
    """Every articulator at each of `times_s` (rising); phones must follow without gaps.

    style: [STYLE_DIM], that of the average speaker unless given.
    """
    starts = np.array([phone.start_s for phone in phones])
    ends = np.array([phone.end_s for phone in phones])
    tables = {timing: _table(phones, timing) for timing in TIMINGS}
    gap = np.empty_like(times_s)
    shapes = {name: np.empty_like(times_s) for name in SHAPES}
    config = config or ArticulationConfig()
    size = max(1, round(_CHUNK_S * _FINE_HZ))
    for begin in range(0, len(times_s), size):
        part = slice(begin, min(begin + size, len(times_s)))
        times = times_s[part]
        first = int(np.searchsorted(ends, times[0] - _NEAR_S))
        last = int(np.searchsorted(starts, times[-1] + _NEAR_S))
        near = slice(min(first, len(phones) - 1), max(last, 1))
        gap[part] = gap_at(times, phones[near], config, style)
        for timing, (names, asked, strength) in tables.items():
            spans = (starts[near], ends[near])
            values = _dominated(times, spans, timing, asked[near], strength[near])
            for column, name in enumerate(names):
                shapes[name][part] = values[:, column]
    if style is not None:
        range_ = float(np.exp(_WIDTH_PER_UNIT * style[STYLE.index("width")]))
        for name, kind in SHAPES.items():
            if kind == "round":
                shapes[name] = shapes[name] * range_
    return Curves(gap, shapes)


def _table(phones: Sequence[Phone], timing: str) -> tuple[list[str], Array, Array]:
    """Articulators of a timing, their targets [P, A] and strengths [P, A] by phone."""
    names = [name for name, kind in SHAPES.items() if kind == timing]
    targets = {label: [row[2].get(name, 0.0) for name in names] for label, row in _ROWS.items()}
    strengths = {label: _strength(label, timing) for label in _ROWS}
    asked = np.array([targets[phone.label] for phone in phones])
    strength = np.array([[strengths[phone.label]] * len(names) for phone in phones])
    return names, asked, strength


def _strength(label: str, timing: str) -> float:
    lips, jaw, _ = _ROWS[label]
    if timing == "jaw":
        return jaw
    return _PASSIVE.get(label, lips) if timing == "round" else lips


def _dominated(
    times: Array, spans: tuple[Array, Array], timing: str, asked: Array, strength: Array
) -> Array:
    starts, ends = spans
    lead, fade_in, fade_out = TIMINGS[timing]
    due = times[:, None] + lead
    before = np.maximum(starts - due, 0.0) / fade_in
    after = np.maximum(due - ends, 0.0) / fade_out
    weight = np.maximum(np.exp(-before - after), 1e-9)
    return np.asarray((weight @ (strength * asked)) / (weight @ strength))
