"""How late packets come, and how much delay that asks for. Arithmetic on positions only.

A packet is useful if it arrives before the hop it belongs to must leave, `wait` after the hop's
nominal end. `DelayControl` remembers the last arrivals and answers two questions: must sound be
placed later on the timeline so that nearly all packets are useful, and could it be placed
earlier? The unit of both is `quantum`, the step in which packet ends meet hop ends: between two
such steps, placing sound later adds delay but no time for packets to arrive. Packets that drift
towards being late, since their sender's clock is slow, are given time before they are.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from realtime.media import VOICE_SAMPLES

_WINDOW = 100  # arrivals remembered: 2 s of 20 ms packets
_MISSABLE = 0.03  # share of packets that may come too late
_FASTEST_DRIFT = 0.01  # of a clock; more is the network's doing
_SPARE = 480  # do not shorten the delay unless this much (10 ms) would be left
_BURST_S = 0.005  # arrivals closer than this are one event: what held them up, held up all

_Positions = TypeVar("_Positions", int, NDArray[np.int64])


def unwrap(value: int, last: int, bits: int) -> int:
    """The integer congruent to `value` modulo 2^bits that lies nearest to `last`."""
    half = 1 << (bits - 1)
    return last + ((value - last + half) & ((1 << bits) - 1)) - half


def _after_hop(arrived: _Positions, placed: _Positions) -> _Positions:
    """By how much an arrival comes after the nominal end of the hop in which the packet starts."""
    return arrived - (placed // VOICE_SAMPLES + 1) * VOICE_SAMPLES


def _slope(x: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """The slope of y over x that noise does not explain: less three standard errors."""
    x_, y_ = x - x.mean(), y - y.mean()
    spread = max(1.0, float(x_ @ x_))
    slope = float(x_ @ y_) / spread
    residual = y_ - slope * x_
    return slope - 3 * float(np.sqrt(residual @ residual / (len(x) - 2) / spread))


class DelayControl:
    """Decides by how many samples sound should move on the timeline."""

    def __init__(self, wait: int, max_insert: int) -> None:
        self._wait = wait
        self._max_insert = max_insert
        self._arrived = np.zeros(_WINDOW, np.int64)  # media time of arrival
        self._placed = np.zeros(_WINDOW, np.int64)  # where the packet starts
        self._count = 0
        self._last_event = -1.0
        self._transit: int | None = None
        self._drift = 0.0
        """By how much each sample comes later than the one before, from a clock that is slow."""
        self.jitter_samples = 0.0
        """Smoothed difference of transit times (RFC 3550, section 6.4.1), samples at 48 kHz."""

    def forget(self) -> None:
        """The timeline was anchored anew: earlier arrivals say nothing."""
        self._count = 0
        self._transit = None
        self._drift = 0.0

    @property
    def full(self) -> bool:
        """Whether enough arrivals were seen to dare shorten the delay."""
        return self._count >= _WINDOW

    def arrival(self, position: int, media_now: int, now: float) -> None:
        """A packet starting at `position` arrived at media time `media_now`, local time `now`."""
        transit = media_now - position
        if self._transit is not None:
            self.jitter_samples += (abs(transit - self._transit) - self.jitter_samples) / 16
        self._transit = transit
        row = (self._count - 1) % _WINDOW
        if self._count and now - self._last_event < _BURST_S:
            worst = _after_hop(int(self._arrived[row]), int(self._placed[row]))
            if _after_hop(media_now, position) <= worst:
                return
        else:
            row = self._count % _WINDOW
            self._count += 1
            self._last_event = now
        self._arrived[row], self._placed[row] = media_now, position
        if self.full and row % 10 == 0:
            self._measure_drift()

    def moved(self, shift: int) -> None:
        """Sound is now placed `shift` samples later (negative: earlier)."""
        self._placed += shift
        if self._transit is not None:
            self._transit -= shift

    def to_insert(self, quantum: int) -> int:
        """Samples of delay to add now: the fewest quanta that make nearly all packets useful."""
        shift = 0
        while self._lateness(shift) > self._wait and shift + quantum <= self._max_insert:
            shift += quantum
        return shift

    def to_remove(self, quantum: int) -> int:
        """Samples of delay that are not needed: whole quanta, 0 until enough was seen."""
        shift = 0
        while self.full and self._lateness(-shift - quantum) <= self._wait - _SPARE:
            shift += quantum
            if shift >= 25 * VOICE_SAMPLES:  # one second: no real surplus is larger
                break
        return shift

    def _lateness(self, shift: int) -> int:
        """Arrival after the hop's nominal end that only a few packets exceed, were all moved."""
        count = min(self._count, _WINDOW)
        if count < 2:
            return -VOICE_SAMPLES
        arrived = self._arrived[:count]
        since = arrived.max() + VOICE_SAMPLES - arrived  # as they would come a hop from now
        late = _after_hop(arrived, self._placed[:count] + shift) + self._drift * since
        rank = max(1, int(_MISSABLE * count))
        return int(np.partition(late, count - 1 - rank)[count - 1 - rank])

    def _measure_drift(self) -> None:
        """Each half of the window must show it: a step in the network's delay is in one only."""
        oldest, half = self._count % _WINDOW, _WINDOW // 2
        arrived = np.roll(self._arrived, -oldest)
        transit = arrived - np.roll(self._placed, -oldest)
        halves = _slope(arrived[:half], transit[:half]), _slope(arrived[half:], transit[half:])
        slope = _slope(arrived, transit) if min(halves) > 0 else 0.0
        self._drift = min(_FASTEST_DRIFT, max(0.0, slope))


class Lateness:
    """Tells a step in the network's delay, after which packet after packet comes too late, from a
    packet or two."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._count = 0
        self._by = 0

    def forget(self) -> None:
        """Sound is placed anew: what was late is no more."""
        self._since = None

    def step(self, missed: int, quantum: int, now: float) -> int:
        """Samples by which to place sound later, in whole quanta; mostly 0.

        missed: by how much the packet that has come at local time `now` is too late.
        """
        if missed <= 0:
            self._since = None
            return 0
        if self._since is None:
            self._since, self._count, self._by = now, 0, missed
        self._count += 1
        self._by = min(self._by, missed)
        if self._count < 3 or now - self._since < 0.06:
            return 0
        return -(-self._by // quantum) * quantum
