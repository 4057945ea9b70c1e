"""What the avatar hears while it speaks: the user's microphone beside pushed speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.audio.vad import SpeechEdge
from realtime.echo import EchoGate
from realtime.media import SAMPLE_RATE_HZ
from realtime.playout import PlayoutClock
from realtime.sources.source import Source


class Listening:
    """Hears the user, not the avatar's own voice in his microphone.

    Args:
        source: the microphone; it is neither played nor drawn.
        playout: when what the avatar says leaves.
    """

    def __init__(self, source: Source, playout: PlayoutClock) -> None:
        self._source = source
        self._playout = playout
        self._echo = EchoGate()

    @property
    def speech(self) -> bool:
        """Whether the user speaks."""
        return self._echo.speech

    def start(self, now: float) -> None:
        """Media time begins."""
        self._source.start(now)

    def next_deadline(self) -> float:
        """Local time at which `hear` has something to do at the latest."""
        return self._source.next_deadline()

    def hear(self, now: float) -> list[SpeechEdge]:
        """Take what came in until local time `now`; where the user started and stopped."""
        edges: list[SpeechEdge] = []
        for hop in self._source.pull(now):
            came_in = self._source.t0 + hop.start / SAMPLE_RATE_HZ
            edges += self._echo.heard(hop, self._playout.position(came_in))
        return edges

    def played(self, position: int, voice: NDArray[np.int16]) -> None:
        """20 ms of the avatar's voice left, int16 [960] or [960, C] at 48 kHz."""
        self._echo.played(position, voice)
