"""What `benchmarks.service.media_processes` makes of arrivals."""

import numpy as np
import pytest

from benchmarks.service.media_processes import AFTER, BEFORE, is_paced_alike, late_ms
from benchmarks.service.peer import Stream


def stream_of(late_s):
    stream = Stream(clock=None)
    for number, late in enumerate(late_s):
        at = 100 + number * 0.02 + late
        stream.arrivals += [(number * 960, at - 0.001), (number * 960, at)]  # two packets each
    return stream


def test_late_is_whoever_comes_later_than_usual():
    stream = stream_of([0.0, 0.0, 0.0, 0.0, 0.007] + [0.0] * 6)
    late, grew = late_ms(stream, 48_000, begin=100.01)  # the first one was before
    assert late.shape == (10,)
    assert late[3] == pytest.approx(7.0)
    assert np.delete(late, 3) == pytest.approx(0.0, abs=1e-6)
    assert grew == 0.0


def test_a_delay_that_grows_is_told_by_itself():
    late, grew = late_ms(stream_of([0.0] * 50 + [0.01] * 60), 48_000, begin=100.0)
    assert np.abs(late).max() < 1e-6
    assert grew == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("jitter_ms", "pictures", "alike"),
    [(2.0, 25.0, True), (2.6, 24.6, False), (2.4, 24.6, True), (2.0, 24.0, False)],
)
def test_paced_alike_is_within_a_quarter_and_two_percent(jitter_ms, pictures, alike):
    figures = {
        BEFORE: {"voice_jitter_p95_ms": 2.0, "pictures_per_s_worst": 25.0},
        AFTER: {"voice_jitter_p95_ms": jitter_ms, "pictures_per_s_worst": pictures},
    }
    assert is_paced_alike(figures) == alike
