"""The search for how many slots a renderer has time for."""

from __future__ import annotations

import pytest

from benchmarks.speed.anitalker import Bench, Work


class Timed(Bench):
    """Each slot of a step takes so many milliseconds."""

    def __init__(self, each_ms: float) -> None:
        self.each_ms = each_ms

    def renderer(self, precision: str, slots: int) -> None:
        return None

    def frame(self, renderer: None, count: int) -> Work:
        return lambda: count

    def time(self, work: Work) -> float:
        return self.each_ms * float(work())


@pytest.mark.parametrize(("each_ms", "slots"), [(50.0, 0), (40.0, 1), (9.0, 4), (0.4, 100)])
def test_the_most_slots_in_time_are_found(each_ms: float, slots: int) -> None:
    found = Timed(each_ms).capacity("float32", steps=2)
    assert found == {"slots": slots, "p99_ms": pytest.approx(each_ms * slots)}
