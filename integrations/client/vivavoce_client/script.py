"""What is to be said, followed through what comes back. Sans I/O.

A program that pushed speech has it already, in better quality than the connection brings it back.
What it needs to know is which of it belongs to which picture. The server begins every utterance at
a picture's start, so that pushed and returned sound are read side by side, 40 ms at a time: where
the one is loud and the other silent, one of them has to wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vivavoce_client.frames import FPS

LOUD, SILENT = 200.0, 40.0
"""RMS of int16. Opus gives a digital silence back with less than 5."""
MOST_DRIFT = FPS
"""Frames after an utterance was played to its end until the rest of it is given out blindly."""

Sound = NDArray[np.int16]
NOTHING: Sound = np.zeros(0, np.int16)


@dataclass(frozen=True)
class Said:
    """What belongs to one picture."""

    pcm: Sound
    """int16 [n], mono: of what was pushed, 40 ms or, at an utterance's end, less; empty while
    nothing is said."""
    rate_hz: int
    ended: bool = False
    """It is the last of an utterance."""
    cut: bool = False
    """Somebody else interrupted it; it has ended too."""


@dataclass
class _Utterance:
    rate_hz: int
    pcm: Sound = field(default_factory=lambda: np.zeros(0, np.int16))  # not given out yet
    committed: bool = False
    response_id: str | None = None  # once the server has begun with it
    overdue: int | None = None  # frames since the server was done with it

    @property
    def hop(self) -> int:
        return self.rate_hz // FPS

    def next(self, hops: int = 1) -> Sound:
        pcm, self.pcm = self.pcm[: self.hop * hops], self.pcm[self.hop * hops :]
        return pcm


class Script:
    """Utterances that were pushed, and how far they have come back."""

    def __init__(self) -> None:
        self._waiting: deque[_Utterance] = deque()
        self._drained = True  # what was heard before the last clear has gone by
        self._cut = False

    @property
    def waiting_s(self) -> float:
        """What was pushed and is not given out, in seconds."""
        return sum(len(one.pcm) / one.rate_hz for one in self._waiting)

    # What was pushed

    def push(self, pcm: Sound, rate_hz: int) -> None:
        """Add to the utterance that is under way, or begin one."""
        if not self._waiting or self._waiting[-1].committed:
            self._waiting.append(_Utterance(rate_hz))
        last = self._waiting[-1]
        last.pcm = np.concatenate([last.pcm, pcm])

    def commit(self) -> bool:
        """What was pushed so far is a whole utterance. Whether there was any."""
        begun = bool(self._waiting) and not self._waiting[-1].committed
        if begun:
            self._waiting[-1].committed = True
        return begun

    def clear(self) -> None:
        """It is not to be said any more."""
        self._waiting.clear()
        self._drained = False

    # What the server tells

    def started(self, response_id: str) -> None:
        """It begins with the next utterance, or, after a pause, goes on with one."""
        for utterance in self._waiting:
            if utterance.response_id is None:
                utterance.response_id = response_id
                return
        for utterance in self._waiting:  # it took a pause of what it got for an end
            utterance.response_id, utterance.overdue = response_id, None

    def stopped(self, response_id: str) -> None:
        """It has played an utterance to its end."""
        for utterance in self._waiting:
            if utterance.response_id == response_id:
                utterance.overdue = 0

    def cleared(self, response_id: str) -> None:
        """It was interrupted, by whomever."""
        if any(utterance.response_id == response_id for utterance in self._waiting):
            self.clear()
            self._cut = True

    # What came back

    def hear(self, sound: Sound) -> Said:
        """What belongs to a frame with this sound: int16 [n], mono."""
        level = _level(sound)
        self._drained = self._drained or level < SILENT
        if self._cut:
            self._cut = False
            return Said(NOTHING, 0, ended=True, cut=True)
        utterance = self._waiting[0] if self._waiting else None
        if utterance is None or utterance.response_id is None or not self._drained:
            return Said(NOTHING, 0)
        pcm = self._take(utterance, level)
        ended = utterance.committed and not len(utterance.pcm)
        if ended:
            self._waiting.popleft()
        return Said(pcm, utterance.rate_hz, ended)

    def _take(self, utterance: _Utterance, level: float) -> Sound:
        expected = _level(utterance.pcm[: utterance.hop * 3 // 4])  # Opus comes 6.5 ms later
        if utterance.overdue is not None:
            utterance.overdue += 1
        if expected > LOUD and level < SILENT and (utterance.overdue or 0) < MOST_DRIFT:
            return NOTHING  # ours is ahead
        behind = level > LOUD and _level(utterance.pcm[: utterance.hop]) < SILENT
        return utterance.next(2 if behind else 1)


def _level(pcm: Sound) -> float:
    return float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2))) if len(pcm) else 0.0
