"""How long a step over a batch waits for hops that are about to come: on times of ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from realtime.engine.gather import worth_waiting_s
from realtime.engine.scheduler import FULL_SHARE, Scheduler
from realtime.engine.turns import JITTER_S, Slot
from realtime.media import HOP_S
from tests.realtime.test_scheduler import LARGE, SMALL, Machine, always, hop, slot


def flat(seconds: float) -> Callable[[int], float]:
    """A step that takes as long for many as for one."""
    return lambda n: seconds


@pytest.mark.parametrize(
    ("next_s", "waiting", "waited_s", "waits"),
    [
        (0.001, 1, 0.0, True),
        (0.0029, 1, 0.0, True),
        (0.0031, 1, 0.0, False),  # two of them: one later, one sooner, by 3 ms each
        (0.0019, 2, 0.0, True),
        (0.0021, 2, 0.0, False),
        (0.0001, 50, 0.0, True),
        (0.001, 50, 0.0, False),
        (0.001, 1, 0.0055, False),  # it has waited for others before
        (0.0, 1, 0.0, False),
        (-0.001, 1, 0.0, False),
    ],
)
def test_a_step_of_six_milliseconds_waits_no_longer_than_it_pays(next_s, waiting, waited_s, waits):
    assert worth_waiting_s(next_s, waiting, waited_s, flat(0.006)) == (next_s if waits else 0.0)


def test_a_face_that_costs_as_much_in_any_step_is_not_waited_for():
    assert worth_waiting_s(0.0001, 1, 0.0, lambda n: 0.006 * n) == 0.0


def test_nothing_known_waits_for_nothing():
    assert worth_waiting_s(0.001, 3, 0.0, flat(0.0)) == 0.0


class Batches(Machine):
    """Streams that speak in real time, and a card: steps cost `hear_s`, and little for a face."""

    def __init__(
        self, number: int, hear_s: float, draw_s: dict, phases, *, waits=True, jitter_s=0.0
    ):
        def expect(sizes):
            return hear_s + sum(draw_s[size] for size in sizes)

        made = Scheduler(64, expect, lambda pipeline, sizes: expect(sizes))
        for n in range(number):
            made.add(slot(n + 1, sizes=sorted(draw_s, reverse=True)))
        super().__init__(made, hear_s, draw_s)
        self._starts = dict(zip(made.slots, phases, strict=True))
        self._waits = waits
        self._late = np.random.default_rng(0).uniform(0.0, jitter_s, 997)
        self.steps = 0

    def run(self, seconds: float) -> None:
        spoken = dict.fromkeys(self._starts, 0)
        while self.now < seconds:
            for s in self.scheduler.slots.values():
                while (at := self._coming(s.stream, spoken[s.stream])) <= self.now:
                    s.put(hop(spoken[s.stream], at))
                    spoken[s.stream] += 1
            coming = min(self._coming(*each) for each in spoken.items())
            wait_s = self.scheduler.wait_s(self.now) if self._waits else 0.0
            if wait_s:
                self.now = min(self.now + wait_s, max(coming, self.now))
                continue
            turns = self.scheduler.next(self.now, always)
            if not turns:
                self.now = coming
                continue
            begin = self.now
            self.now += self.hear_s + sum(self.draw_s[t.size] for t in turns if t.draw)
            self.scheduler.done(turns, begin, self.now)
            self.turns += [(self.now, turn) for turn in turns]
            self.steps += 1

    def _coming(self, stream: int, n: int) -> float:
        return float(self._starts[stream] + n * HOP_S + self._late[(stream * 31 + n) % 997])

    def delays(self) -> np.ndarray:
        """From a hop's coming to its picture, in seconds, after the first."""
        return np.array([now - t.hop.sent for now, t in self.turns if t.draw and now > 1.0])


def test_two_whose_hops_come_together_are_drawn_together():
    """One comes 1 ms after the other; a step takes 6 ms."""
    ours = Batches(2, 0.006, {LARGE: 0.0002}, (0.0, 0.001))
    ours.run(10.0)
    apart = Batches(2, 0.006, {LARGE: 0.0002}, (0.0, 0.001), waits=False)
    apart.run(10.0)
    assert ours.steps <= 0.55 * apart.steps
    assert ours.delays().mean() < apart.delays().mean() - 0.001
    assert ours.delays().max() <= 0.0065 + 0.001


