"""Who is heard, who is drawn and how large: decisions on invented costs and a clock of ours."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest

from realtime.engine.scheduler import (
    INBOX_HOPS,
    Ladder,
    Quantile,
    Rung,
    Scheduler,
    Slot,
    Turn,
    WaitingHop,
    rung_of,
    sizes_below,
)
from realtime.media import HOP_S, HOP_SAMPLES, Size

LARGE, SMALL = (512, 512), (256, 256)
SOUND = np.zeros(HOP_SAMPLES, np.float32)


def slot(stream: int, sizes=(LARGE, SMALL), look_ahead=0, pipeline="p") -> Slot:
    return Slot(stream, pipeline, stream, tuple(sizes), look_ahead, drawn_at=0.0)


def hop(n: int, sent: float = 0.0) -> WaitingHop:
    return WaitingHop(n * HOP_SAMPLES, SOUND, True, sent)


def always(slot: Slot) -> bool:
    return True


def scheduler(*slots: Slot, at_once: int = 1) -> Scheduler:
    made = Scheduler(at_once)
    for each in slots:
        made.add(each, lambda sizes, every: 0.0)
    return made


@dataclass
class Machine:
    """Streams that speak in real time, and a processor of invented speed, on simulated time."""

    scheduler: Scheduler
    hear_s: float
    draw_s: dict[Size, float]
    now: float = 0.0
    turns: list[tuple[float, Turn]] = field(default_factory=list)
    """With the time at which each was done."""

    def run(self, seconds: float) -> None:
        slots = list(self.scheduler.slots.values())
        phases = {s.stream: 0.011 * n for n, s in enumerate(slots)}
        spoken = {s.stream: round(self.now / HOP_S) for s in slots}
        end = self.now + seconds
        while self.now < end:
            for s in slots:
                while phases[s.stream] + spoken[s.stream] * HOP_S <= self.now:
                    s.put(hop(spoken[s.stream], phases[s.stream] + spoken[s.stream] * HOP_S))
                    spoken[s.stream] += 1
            turns = self.scheduler.next(self.now, always)
            if not turns:
                self.now = min(phases[s] + spoken[s] * HOP_S for s in spoken)
                continue
            begin = self.now
            self.now += self.hear_s + sum(self.draw_s[t.size] for t in turns if t.draw)
            self.scheduler.done(turns, begin, self.now)
            self.turns += [(self.now, turn) for turn in turns]

    def pictures(self, since: float = 0.0) -> dict[int, list[Turn]]:
        drawn = defaultdict(list)
        for now, turn in self.turns:
            if turn.draw and now >= since:
                drawn[turn.slot.stream].append(turn)
        return drawn

    def longest_gap(self, stream: int) -> float:
        times = [now for now, turn in self.turns if turn.draw and turn.slot.stream == stream]
        return float(np.diff([0.0, *times, self.now]).max())


def test_a_machine_that_keeps_up_draws_every_hop_of_everyone():
    machine = Machine(scheduler(slot(1), slot(2)), 0.004, {LARGE: 0.012})
    machine.run(10.0)
    for pictures in machine.pictures().values():
        assert len(pictures) >= 249
        assert {t.size for t in pictures} == {LARGE}
    assert machine.scheduler.rung == 0


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_nobody_starves_and_all_get_the_same(number):
    """Each picture takes longer than a hop, so that every slot is always behind."""
    slots = [slot(n + 1, sizes=[SMALL]) for n in range(number)]
    machine = Machine(scheduler(*slots), 0.004, {SMALL: 0.050})
    machine.run(20.0)
    counts = [len(machine.pictures()[n + 1]) for n in range(number)]
    assert max(counts) - min(counts) <= 2
    assert sum(counts) >= 12 * 20  # of 20 a second that the drawing alone would allow
    for n in range(number):
        assert machine.longest_gap(n + 1) <= number * 0.120
        assert slots[n].dropped == 0  # every hop is heard


def test_a_picture_shows_the_newest_hop():
    machine = Machine(scheduler(slot(1, sizes=[SMALL])), 0.004, {SMALL: 0.200})
    machine.run(10.0)
    ages = [now - t.hop.sent for now, t in machine.turns if t.draw and now > 1.0]
    assert max(ages) <= 0.200 + 0.004 + HOP_S + 0.004


def test_sizes_are_lowered_before_pictures_are_left_out():
    machine = Machine(scheduler(slot(1)), 0.005, {LARGE: 0.050, SMALL: 0.020})
    machine.run(20.0)
    assert machine.scheduler.rung == 1
    late = [t for t in machine.pictures(since=10.0)[1] if t.size == SMALL]
    assert len(late) >= 200


def test_eight_pictures_a_second_while_the_smallest_size_allows_them():
    """At full size it would be four."""
    machine = Machine(scheduler(slot(1), slot(2)), 0.005, {LARGE: 0.120, SMALL: 0.045})
    machine.run(30.0)
    for n in (1, 2):
        assert len(machine.pictures(since=5.0)[n]) >= 8 * 25


def test_one_picture_a_second_where_not_even_hearing_keeps_up():
    machine = Machine(scheduler(slot(1)), 0.060, {LARGE: 0.300, SMALL: 0.250})
    machine.run(20.0)
    assert machine.longest_gap(1) <= 1.0 + 0.36 + 0.06
    assert machine.turns[-1][1].slot.dropped > 0


@pytest.mark.parametrize("number", [1, 2])
def test_pictures_go_on_where_hearing_takes_as_long_as_drawing(number):
    """As on a machine whose cores are busy otherwise: catching up first would never end."""
    slots = [slot(n + 1) for n in range(number)]
    machine = Machine(scheduler(*slots), 0.036, {LARGE: 0.040, SMALL: 0.024})
    machine.run(20.0)
    for n in range(number):
        assert len(machine.pictures(since=5.0)[n + 1]) >= 15 * (6.5, 5.0)[number - 1]
        assert slots[n].dropped <= 500 * (0.12, 0.3)[number - 1]
    ages = [now - t.hop.sent for now, t in machine.turns if t.draw]
    assert max(ages) <= INBOX_HOPS * HOP_S + 0.1


def test_known_costs_choose_where_the_ladder_starts():
    cost = {LARGE: 0.050, SMALL: 0.030}
    made = Scheduler(1)
    made.add(slot(1), lambda sizes, every: sum(cost[s] for s in sizes) / every)
    assert made.rung == 1
    second = slot(2)
    made.add(second, lambda sizes, every: sum(cost[s] for s in sizes) / every)
    assert made.rung == 2  # two small ones take 60 ms: every second frame
    made.remove(second)
    made.remove(made.slots[1])
    made.add(slot(3), lambda sizes, every: 0.0)
    assert made.rung == 0  # the next to come begins afresh


def test_the_deepest_rung_is_the_end_however_slow_the_machine():
    made = Scheduler(1)
    made.add(slot(1), lambda sizes, every: 9.0)
    assert rung_of(made.rung, 1) == Rung(shrink=1, draw_every=3)


def test_rungs_make_pictures_smaller_then_rarer():
    assert [rung_of(n, 2) for n in range(5)] == [
        Rung(0, 1),
        Rung(1, 1),
        Rung(2, 1),
        Rung(2, 2),
        Rung(2, 3),
    ]


def test_smaller_sizes_have_the_same_shape():
    sizes = ((256, 256), (320, 180), (512, 512), (640, 360), (1280, 720))
    assert sizes_below((1280, 720), sizes) == ((1280, 720), (640, 360), (320, 180))
    assert sizes_below((512, 512), sizes) == ((512, 512), (256, 256))
    assert sizes_below((320, 180), sizes) == ((320, 180),)
    with pytest.raises(ValueError, match="one of 256x256, 320x180"):
        sizes_below((300, 300), sizes)


def test_a_slot_that_is_behind_hears_everything_and_draws_the_newest():
    one = slot(1)
    made = scheduler(one)
    for n in range(3):
        one.put(hop(n))
    steps = [made.next(0.0, always) for _ in range(4)]
    assert [[(t.hop.start // HOP_SAMPLES, t.draw) for t in turns] for turns in steps] == [
        [(0, False)],
        [(1, False)],
        [(2, True)],
        [],
    ]


def test_those_behind_are_heard_in_the_step_that_draws_another():
    one, two = slot(1), slot(2)
    made = scheduler(one, two)
    two.drawn_at = 0.5  # the first is next
    one.put(hop(0))
    two.put(hop(0))
    two.put(hop(1))
    turns = made.next(0.6, always)
    assert [(t.slot, t.draw, t.missed) for t in turns] == [(one, True, False), (two, False, True)]


def test_frames_before_the_beginning_are_not_drawn():
    one = slot(1, look_ahead=2 * HOP_SAMPLES)
    made = scheduler(one)
    for n in range(3):
        one.put(hop(n))
        (turn,) = made.next(9.0, always)
        assert turn.draw == (n == 2)
    assert one.skipped == 0


def test_a_slot_whose_pictures_nobody_takes_is_heard_only():
    one, two = slot(1), slot(2)
    made = scheduler(one, two)
    one.put(hop(0))
    two.put(hop(0))
    first = made.next(0.0, lambda slot: slot is two)
    assert [(t.slot, t.draw) for t in first] == [(two, True), (one, False)]
    assert one.skipped == 1
    assert not made.next(0.0, always)


def test_a_gpu_draws_everyone_whose_hop_has_come_in_one_step():
    slots = [slot(n) for n in range(5)]
    made = scheduler(*slots, at_once=8)
    for each in slots[:4]:
        each.put(hop(0))
    turns = made.next(0.0, always)
    assert [t.slot for t in turns if t.draw] == slots[:4]
    assert not made.next(0.0, always)


def test_a_step_is_of_one_pipeline_and_the_other_has_its_turn():
    one, two = slot(1, pipeline="a"), slot(2, pipeline="b")
    made = scheduler(one, two, at_once=8)
    one.put(hop(0))
    two.put(hop(0))
    assert [t.slot for t in made.next(0.1, always)] == [one]
    assert [t.slot for t in made.next(0.2, always)] == [two]


def test_two_pipelines_on_a_slow_machine_share_it():
    slots = [slot(n + 1, sizes=[SMALL], pipeline="ab"[n]) for n in range(2)]
    machine = Machine(scheduler(*slots), 0.004, {SMALL: 0.060})
    machine.run(20.0)
    counts = [len(machine.pictures()[n + 1]) for n in range(2)]
    assert max(counts) - min(counts) <= 2
    assert min(counts) >= 100


def test_an_inbox_drops_its_oldest_hop_and_counts_it():
    one = slot(1)
    for n in range(INBOX_HOPS + 3):
        one.put(hop(n))
    assert [h.start // HOP_SAMPLES for h in one.hops] == list(range(3, INBOX_HOPS + 3))
    assert one.dropped == 3


def test_clearing_forgets_what_was_not_heard():
    one = slot(1)
    one.put(hop(0))
    one.clear()
    assert not one.hops
    assert one.clearing


def observe(ladder: Ladder, seconds: float, missed: bool, now: float) -> float:
    for _ in range(int(seconds * 25)):
        now += HOP_S
        ladder.observe(now, missed=missed, deepest=3)
    return now


def test_ladder_goes_down_at_once_when_most_is_late_and_up_again():
    ladder = Ladder()
    now = observe(ladder, 4, True, 0.0)
    assert ladder.rung == 3
    observe(ladder, 100, False, now)
    assert ladder.rung == 0


def test_ladder_ignores_a_single_late_picture():
    ladder = Ladder()
    now = observe(ladder, 5, False, 0.0)
    ladder.observe(now, missed=True, deepest=3)
    observe(ladder, 5, False, now)
    assert ladder.rung == 0


def test_ladder_grows_patient_when_it_relapses():
    ladder = Ladder()
    now = observe(ladder, 3, True, 0.0)
    changes = 0
    for _ in range(20):  # calm for 9 s, then late for 4 s, over and over
        before = ladder.rung
        now = observe(ladder, 9, False, now)
        changes += ladder.rung != before
        now = observe(ladder, 4, True, now)
    assert changes < 10


def test_quantile_of_nothing_is_none_and_of_values_is_a_value():
    values = Quantile(capacity=4)
    assert values.at(0.5) is None
    for value in (9.0, 1.0, 2.0, 3.0, 4.0):  # the first falls out
        values.add(value)
    assert values.at(0.95) == 4.0
    assert values.at(0.0) == 1.0
