"""Admission, the degradation ladder and quantiles: pure decisions."""

import pytest

from realtime.engine.scheduler import LADDER, Admission, Ladder, Quantile
from realtime.errors import AtCapacity


def admission(**changes):
    settings = {"max_sessions": 4, "cores": 2.0, "load_share": 0.75, "cuda": False} | changes
    return Admission(**settings)


def run(ladder: Ladder, seconds: float, missed: bool, now: float) -> float:
    for _ in range(int(seconds * 25)):
        now += 0.04
        ladder.observe(now, missed=missed)
    return now


def test_first_session_is_admitted_on_the_slowest_machine():
    gate = admission()
    gate.measured_step(512, 1.0)
    gate.check(512, [])


def test_refuses_above_max_sessions():
    with pytest.raises(AtCapacity, match="all 4 sessions"):
        admission().check(256, [256] * 4)


def test_refuses_when_inference_would_not_fit_its_thread():
    gate = admission()
    gate.measured_step(512, 0.012)
    gate.check(512, [512])
    with pytest.raises(AtCapacity, match="36 ms of every 40 ms"):
        gate.check(512, [512, 512])


def test_refuses_when_cores_are_spent_on_encoding():
    gate = admission(max_sessions=50)
    gate.measured_step(256, 0.001)
    gate.measured_encode(256, 0.020)
    gate.check(256, [256])
    with pytest.raises(AtCapacity, match="CPU time"):
        gate.check(256, [256] * 2)


def test_a_gpu_leaves_the_cores_to_the_encoders():
    gate = admission(max_sessions=64, cores=16.0, cuda=True)
    gate.measured_step(512, 0.020)
    gate.measured_encode(512, 0.003)
    gate.check(512, [512] * 40)


def test_sessions_share_one_step_of_the_motion_model():
    gate = admission()
    gate.measured_motion(0.006)
    gate.measured_step(512, 0.016)
    gate.check(512, [512])  # 6 + 2 * 10 ms, of 30
    gate.measured_step(512, 0.026, faces=2)  # as much for each: nothing changes
    assert gate.cost_s(512) == pytest.approx(0.010 + gate.MEDIA_S)
    with pytest.raises(AtCapacity, match="36 ms of every 40 ms"):
        gate.check(512, [512, 512])


def test_costs_follow_measurements_slowly():
    gate = admission()
    gate.measured_step(512, 0.008)
    for _ in range(500):
        gate.measured_step(512, 0.016)
    assert gate.cost_s(512) == pytest.approx(0.016 + gate.MEDIA_S, rel=0.01)


def test_ladder_goes_down_under_sustained_lateness_and_up_again():
    ladder = Ladder()
    now = run(ladder, 15, True, 0.0)
    assert ladder.rung == len(LADDER) - 1
    run(ladder, 60, False, now)
    assert ladder.rung == 0


def test_ladder_ignores_a_single_late_step():
    ladder = Ladder()
    now = run(ladder, 5, False, 0.0)
    ladder.observe(now, missed=True)
    run(ladder, 5, False, now)
    assert ladder.rung == 0


def test_ladder_grows_patient_when_it_relapses():
    ladder = Ladder()
    now = run(ladder, 5, True, 0.0)
    changes = 0
    for _ in range(20):  # calm for 9 s, then late for 2 s, over and over
        before = ladder.rung
        now = run(ladder, 9, False, now)
        changes += ladder.rung != before
        now = run(ladder, 4, True, now)
    assert changes < 10


def test_quantile_of_nothing_is_none_and_of_values_is_a_value():
    values = Quantile(capacity=4)
    assert values.at(0.5) is None
    for value in (9.0, 1.0, 2.0, 3.0, 4.0):  # the first falls out
        values.add(value)
    assert values.at(0.95) == 4.0
    assert values.at(0.0) == 1.0