def test_nobody_waits_where_the_next_comes_much_later():
    ours = Batches(2, 0.006, {LARGE: 0.0002}, (0.0, 0.020))
    ours.run(10.0)
    assert ours.delays().max() <= 0.0062 + 1e-9


@pytest.mark.parametrize("number", [8, 24, 48])
def test_waiting_never_makes_many_streams_later_on_the_whole(number):
    phases = np.random.default_rng(number).uniform(0.0, HOP_S, number)
    ours = Batches(number, 0.004, {LARGE: 0.0004}, phases)
    apart = Batches(number, 0.004, {LARGE: 0.0004}, phases, waits=False)
    for each in (ours, apart):
        each.run(6.0)
        assert len(each.delays()) >= number * 120
    assert ours.steps <= apart.steps
    assert ours.delays().mean() <= 1.05 * apart.delays().mean()
    assert np.quantile(ours.delays(), 0.99) <= np.quantile(apart.delays(), 0.99) + 0.0045


def test_a_stream_that_has_fallen_silent_is_not_waited_for():
    made = Scheduler(8, step_s=lambda pipeline, sizes: 0.006)
    one, two = slot(1), slot(2)
    for each in (one, two):
        made.add(each)
    two.put(hop(0, 0.0))
    made.next(0.001, always)
    one.put(hop(0, HOP_S - 0.002))
    assert made.wait_s(HOP_S - 0.002) == pytest.approx(0.002 + JITTER_S)
    assert made.wait_s(HOP_S + JITTER_S + 0.0001) == 0.0  # it did not come


def test_a_cpu_and_an_idle_engine_wait_for_nothing():
    made = Scheduler(1, step_s=lambda pipeline, sizes: 0.006)
    one, two = slot(1), slot(2)
    for each in (one, two):
        made.add(each)
    two.next_at = 0.001
    one.put(hop(0, 0.0))
    assert made.wait_s(0.0) == 0.0
    many = Scheduler(8, step_s=lambda pipeline, sizes: 0.006)
    many.add(slot(3))
    assert many.wait_s(0.0) == 0.0


def drawn_counts(machine: Machine, since: float) -> list[int]:
    return [len(pictures) for pictures in machine.pictures(since).values()]


def test_a_batch_is_drawn_smaller_before_fewer_are_drawn():
    """48 faces: 50 ms at full size, 26 ms at the smaller one."""
    ours = Batches(48, 0.002, {LARGE: 0.001, SMALL: 0.0005}, np.linspace(0.0, 0.03, 48))
    ours.run(8.0)
    assert {t.size for _, t in ours.turns if t.draw} == {SMALL}
    assert min(drawn_counts(ours, 2.0)) >= 0.97 * 25 * 6


def test_where_the_smallest_is_too_slow_fewer_are_drawn_and_all_are_heard():
    """64 faces take 66 ms: there is time for half of them in every hop, in turn."""
    ours = Batches(64, 0.002, {SMALL: 0.001}, np.linspace(0.0, 0.03, 64), jitter_s=0.02)
    ours.run(12.0)
    counts = drawn_counts(ours, 4.0)
    possible = (1 - 0.002 / (FULL_SHARE * HOP_S)) * 8.0 / 0.001
    assert sum(counts) >= 0.95 * possible
    assert min(counts) >= 0.8 * possible / 64  # and whoever comes when few do has more
    slots: list[Slot] = list(ours.scheduler.slots.values())
    assert not any(each.dropped for each in slots)
    widest = max_at_once(ours)
    assert widest * 0.001 + 0.002 <= FULL_SHARE * HOP_S + 1e-9


def max_at_once(machine: Machine) -> int:
    """Pictures of the largest step."""
    times = [now for now, turn in machine.turns if turn.draw]
    return int(np.unique(times, return_counts=True)[1].max())
