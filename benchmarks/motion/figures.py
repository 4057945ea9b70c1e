"""How a face moves, in figures: computed as they were from people talking to a camera.

Ranges are those of five real speakers at 25 fps, 8-18 s each, read by FaceMesh: small samples, to
be used as ranges and not as laws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.lips.figures import MAX_LAG, correlation
from benchmarks.motion.reader import Reading
from training.motion.articulation import CLOSED, FPS

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# figure: least and most of the real speakers
REAL: dict[str, tuple[float, float]] = {
    "yaw sd, degrees": (1.5, 10.2),
    "pitch sd, degrees": (1.7, 6.8),
    "roll sd, degrees": (1.9, 5.1),
    "mean angular speed, degrees/s": (16.0, 40.0),
    "yaw velocity power under 2 Hz": (0.14, 0.63),
    "pitch velocity power under 2 Hz": (0.16, 0.51),
    "roll velocity power under 2 Hz": (0.37, 0.51),
    "blinks per minute": (7.0, 75.0),
    "blink duration, median ms": (120.0, 180.0),
    "gap, 10th percentile": (0.00, 0.01),
    "gap, 50th percentile": (0.01, 0.06),
    "gap, 90th percentile": (0.04, 0.09),
    "frames with lips closed": (0.09, 0.33),
    "mouth width, sd over mean": (0.04, 0.10),
    "gap with energy, best r": (0.18, 0.33),
}

_SLOW_HZ = 2.0
_LID_WINDOW = 5 * FPS  # frames in which the lids are seen open
_SHUT = 0.62  # of the open lids: a blink is below it, about half way down for FaceMesh
_LONGEST_BLINK = 12  # frames; longer ones are eyes cast down


@dataclass(frozen=True)
class Blinks:
    per_minute: float
    median_ms: float  # NaN without any


def figures(reading: Reading, energy: Array, talking: Mask) -> dict[str, float]:
    """Every figure of `REAL`, in that order; lips only while talking.

    energy [frames] is the sound's RMS, talking [frames] marks speech without its pauses.
    """
    angles = filled(reading.angles_deg)
    blinks = find_blinks(reading.lids)
    gap, width = filled(reading.gap)[talking], filled(reading.width)[talking]
    values = [*angles.std(0), angular_speed(angles).mean(), *slow_share(angles)]
    values += [blinks.per_minute, blinks.median_ms, *np.percentile(gap, (10, 50, 90))]
    values += [(gap < CLOSED).mean(), width.std() / width.mean(), best_r(gap, energy[talking])]
    return {name: float(value) for name, value in zip(REAL, values, strict=True)}


def windowed_sd(angles_deg: Array, length: int) -> Array:
    """Mean standard deviation of yaw, pitch, roll in windows of `length` frames, [3]."""
    whole = filled(angles_deg)[: len(angles_deg) // length * length]
    return np.asarray(whole.reshape(-1, length, 3).std(1).mean(0))


def angular_speed(angles_deg: Array) -> Array:
    """Degrees per second between frames, [frames - 1]."""
    return np.asarray(np.linalg.norm(np.diff(angles_deg, axis=0), axis=1) * FPS)


def slow_share(angles_deg: Array) -> Array:
    """Share of the angular velocity's power under 2 Hz, [3]."""
    velocity = np.diff(angles_deg, axis=0)
    power = np.abs(np.fft.rfft(velocity - velocity.mean(0), axis=0)) ** 2
    slow = np.fft.rfftfreq(len(velocity), 1.0 / FPS) < _SLOW_HZ
    return np.asarray(power[slow].sum(0) / power.sum(0))


def find_blinks(lids: Array) -> Blinks:
    """Dips of the lids' openness under a share of what it is around."""
    openness = filled(lids)
    base = np.array(
        [
            np.percentile(openness[max(n - _LID_WINDOW // 2, 0) : n + _LID_WINDOW // 2], 80)
            for n in range(len(openness))
        ]
    )
    edges = np.diff(np.concatenate([[0], (openness < _SHUT * base).astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    lengths = lengths[lengths <= _LONGEST_BLINK]
    median = float(np.median(lengths)) * 1_000.0 / FPS if len(lengths) else float("nan")
    return Blinks(len(lengths) / (len(openness) / FPS / 60.0), median)


def best_r(gap: Array, energy: Array) -> float:
    """Highest Pearson r within +-MAX_LAG frames."""
    size = len(gap)
    found = []
    for lag in range(-MAX_LAG, MAX_LAG + 1):
        late, early = gap[max(lag, 0) : size + min(lag, 0)], energy[max(-lag, 0) :]
        found.append(correlation(late, early[: len(late)]))
    return max(found)


def filled(values: Array) -> Array:
    """Frames without a face hold the last one's values; leading ones the first's."""
    rows = values.reshape(len(values), -1)
    known = np.isfinite(rows[:, 0])
    if not known.any():
        raise ValueError("no face in any frame")
    last = np.maximum.accumulate(np.where(known, np.arange(len(rows)), -1))
    last[last < 0] = int(known.argmax())
    return np.asarray(values[last])
