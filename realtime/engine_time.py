"""Media time as the engine counts it: it has heard more than viewers were given.

    viewers   ... silence | speech             positions of voice, pictures, events
    engine    ... silence   silence | speech   hops and frames of its slot

Where a source takes back silence that waited to be played, so that what it says next is heard
sooner, the engine hears those hops a second time, now with speech. As many frames are left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from realtime.media import HOP_SAMPLES, Frame, Hop


class EngineTime:
    """Puts the engine's positions on the hops that it is given, the viewers' on its frames.

    Args:
        look_ahead: of the engine's slot, in samples.
    """

    def __init__(self, look_ahead: int) -> None:
        self._look_ahead = look_ahead
        self._next = 0  # the engine's position of the next hop
        self._repeated = 0  # samples that it heard, or will hear, more than once
        self._cuts: deque[tuple[int, int]] = deque()  # of frames that were not given yet
        self._left_out = 0  # samples of the cuts that are over

    def repeat(self, samples: int) -> None:
        """The next hop starts so much earlier than it would have."""
        if not samples:
            return
        begin = self._next - self._look_ahead
        self._cuts.append((begin, begin + samples))
        self._repeated += samples

    def hop(self, hop: Hop) -> Hop:
        """A hop for the engine, which is to draw nothing that nobody will see."""
        start = hop.start + self._repeated
        self._next = start + HOP_SAMPLES
        shown = start - self._look_ahead
        unseen = any(begin <= shown < end for begin, end in self._cuts)
        return replace(hop, start=start, unseen=unseen or shown < self._repeated)

    def frame(self, frame: Frame) -> Frame | None:
        """A frame for viewers; None where it is left out. They come in order."""
        while self._cuts and frame.start >= self._cuts[0][1]:
            begin, end = self._cuts.popleft()
            self._left_out += end - begin
        start = frame.start - self._left_out
        if start < 0 or (self._cuts and frame.start >= self._cuts[0][0]):
            return None
        return replace(frame, start=start)
