"""How well a mouth follows speech: the figures, from gaps per frame and phone times.

A gap is the inner-lip distance over the face height, one per video frame at 25 fps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.motion.articulation import CLOSED, FPS
from training.speech.phones import BILABIALS, OPEN_VOWELS, Phone

Gaps = NDArray[np.float64]

MAX_LAG = 2  # frames
NEAR = 2  # frames around a closure in which the lips must meet
_SHORT_S = 0.06  # open vowels shorter than this are reduced; people need not open for them
_NARROW = BILABIALS | {"F", "V", "W"}  # sounds that a sentence may begin with on near closed lips
_PARTED = 2.0 * CLOSED  # clearly open, whatever noise there is in the reading
_EARLY_S = 0.2  # before the first sound, when lips may part for it
ON_TIME_MS = 40.0  # after the first sound, by when lips must have parted


@dataclass(frozen=True)
class Follow:
    """Pearson r of a gap against its reference at the best lag."""

    r: float
    lag: int  # frames; positive when the mouth is later than the reference


@dataclass(frozen=True)
class Count:
    hits: int
    total: int

    @property
    def share(self) -> float:
        return self.hits / self.total if self.total else float("nan")

    def __add__(self, other: Count) -> Count:
        return Count(self.hits + other.hits, self.total + other.total)


def correlation(a: Gaps, b: Gaps) -> float:
    """Pearson r; 0 when either does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-12 else 0.0


def follow(gap: Gaps, reference: Gaps) -> Follow:
    """The best lag within +-MAX_LAG frames and the correlation there.

    Frames in which either is NaN do not count.

    Raises:
        ValueError: of unequal lengths, or too few frames that count.
    """
    if len(gap) != len(reference):
        raise ValueError(f"{len(gap)} frames measured, {len(reference)} in the reference")
    known = int((~np.isnan(gap) & ~np.isnan(reference)).sum())
    if known <= 3 * MAX_LAG:
        raise ValueError(f"need more than {3 * MAX_LAG} frames, got {known}")
    found = []
    for lag in range(-MAX_LAG, MAX_LAG + 1):
        late, early = gap[max(lag, 0) :], reference[max(-lag, 0) :]
        size = min(len(late), len(early))
        both = np.stack([late[:size], early[:size]])
        both = both[:, ~np.isnan(both).any(0)]
        found.append(Follow(correlation(*both), lag))
    return max(found, key=lambda one: one.r)


def closures(gap: Gaps, phones: Sequence[Phone], closed: float = CLOSED) -> Count:
    """Of the p, b, m that are spoken, how many have the lips closed within +-NEAR frames."""
    middles = [int(phone.middle_s * FPS) for phone in phones if phone.label in BILABIALS]
    shut = gap < closed
    return Count(sum(bool(_around(shut, n).any()) for n in middles if n < len(gap)), len(middles))


def false_closures(
    gap: Gaps, phones: Sequence[Phone], closed: float = CLOSED, reference: Gaps | None = None
) -> Count:
    """Of the open vowels that are not reduced, how many have the lips closed at their middle.

    With a reference, only of those in which its own lips are clearly open: before p, b, m they meet
    before the sound, so that a mouth which follows it closes in some vowels too.
    """
    middles = [
        int(phone.middle_s * FPS)
        for phone in phones
        if phone.label in OPEN_VOWELS and phone.length_s >= _SHORT_S
    ]
    counted = [
        n for n in middles if n < len(gap) and (reference is None or reference[n] >= _PARTED)
    ]
    return Count(sum(bool(gap[n] < closed) for n in counted), len(counted))


def onset_ms(gap: Gaps, phones: Sequence[Phone]) -> float | None:
    """How long after the first sound the lips part; negative when before it.

    Counted to the middle of the first frame with open lips, or to the end of `gap` if there is
    none. None for a sentence that begins with a sound of closed or nearly closed lips.
    """
    first = next(phone for phone in phones if phone.label != "SIL")
    if first.label in _NARROW:
        return None
    begin = max(int((first.start_s - _EARLY_S) * FPS), 0)
    parted = np.flatnonzero(gap[begin:] >= _PARTED)
    frame = begin + int(parted[0]) if len(parted) else len(gap)
    return ((frame + 0.5) / FPS - first.start_s) * 1_000.0


def in_speech(phones: Sequence[Phone], frames: int) -> NDArray[np.bool_]:
    """Frames between the first and the last sound, bool [frames]."""
    spoken = [phone for phone in phones if phone.label != "SIL"]
    times = (np.arange(frames) + 0.5) / FPS
    return (times >= spoken[0].start_s) & (times < spoken[-1].end_s)


def _around(values: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    return values[max(n - NEAR, 0) : n + NEAR + 1]
