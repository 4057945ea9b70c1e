"""Who may enter, decided on invented costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.engine.config import EngineConfig
from realtime.engine.costs import BatchCosts, CpuCosts, Face, make_costs
from realtime.errors import AtCapacity

LARGE, SMALL = (512, 512), (256, 256)


def config(**changes) -> EngineConfig:
    settings = {"max_sessions": 100, "load_share": 0.75} | changes
    return EngineConfig(pipelines=(), identities=Path(), **settings)


def cpu(cores=2.0, **changes) -> CpuCosts:
    costs = make_costs(config(**changes), "cpu", cores)
    assert isinstance(costs, CpuCosts)
    return costs


def gpu(cores=64.0, **changes) -> BatchCosts:
    costs = make_costs(config(**changes), "cuda", cores)
    assert isinstance(costs, BatchCosts)
    return costs


def faces(number: int, size=LARGE, pipeline="p") -> list[Face]:
    return [Face(pipeline, size)] * number


def admitted(costs, most: int, size=LARGE) -> int:
    """How many get in, one after the other."""
    for running in range(most):
        try:
            costs.check(Face("p", size), faces(running, size))
        except AtCapacity:
            return running
    return most


def test_the_first_session_is_admitted_on_the_slowest_machine():
    for costs in (cpu(), gpu()):
        costs.stepped("p", [LARGE], 1.0, 1.0)
        assert admitted(costs, 5) == 1


def test_refuses_above_max_sessions():
    for costs in (cpu(max_sessions=4), gpu(max_sessions=4)):
        with pytest.raises(AtCapacity, match="all 4 sessions"):
            costs.check(Face("p", SMALL), faces(4, SMALL))


def test_refuses_when_inference_would_not_fit_its_thread():
    costs = cpu()
    costs.stepped("p", [LARGE], 0.012, 0.012)
    costs.check(Face("p", LARGE), faces(1))
    with pytest.raises(AtCapacity, match="36 ms of every 40 ms"):
        costs.check(Face("p", LARGE), faces(2))


def test_sessions_of_a_pipeline_share_one_step_of_its_motion_model():
    costs = cpu()
    costs.stepped("p", [], 0.006, 0.006)
    costs.stepped("p", [LARGE], 0.016, 0.016)
    assert costs.hop_s(faces(2)) == pytest.approx(0.026)
    costs.stepped("p", [LARGE, LARGE], 0.026, 0.026)  # as much for each: nothing changes
    assert costs.hop_s(faces(2)) == pytest.approx(0.026)
    costs.stepped("q", [], 0.005, 0.005)
    costs.stepped("q", [LARGE], 0.007, 0.007)
    assert costs.hop_s([*faces(2), Face("q", LARGE)]) == pytest.approx(0.033)
    with pytest.raises(AtCapacity, match="36 ms of every 40 ms"):
        costs.check(Face("p", LARGE), faces(2))


def test_refuses_when_cores_are_spent_on_encoding():
    for costs in (cpu(), gpu(cores=2.0)):
        costs.stepped("p", [SMALL], 0.001, 0.001)
        costs.encoded(SMALL, 0.020, 0.020)
        costs.check(Face("p", SMALL), faces(1, SMALL))
        with pytest.raises(AtCapacity, match="CPU time"):
            costs.check(Face("p", SMALL), faces(2, SMALL))


def test_a_size_that_was_never_measured_costs_in_proportion_to_its_pixels():
    costs = cpu()
    costs.stepped("p", [SMALL], 0.004, 0.004)
    assert costs.hop_s(faces(1, LARGE)) == pytest.approx(0.016)


def test_costs_follow_measurements_slowly():
    costs = cpu()
    costs.stepped("p", [LARGE], 0.008, 0.008)
    costs.stepped("p", [LARGE], 0.016, 0.016)
    assert costs.hop_s(faces(1)) == pytest.approx(0.008, rel=0.05)
    for _ in range(500):
        costs.stepped("p", [LARGE], 0.016, 0.016)
    assert costs.hop_s(faces(1)) == pytest.approx(0.016, rel=0.01)


@pytest.mark.parametrize("share", [0.75, 1.0])
def test_forty_faces_of_twenty_milliseconds_never_fit_into_forty(share):
    costs = gpu(load_share=share)
    for n in (1, 2, 4, 8, 16, 32, 40):
        costs.stepped("p", [LARGE] * n, 0.0, 0.020 * n)
    assert admitted(costs, 40) == (1 if share < 1 else 2)


def test_a_batch_is_admitted_as_far_as_its_measured_time_allows():
    """8 ms, and 0.5 ms for each face: 44 of them take 30 ms."""
    costs = gpu()
    for n in (1, 2, 4, 8, 16, 32, 64):
        costs.stepped("p", [LARGE] * n, 0.0, 0.008 + 0.0005 * n)
    assert admitted(costs, 64) == 44


def test_a_batch_larger_than_any_measured_is_extrapolated():
    costs = gpu()
    for n in (1, 2, 4, 8):
        costs.stepped("p", [LARGE] * n, 0.0, 0.008 + 0.0005 * n)
    assert admitted(costs, 64) == 44


def test_a_gpu_of_which_one_batch_is_known_promises_nothing_more():
    costs = gpu()
    costs.stepped("p", [LARGE] * 2, 0.0, 0.020)
    assert admitted(costs, 64) == 3


def test_batches_of_two_pipelines_add_up():
    costs = gpu()
    for name in ("p", "q"):
        costs.stepped(name, [LARGE], 0.0, 0.012)
        costs.stepped(name, [LARGE] * 2, 0.0, 0.013)
    costs.check(Face("q", LARGE), faces(2))
    with pytest.raises(AtCapacity, match="a step over 9 faces"):
        costs.check(Face("q", LARGE), faces(8))


def test_what_is_expected_counts_the_wait_for_a_processor():
    costs = cpu()
    for _ in range(300):
        costs.stepped("p", [], 0.004, 0.012)
        costs.stepped("p", [SMALL], 0.008, 0.024)
    assert costs.hop_s(faces(2, SMALL)) == pytest.approx(0.012)
    assert costs.expected_s(faces(2, SMALL)) == pytest.approx(0.036)
    costs.begin(0.005, 0.005)  # an hour later
    assert costs.expected_s(faces(2, SMALL)) == pytest.approx(0.012)
    for _ in range(300):
        costs.stepped("p", [SMALL], 0.008, 0.016)
    assert costs.expected_s(faces(2, SMALL)) == pytest.approx(0.024, rel=0.01)


def test_what_is_expected_counts_the_slowest_encoder():
    for costs in (cpu(), gpu()):
        costs.stepped("p", [LARGE], 0.010, 0.010)
        costs.encoded(SMALL, 0.001, 0.005)
        assert costs.expected_s(faces(1, LARGE)) == pytest.approx(0.020)  # of four times the pixels
        costs.encoded(LARGE, 0.002, 0.010)
        assert costs.expected_s(faces(1, LARGE)) == pytest.approx(0.010)
        costs.begin(0.0, 0.0)
        assert costs.expected_s(faces(1, SMALL)) <= 0.010


def test_costs_say_what_they_are():
    costs = cpu()
    costs.stepped("p", [], 0.002, 0.002)
    costs.stepped("p", [SMALL], 0.006, 0.006)
    costs.encoded(SMALL, 0.003, 0.003)
    assert costs.describe() == {
        "p motion": 2.0,
        "p draw 256x256": 4.0,
        "encode 256x256": 3.0,
    }
    batch = gpu()
    batch.stepped("p", [], 0.0, 0.002)
    batch.stepped("p", [SMALL] * 3, 0.0, 0.011)
    assert batch.describe() == {"p step": 2.0, "p draw 256x256 x 3": 9.0}


def measured_batch() -> BatchCosts:
    """2 ms for all slots, and of each picture 0.5 ms or 0.2 ms."""
    costs = gpu()
    costs.stepped("p", [], 0.0, 0.002)
    for n in (1, 2, 4, 8, 16, 32, 64):
        for size, each_s in ((LARGE, 0.0005), (SMALL, 0.0002)):
            costs.stepped("p", [size] * n, 0.0, 0.002 + each_s * n)
    return costs


def test_a_batch_of_smaller_pictures_is_expected_to_take_less():
    costs = measured_batch()
    assert costs.expected_s(faces(48)) == pytest.approx(0.026)
    assert costs.expected_s(faces(48, SMALL)) == pytest.approx(0.0116)
    assert costs.expected_s(faces(8) + faces(40, SMALL)) == pytest.approx(0.014)
    assert admitted(costs, 64) == 56
    assert admitted(costs, 100, SMALL) == 100


def test_a_batch_of_a_size_that_was_never_measured_costs_in_proportion():
    costs = gpu()
    costs.stepped("p", [SMALL] * 4, 0.0, 0.004)
    assert costs.hop_s(faces(4, LARGE)) == pytest.approx(0.016)
    assert costs.hop_s(faces(4, (454, 256))) == pytest.approx(0.004)  # 16:9: its canvas is square


def test_steps_that_take_longer_now_and_then_leave_room_for_fewer():
    costs = measured_batch()
    for n in range(2000):
        costs.stepped("p", [LARGE] * 8, 0.0, 0.016 if n % 50 == 0 else 0.006)
    assert costs.late_s == pytest.approx(0.010, abs=0.0005)
    assert 56 - 22 <= admitted(costs, 64) <= 56 - 18  # 10 ms less for pictures of 0.5 ms
    assert costs.describe()["late step"] == pytest.approx(10.0, abs=0.5)


def test_a_few_steps_say_nothing_of_the_slowest():
    costs = measured_batch()
    for _ in range(20):
        costs.stepped("p", [LARGE] * 8, 0.0, 0.030)
    assert costs.late_s == 0.0


def test_steps_of_several_sizes_change_no_curve():
    costs = measured_batch()
    for _ in range(300):
        costs.stepped("p", [LARGE, SMALL], 0.0, 0.040)
    assert costs.hop_s(faces(1)) == pytest.approx(0.0025)
    assert costs.late_s > 0.03
