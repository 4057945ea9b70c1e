"""Bootstrap intervals: they hold the truth about as often as they say, and know what they lack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.lips.intervals import over_clips, over_speakers

VALUES = st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=20)


def test_the_interval_of_clips_holds_the_truth_about_19_times_in_20() -> None:
    chance = np.random.default_rng(0)
    found = [over_clips(list(chance.normal(0.6, 0.1, 40)), seed=n) for n in range(100)]
    held = sum(one.low <= 0.6 <= one.high for one in found)  # type: ignore[operator]
    assert 86 <= held <= 99  # the percentile bootstrap of 40 values is a little narrow


def test_speakers_who_differ_widen_the_interval_however_many_clips_there_are() -> None:
    chance = np.random.default_rng(1)
    alike = {str(n): list(chance.normal(0.6, 0.02, 50)) for n in range(5)}
    unlike = {str(n): list(chance.normal(0.4 + 0.1 * n, 0.02, 50)) for n in range(5)}
    narrow, wide = over_speakers(alike), over_speakers(unlike)
    assert wide.high - wide.low > 5.0 * (narrow.high - narrow.low)  # type: ignore[operator]
    pooled = over_clips([r for clips in unlike.values() for r in clips])
    assert wide.high - wide.low > 1.5 * (pooled.high - pooled.low)  # type: ignore[operator]


def test_every_speaker_weighs_the_same() -> None:
    found = over_speakers({"a": [0.2] * 90, "b": [0.4], "c": [0.9, 0.9]})
    assert found.mean == pytest.approx(0.5)
    assert found.count == 93


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.9]])
def test_one_or_two_clips_have_a_mean_and_no_interval(values: list[float]) -> None:
    found = over_clips(values)
    assert (found.low, found.high) == (None, None)
    assert found.mean == pytest.approx(np.mean(values))
    assert str(found) == f"{np.mean(values):.3f}"
    assert found.numbers() == {
        "mean": round(float(np.mean(values)), 4), "low": None, "high": None, "clips": len(values),
    }  # fmt: skip


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no clips"):
        over_clips([])
    with pytest.raises(ValueError, match="needs a clip"):
        over_speakers({"a": [0.5], "b": []})


@settings(max_examples=20, deadline=None)
@given(values=VALUES, shift=st.floats(-1.0, 1.0))
def test_intervals_lie_within_the_values_and_move_with_them(
    values: list[float], shift: float
) -> None:
    found, moved = over_clips(values), over_clips([value + shift for value in values])
    assert min(values) - 1e-9 <= found.low <= found.mean + 1e-9  # type: ignore[operator]
    assert found.mean - 1e-9 <= found.high <= max(values) + 1e-9  # type: ignore[operator]
    assert moved.low == pytest.approx(found.low + shift)  # type: ignore[operator]
    assert moved.high == pytest.approx(found.high + shift)  # type: ignore[operator]
