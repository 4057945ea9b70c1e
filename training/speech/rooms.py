"""Small rooms: a direct path at time zero, a few early echoes and a decaying tail of noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from training.speech.phones import RATE_HZ

_DIRECT_ONLY_S = 0.002  # before the first echo: the table is 35 cm of path away
_EARLY_S = 0.03


def room_response(
    rt60_s: float, direct_to_room_db: float, chance: np.random.Generator
) -> NDArray[np.float64]:
    """Impulse response [S] at 16 kHz, 1 at time zero.

    `rt60_s` is the time by which the tail falls by 60 dB; the energy of everything after the direct
    path lies `direct_to_room_db` below it. Echoes come at random with growing density, as image
    sources do (Allen and Berkley, 1979), and pass into noise after 30 ms.
    """
    if not 0.05 <= rt60_s <= 1.5:
        raise ValueError(f"rt60_s must lie in [0.05, 1.5], got {rt60_s}")
    times = np.arange(round(rt60_s * RATE_HZ)) / RATE_HZ
    density = np.clip(times / _EARLY_S, 0.02, 1.0) ** 2
    echoes = chance.standard_normal(len(times)) * (chance.random(len(times)) < density)
    room = echoes / np.sqrt(density) * 10.0 ** (-3.0 * times / rt60_s)
    room[times < _DIRECT_ONLY_S] = 0.0
    room *= 10.0 ** (-direct_to_room_db / 20.0) / np.sqrt(np.square(room).sum() + 1e-12)
    room[0] = 1.0
    return np.asarray(room)


def in_room(samples: NDArray[np.float64], response: NDArray[np.float64]) -> NDArray[np.float64]:
    """`samples` [S] heard in that room, [S]: the direct sound stays where it was."""
    return np.asarray(oaconvolve(samples, response)[: len(samples)])
