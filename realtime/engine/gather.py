"""Whether a step over a batch had better wait for a hop that is about to come."""

from __future__ import annotations

from collections.abc import Callable


def worth_waiting_s(
    next_s: float, waiting: int, waited_s: float, step_s: Callable[[int], float]
) -> float:
    """`next_s` where that pays, else 0.

    Whoever waits already has the picture later by the wait and by what one more face adds to the
    step. Whoever comes in time for the step, instead of during it, has it sooner by a step of its
    own, less both. So it pays while both, times all of them, are shorter than a step of one. Nobody
    waits for others longer than such a step takes: that is what having come too late may cost.
    Where steps follow each other without a pause, hops gather by themselves.

    Args:
        next_s: until the next hop is expected; 0 or less: none is.
        waiting: hops that are there.
        waited_s: for how long the oldest of them is.
        step_s: seconds of a step over so many, up to one more than wait.
    """
    one_s = step_s(1)
    more_s = step_s(waiting + 1) - step_s(waiting)
    if next_s <= 0.0 or (waiting + 1) * (next_s + more_s) >= one_s:
        return 0.0
    return next_s if waited_s + next_s <= one_s else 0.0
