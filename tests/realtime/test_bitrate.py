"""What the governor makes of the receiver's reports."""

from __future__ import annotations

import pytest

from realtime.bitrate import BitrateGovernor

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


@pytest.mark.parametrize(("loss", "rtt_s"), [(0.05, 0.02), (0.0, 0.1)])
def test_with_signs_of_congestion_the_estimate_is_believed(loss: float, rtt_s: float) -> None:
    governor = BitrateGovernor(START)
    governor.received_report(0.0, 0.02, 0.0)
    governor.received_estimate(150_000)
    governor.received_report(loss, rtt_s, 1.0)
    assert governor.target(1.0) == 150_000
    governor.received_report(0.0, 0.02, 20.0)
    assert governor.target(20.0) == 150_000
    assert governor.target(40.0) == 600_000


def test_heavy_loss_lowers_the_bitrate_until_it_is_over() -> None:
    governor = BitrateGovernor(START)
    for n in range(5):
        governor.received_report(0.4, None, float(n))
    low = governor.target(5.0)
    assert low < 0.4 * START
    for n in range(60):
        governor.received_report(0.0, None, 5.0 + n)
    assert governor.target(65.0) == START


def test_a_little_loss_costs_nothing() -> None:
    governor = BitrateGovernor(START)
    governor.received_estimate(900_000)
    for n in range(100):
        governor.received_report(0.05, 0.02, float(n))
    assert governor.target(100.0) == 900_000
