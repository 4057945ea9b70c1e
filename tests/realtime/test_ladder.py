"""How large pictures are while time is short: on times of ours."""

from __future__ import annotations

from itertools import pairwise

from realtime.engine.ladder import Ladder
from realtime.media import HOP_S


def observe(
    ladder: Ladder, seconds: float, now: float, *, missed: bool = False, fits: bool = True
) -> float:
    """Pictures for so long, all of one fate."""
    for _ in range(round(seconds / HOP_S)):
        now += HOP_S
        ladder.observe(now, missed=missed, deepest=3, fits=lambda rung, busy: fits)
    return now


def test_goes_down_at_once_when_most_is_late_and_up_again_slowly():
    ladder = Ladder()
    now = observe(ladder, 1.0, 0.0, missed=True)
    assert ladder.rung == 1
    now = observe(ladder, 3.0, now, missed=True)
    assert ladder.rung == 3
    now = observe(ladder, ladder.window_s * ladder.calm_windows - 1.0, now)
    assert ladder.rung == 3
    observe(ladder, 100.0, now)
    assert ladder.rung == 0


def test_goes_down_a_step_when_an_eighth_is_late():
    ladder, now = Ladder(), 0.0
    for _ in range(15):
        now = observe(ladder, HOP_S, now, missed=True)
        now = observe(ladder, 6 * HOP_S, now)
    assert ladder.rung == 1


def test_ignores_a_single_late_picture():
    ladder = Ladder()
    now = observe(ladder, 5.0, 0.0)
    ladder.observe(now, missed=True, deepest=3, fits=lambda rung, busy: True)
    observe(ladder, 5.0, now)
    assert ladder.rung == 0


def until_rung(ladder: Ladder, rung: int, now: float, *, missed: bool) -> float:
    while ladder.rung != rung:
        now = observe(ladder, HOP_S, now, missed=missed)
    return now


def test_grows_patient_when_it_relapses_and_forgets_that_in_time():
    ladder, now, waits = Ladder(), 0.0, []
    for _ in range(4):
        fallen = until_rung(ladder, 1, now, missed=True)
        now = until_rung(ladder, 0, fallen, missed=False)
        waits.append(now - fallen)
    assert all(later > 1.9 * sooner for sooner, later in pairwise(waits))
    now = observe(ladder, ladder.relapse_s, now)
    fallen = until_rung(ladder, 1, now, missed=True)
    now = until_rung(ladder, 0, fallen, missed=False)
    assert now - fallen < 1.1 * waits[0]


def test_stays_where_the_next_size_would_not_fit():
    ladder = Ladder()
    ladder.start_at(2)
    now = observe(ladder, 100.0, 0.0, fits=False)
    assert ladder.rung == 2
    observe(ladder, ladder.window_s + HOP_S, now)
    assert ladder.rung == 1


def test_tells_how_busy_steps_were():
    told = []
    ladder = Ladder()
    ladder.start_at(1)
    now = 0.0
    for _ in range(1000):
        now += HOP_S
        ladder.worked(0.010)
        ladder.observe(
            now, missed=False, deepest=1, fits=lambda rung, busy: bool(told.append((rung, busy)))
        )
    assert {rung for rung, _ in told} == {0}
    assert all(abs(busy - 0.25) < 0.01 for _, busy in told)


def test_a_fall_is_never_upward():
    ladder = Ladder()
    ladder.start_at(2)
    ladder.fall(1.0, 1)
    assert ladder.rung == 2
