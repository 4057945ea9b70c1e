"""What the governor makes of the receiver's reports."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.sinks.webrtc.bitrate import BitrateGovernor

START = 1_000_000


def test_it_starts_where_it_is_told() -> None:
    assert BitrateGovernor(START).target(0.0) == START


def test_a_low_estimate_of_a_quiet_start_does_not_starve_the_encoder() -> None:
    governor = BitrateGovernor(START)
    governor.received_report(0.0, 0.020, 0.0)
    governor.received_estimate(150_000)
    assert governor.target(0.0) == 600_000
    governor.received_estimate(2_000_000)
    assert governor.target(0.0) == 2_000_000


@pytest.mark.parametrize(("loss", "rtt_s"), [(0.2, 0.02), (0.0, 0.2)])
def test_with_signs_of_congestion_the_estimate_is_believed(loss: float, rtt_s: float) -> None:
    governor = BitrateGovernor(START)
    governor.received_report(0.0, 0.02, 0.0)
    governor.received_estimate(150_000)
    for n in range(3):
        governor.received_report(loss, rtt_s, 1.0 + n)
    assert governor.target(3.0) <= 150_000
    for n in range(100):
        governor.received_report(0.0, 0.02, 4.0 + 0.1 * n)
    assert governor.target(20.0) == 150_000
    assert governor.target(44.0) == 600_000


def test_each_congestion_is_remembered_for_longer() -> None:
    governor = BitrateGovernor(START)
    governor.received_estimate(150_000)
    governor.received_report(0.0, 0.02, 0.0)
    for start, held in ((10.0, 30.0), (100.0, 60.0), (300.0, 120.0)):
        governor.received_report(0.0, 0.2, start)
        governor.received_report(0.0, 0.2, start)
        assert governor.target(start + held - 1) == 150_000
        assert governor.target(start + held + 1) == 600_000


def test_heavy_loss_lowers_the_bitrate_until_it_is_over() -> None:
    governor = BitrateGovernor(START)
    for n in range(5):
        governor.received_report(0.4, None, float(n))
    low = governor.target(5.0)
    assert low < 0.4 * START
    for n in range(80):
        governor.received_report(0.0, None, 5.0 + n)
    assert governor.target(85.0) == START


def test_one_burst_of_reports_is_one_step() -> None:
    governor = BitrateGovernor(START)
    for n in range(5):
        governor.received_report(0.5, None, 0.1 * n)
    assert governor.target(1.0) == pytest.approx(0.475 * START)


def test_jitter_and_a_little_loss_are_not_congestion() -> None:
    rng = np.random.default_rng(0)
    governor = BitrateGovernor(START)
    governor.received_estimate(150_000)
    targets = []
    for n in range(300):
        governor.received_report(rng.uniform(0, 0.1), max(0.02, rng.normal(0.04, 0.02)), float(n))
        targets.append(governor.target(float(n)))
    assert np.mean(targets) > 0.9 * 600_000
