"""Delay that the network asks for no more, taken out of the sound where it is not heard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.media import VOICE_RATE_HZ
from realtime.sources.microphone.conceal import compress
from realtime.sources.microphone.jitter import DelayControl

_QUIET = 3_000  # peak of a pause
_APART = 5  # packets from one that was shortened to the next that may be, in speech
_URGENT_AFTER_S = 1.0  # until then a pause may come


class Surplus:
    """What is left to take out, found by `seek`.

    Args:
        control: knows how much there is.
        urgent_s: above which speech is shortened too, not only pauses.
    """

    def __init__(self, control: DelayControl, urgent_s: float) -> None:
        self._control = control
        self._urgent = urgent_s * VOICE_RATE_HZ
        self._left = 0  # samples
        self._since: float | None = None
        self._packets_to_cut = 0

    def forget(self) -> int:
        """Take out nothing more of it; how many samples were left."""
        left, self._left = self._left, 0
        return left

    def seek(self, quantum: int, now: float) -> None:
        """Look for some, if none is left."""
        if self._left <= 0:
            self._left = self._control.to_remove(quantum)
            self._since = now if self._left else None

    def take_out(
        self, pcm: NDArray[np.int16], now: float, *, pausing: bool
    ) -> tuple[NDArray[np.int16], int]:
        """Shorten this packet if now is a good moment -> (sound, samples cut).

        pausing: nobody speaks.
        """
        if self._left <= 0:
            return pcm, 0
        pause = pausing and int(np.abs(pcm).max()) < _QUIET
        urgent = (
            self._left > self._urgent
            and self._since is not None
            and now - self._since > _URGENT_AFTER_S
        )
        self._packets_to_cut -= 1
        if not pause and not (urgent and self._packets_to_cut <= 0):
            return pcm, 0
        if pause and self._left >= len(pcm):
            shorter, cut = pcm[:0], len(pcm)
        else:
            shorter, cut = compress(pcm, self._left, at_pitch=not pause)
        if cut:
            self._packets_to_cut = _APART
            self._left -= cut
        return shorter, cut
