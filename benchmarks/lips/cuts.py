"""Cut short in mid-word, as when a user interrupts: how soon the lips have closed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.lips.figures import Gaps
from benchmarks.lips.held_out import Said
from benchmarks.lips.instruments import Instrument, read_all
from benchmarks.lips.models import motions
from benchmarks.timing import quantiles
from training.motion.articulation import CLOSED, FPS
from training.speech.phones import OPEN_VOWELS, RATE_HZ

IN_TIME_MS = 200.0
_PER_SENTENCE = 3
_BEFORE, _AFTER = 10, 25  # frames around a cut that are read
_OPEN = 2.0 * CLOSED


def cut_frames(said: Said, most: int = _PER_SENTENCE) -> list[int]:
    """Frames in the middle of open vowels of a clip, so many at most, evenly chosen."""
    frames = [int(p.middle_s * FPS) for p in said.clip.phones if p.label in OPEN_VOWELS]
    kept = [frame for frame in dict.fromkeys(frames) if 0 < frame < said.clip.frames]
    return kept[:: max(-(-len(kept) // most), 1)]


def closing_ms(gap: Gaps, cut: int) -> float | None:
    """From the first frame after the cut to the middle of the one from which on lips stay closed.

    None if they were not open when cut; infinite if they are open at the end.
    """
    if cut < 1 or gap[cut - 1] < _OPEN:
        return None
    open_ = np.flatnonzero(gap[cut:] >= CLOSED)
    last = int(open_[-1]) if len(open_) else -1
    if cut + last == len(gap) - 1:
        return float("inf")
    return (last + 1.5) * 1_000.0 / FPS


def measure_cuts(
    said: Sequence[Said],
    instrument: Instrument,
    weights: Path | None = None,
    checkout: Path | None = None,
) -> dict[str, float]:
    """Median, 95th percentile and latest closing, and the share within IN_TIME_MS."""
    cut = {f"{one.name} at {n}": (one, n) for one in said for n in cut_frames(one)}
    after = np.zeros(_AFTER * RATE_HZ // FPS, np.float32)
    sounds = {name: np.concatenate([one.clip.samples, after]) for name, (one, _) in cut.items()}
    at = {name: n for name, (_, n) in cut.items()}
    moved = motions(sounds, weights, checkout, at)
    near = {name: moved[name][max(n - _BEFORE, 0) : n + _AFTER] for name, n in at.items()}
    gaps = read_all(instrument, near, "cuts")
    return figures([(gaps[name], min(n, _BEFORE)) for name, n in at.items()])


def figures(readings: Sequence[tuple[Gaps, int]]) -> dict[str, float]:
    """Of a gap per cut, and the cut's first frame."""
    found = [ms for gap, n in readings if (ms := closing_ms(gap, n)) is not None]
    if not found:
        raise ValueError("no lips were open where they were cut short")
    spread = quantiles(found, 0) or {}
    in_time = float(np.mean(np.array(found) <= IN_TIME_MS))
    return {**spread, "latest": max(found), "in_time": round(in_time, 3)}
