"""Which stretch of a clip is played, there and back, so that nobody sees where it turns.

There and back no picture ever follows one that it did not follow, or precede, in the clip: at a
turn the step is that between two neighbours. What could be seen is the head going back the way it
came; so turns lie where it stands nearly still.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.pipeline import FPS

LONGEST = 12 * FPS
"""Frames of a stretch at the most. A frame of it takes about 80 KiB of latents in memory."""
SHORTEST = 3 * FPS // 2
"""Frames in a row that a template needs: of two seconds a quarter may be lost."""
_EDGE = FPS  # frames at either end of a stretch among which a turn is looked for


def place_in(position: int, count: int) -> int:
    """The frame at a `position` of a loop of `count` frames there and back."""
    if count == 1:
        return 0
    turn = position % (2 * count - 2)
    return min(turn, 2 * count - 2 - turn)


def choose_stretch(
    seen: NDArray[np.bool_], steps: NDArray[np.floating[Any]], gap: NDArray[np.floating[Any]]
) -> slice | None:
    """The frames to play; None where too few in a row can be used.

    seen: [n], frames that can be used. steps: [n - 1], how much changes from each to the next.
    gap: [n], how far the lips are apart: of several stretches the one that speaks least, for what
    is under an open mouth is never seen.
    """
    runs = [run for run in _runs(seen) if run.stop - run.start >= SHORTEST]
    windows = [
        slice(start, min(start + LONGEST, run.stop))
        for run in runs
        for start in range(run.start, max(run.start, run.stop - LONGEST) + 1, FPS)
    ]
    if not windows:
        return None
    longest = max(window.stop - window.start for window in windows)
    whole = [window for window in windows if window.stop - window.start >= longest]
    window = min(whole, key=lambda window: float(gap[window].mean()))
    return _turning(window, steps)


def turn_steps(steps: NDArray[np.floating[Any]]) -> float:
    """The larger step of both turns over the median step, of a stretch's `steps` [n - 1]."""
    usual = float(np.median(steps))
    return float(max(steps[0], steps[-1])) / usual if usual > 0.0 else 1.0


def _turning(window: slice, steps: NDArray[np.floating[Any]]) -> slice:
    """The part of a window from one still moment near its begin to one near its end."""
    count = window.stop - window.start
    edge = min(_EDGE, (count - SHORTEST) // 2 + 1)
    first = window.start + int(np.argmin(steps[window.start : window.start + edge]))
    last = window.stop - 1 - edge + int(np.argmin(steps[window.stop - 1 - edge : window.stop - 1]))
    return slice(first, last + 2)  # the step `last` leads to the frame after it


def _runs(seen: NDArray[np.bool_]) -> list[slice]:
    """Stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
