"""Which stretch of a clip is played, and where it goes on from each frame, so that nobody sees it.

    there and back         while somebody speaks: no picture ever follows one that it did not
                           follow, or precede, in the clip
    the idle part of it    while nobody does: there and back where the person was silent too

At a turn the step is that between two neighbours. What could be seen is the head going back the way
it came; so turns lie where it stands nearly still. From elsewhere the loop comes to its idle part
by itself, or leaps there from where another frame of it looks and moves alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.pipeline import FPS

LONGEST = 12 * FPS
"""Frames of a stretch at the most. A frame of it takes about 80 KiB of latents in memory."""
SHORTEST = 3 * FPS // 2
"""Frames in a row that a template needs: of two seconds a quarter may be lost. Also of an idle
part."""
PAUSE = 3 * FPS // 5
"""Frames without a voice after which nobody speaks: between phrases they are fewer."""
USUAL = 2.0
"""How far neighbours lie apart, see `make_loop`."""
_NEAR = 0.75 * USUAL  # of a leap: what comes looks as it would have, to less than a step
_EDGE = FPS  # frames at either end of a stretch among which a turn is looked for
_WANTED_IDLE, _WANTED_SPOKEN = 4 * FPS, 8 * FPS  # frames of a stretch: of each enough
_CLOSED = 0.015  # face heights above the person's closed lips: they do not speak
_AROUND = 2 * FPS // 5  # frames before and after, in which they must not either


@dataclass(frozen=True)
class Loop:
    """The way through a clip of n frames; its positions are those of the frames there and back.

    frames: int32 [p], the frame at each position; the first is where the idle part begins.
    after: int32 [2, p], the position after each while somebody speaks, and while nobody does.
    """

    frames: NDArray[np.int32]
    after: NDArray[np.int32]

    def frame(self, position: int) -> int:
        """The frame at a position; at one that is not of this loop, the first."""
        return int(self.frames[position if position < len(self.frames) else 0])

    def ahead(self, position: int, quiet: int, count: int) -> Iterator[int]:
        """The frames of the next `count` positions, if who speaks goes on, and who has been
        `quiet` for so many frames stays so."""
        for _ in range(count):
            quiet += quiet > 0
            position = position if position < len(self.frames) else 0
            position = int(self.after[int(quiet >= PAUSE), position])
            yield int(self.frames[position])


def make_loop(idle: slice | None, apart: NDArray[np.floating[Any]]) -> Loop:
    """The loop through a clip with an `idle` part.

    apart: [n, n], how different any two frames are; neighbours are `USUAL`.
    """
    count = len(apart)
    first = 0 if idle is None else idle.start
    frames = np.roll([*range(count), *range(count - 2, 0, -1)], -first).astype(np.int32)
    speaking = np.roll(np.arange(len(frames), dtype=np.int32), -1)
    listening = speaking if idle is None else _listening(frames, idle, apart)
    return Loop(frames, np.stack([speaking, listening]))


def _listening(
    frames: NDArray[np.int32], idle: slice, apart: NDArray[np.floating[Any]]
) -> NDArray[np.int32]:
    """The position after each while nobody speaks, int32 [p]."""
    cycle = len(frames)
    at = np.arange(cycle)
    following, turned = (at + 1) % cycle, (1 - at - 2 * idle.start) % cycle
    inside = (frames >= idle.start) & (frames < idle.stop)
    after = np.where(inside & ~inside[following], turned, following)
    targets = np.flatnonzero(inside)
    left = _until(inside)
    for position in np.flatnonzero(~inside):
        usual = following[position]
        if inside[usual]:
            continue
        alike = apart[frames[usual], frames[targets]]
        moving = apart[frames[following[usual]], frames[after[targets]]]
        best = int(np.argmin(alike + moving))
        if alike[best] + moving[best] <= 2.0 * _NEAR:
            after[position] = targets[best]
        elif left[turned[position]] < left[usual]:
            alike = apart[frames[usual], frames[turned[position]]]
            after[position] = turned[position] if alike <= _NEAR else usual
    return after.astype(np.int32)


def _until(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Steps from each position around the loop to the next that is inside, [p]."""
    cycle, targets = len(inside), np.flatnonzero(inside)
    steps = (targets - np.arange(cycle)[:, None]) % cycle
    nearest: NDArray[np.int64] = steps.min(1)
    return nearest


def choose_stretch(
    seen: NDArray[np.bool_], steps: NDArray[np.floating[Any]], gap: NDArray[np.floating[Any]]
) -> slice | None:
    """The frames to play; None where too few in a row can be used.

    seen: [n], frames that can be used. steps: [n - 1], how much changes from each to the next.
    gap: [n], how far the lips are apart: of several stretches one in which the person both speaks
    and is silent, and of these the one that speaks least, for what is under an open mouth is never
    seen.
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
    silent = _silent(gap)

    def worth(window: slice) -> tuple[float, float]:
        idle = max((run.stop - run.start for run in _runs(silent[window])), default=0)
        spoken = int((~silent[window]).sum())
        enough = min(idle / _WANTED_IDLE, 1.0) + min(spoken / _WANTED_SPOKEN, 1.0)
        return enough, -float(gap[window].mean())

    return _turning(max(whole, key=worth), steps)


def find_idle(gap: NDArray[np.floating[Any]], steps: NDArray[np.floating[Any]]) -> slice | None:
    """The part of a stretch in which the person is silent; None where there is none, or too short
    a one. gap: [n], steps: [n - 1], as for `choose_stretch`."""
    run = max(_runs(_silent(gap)), key=lambda run: run.stop - run.start, default=slice(0, 0))
    if run.stop - run.start < SHORTEST:
        return None
    return run if run == slice(0, len(gap)) else _turning(run, steps)


def turn_steps(steps: NDArray[np.floating[Any]]) -> float:
    """The larger step of both turns over the median step, of a stretch's `steps` [n - 1]."""
    usual = float(np.median(steps))
    return float(max(steps[0], steps[-1])) / usual if usual > 0.0 else 1.0


def _silent(gap: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """In which frames the lips stay closed for a while, before and after."""
    open_at = gap > np.percentile(gap, 5) + _CLOSED
    around = np.convolve(open_at, np.ones(2 * _AROUND + 1), "full")[_AROUND : _AROUND + len(gap)]
    silent: NDArray[np.bool_] = around < 0.5
    return silent


def _turning(window: slice, steps: NDArray[np.floating[Any]]) -> slice:
    """The part of a window from one still moment near its begin to one near its end."""
    count = window.stop - window.start
    edge = min(_EDGE, (count - SHORTEST) // 2 + 1)
    first = window.start + int(np.argmin(steps[window.start : window.start + edge]))
    last = window.stop - 1 - edge + int(np.argmin(steps[window.stop - 1 - edge : window.stop - 1]))
    return slice(first, last + 2)  # the step `last` leads to the frame after it


def _runs(marked: NDArray[np.bool_]) -> list[slice]:
    """Stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
