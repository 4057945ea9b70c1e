"""How sure a mean is: bootstrap intervals (Efron 1979) over a speaker's clips, over speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DRAWS = 4_000
_LEAST = 3  # values that an interval needs: fewer say nothing of how far they spread


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval; None for both ends if there was too little to tell."""

    mean: float
    low: float | None
    high: float | None
    count: int  # clips

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"

    def numbers(self) -> dict[str, float | int | None]:
        """For JSON."""
        rounded = [None if x is None else round(x, 4) for x in (self.mean, self.low, self.high)]
        return dict(zip(("mean", "low", "high"), rounded, strict=True)) | {"clips": self.count}


def over_clips(values: Sequence[float], seed: int = 0) -> Interval:
    """Mean over the clips of one speaker, clips drawn anew with replacement.

    Raises:
        ValueError: no values.
    """
    held = np.array(values, np.float64)
    if not len(held):
        raise ValueError("no clips to take a mean of")
    if len(held) < _LEAST:
        return Interval(float(held.mean()), None, None, len(held))
    chance = np.random.default_rng(seed)
    return _interval(float(held.mean()), _means(held, chance, _DRAWS), len(held))


def over_speakers(values: Mapping[str, Sequence[float]], seed: int = 0) -> Interval:
    """Mean of the speakers' means, in two stages: speakers are drawn anew with replacement, and of
    each drawn speaker the clips.

    A speaker with one clip always gives that one, so what it varies within is not in the interval.

    Raises:
        ValueError: no speakers, or one without clips.
    """
    speakers = [np.array(clips, np.float64) for clips in values.values()]
    if not speakers or not all(len(clips) for clips in speakers):
        raise ValueError("every speaker needs a clip, and there must be one")
    mean = float(np.mean([clips.mean() for clips in speakers]))
    count = sum(len(clips) for clips in speakers)
    if len(speakers) < _LEAST:
        return Interval(mean, None, None, count)
    chance = np.random.default_rng(seed)
    # A speaker's mean is drawn anew for each time that speaker is drawn.
    shape = (_DRAWS, len(speakers))
    which = chance.integers(len(speakers), size=shape)
    drawn = np.zeros(shape)
    for n, clips in enumerate(speakers):
        places = which == n
        drawn[places] = _means(clips, chance, int(places.sum()))
    return _interval(mean, drawn.mean(1), count)


def _means(values: Array, chance: np.random.Generator, draws: int) -> Array:
    """Means of as many values drawn with replacement, [draws]."""
    return np.asarray(values[chance.integers(len(values), size=(draws, len(values)))].mean(1))


def _interval(mean: float, means: Array, count: int) -> Interval:
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(mean, float(low), float(high), count)
