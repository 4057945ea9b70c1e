"""When a stream counts as too much for its machine."""

from __future__ import annotations

from realtime.reports import SLOW_AFTER, WELL_AFTER, Slowness

FEW, MANY = (12, 13), (25, 0)
"""New pictures of a second, and those that there was no time for."""


def seconds(slowness: Slowness, number: int, counts: tuple[int, int]) -> bool:
    return [slowness.observe(*counts) for _ in range(number)][-1]


def test_a_stream_is_slow_after_a_few_seconds_and_well_after_some_more():
    slowness = Slowness()
    assert not seconds(slowness, SLOW_AFTER - 1, FEW)
    assert seconds(slowness, 1, FEW)
    assert seconds(slowness, WELL_AFTER - 1, MANY)
    assert not seconds(slowness, 1, MANY)


def test_a_moment_changes_nothing():
    slowness = Slowness()
    for _ in range(5):
        assert not seconds(slowness, SLOW_AFTER - 1, FEW)
        assert not seconds(slowness, 1, MANY)
    seconds(slowness, SLOW_AFTER, FEW)
    for _ in range(5):
        assert seconds(slowness, WELL_AFTER - 1, MANY)
        assert seconds(slowness, 1, FEW)


def test_pictures_that_nobody_left_out_are_missing_for_another_reason():
    """The speaker's network, or a speaker who is cut off."""
    assert not seconds(Slowness(), 20, (3, 0))


def test_a_few_left_out_are_not_seen():
    assert not seconds(Slowness(), 20, (21, 4))
