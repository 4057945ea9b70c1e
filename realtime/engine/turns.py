"""What a step is made of: slots, the hops that wait in them, their parts in it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.photo.framing import SQUARE
from realtime.media import HOP_S, Size

INBOX_HOPS = 5
"""200 ms: what is older could not be shown in time anyway, and would hold up what is newer."""
JITTER_S = 0.0005
"""By which a hop may come later than expected and still be waited for."""


@dataclass(frozen=True)
class WaitingHop:
    """A hop on its way into a step."""

    start: int
    samples: NDArray[np.float32]
    """[640]."""
    speech: bool
    sent: float
    """Local time at which the stream handed it in."""
    listens: bool = False
    """Somebody else is speaking to the avatar."""
    unseen: bool = False
    """Nobody will see the frame that it completes."""


@dataclass(eq=False)
class Slot:
    """A row of a pipeline while one stream holds it, as the step loop sees it."""

    stream: int
    """Number of the stream, never used again: what is made for one cannot reach another."""
    pipeline: str
    row: int
    sizes: tuple[Size, ...]
    """It may be drawn at, the wanted one first, then smaller ones."""
    look_ahead: int
    drawn_at: float
    """Local time of its last picture, or of its opening."""
    round: int = 0
    """Pictures so far; of one that was silent for a while, as many as the others have had."""
    hops: deque[WaitingHop] = field(default_factory=deque)
    waited_s: float = 0.0
    """Time of steps since its last picture, while a hop of its own waited or was heard; below 0
    where the pictures before came sooner than they must."""
    slow: int = 0
    """Pictures in a row that came later than they may."""
    clearing: bool = False
    """Its next step is to forget what was heard and not shown."""
    skipped: int = 0
    dropped: int = 0
    frame: str = SQUARE
    """What its pictures show around the face."""
    asked: Size = (0, 0)
    """The one of the frame's sizes that it is to have."""
    next_at: float = -math.inf
    """Local time by which its next hop is expected."""

    def put(self, hop: WaitingHop) -> None:
        """Queue a hop; the oldest go unheard where too many wait, and are counted. Those that
        complete nothing to be seen do not make too many: they may all come at once. But they are
        older than what waits behind them, and go before it."""
        while sum(self._is_seen(waiting) for waiting in self.hops) >= INBOX_HOPS:
            self.hops.popleft()
            self.dropped += 1
        self.hops.append(hop)
        self.next_at = hop.sent + HOP_S + JITTER_S

    def clear(self) -> None:
        """Forget the hops that wait, and at the next step what was heard and not shown."""
        self.hops.clear()
        self.clearing = True

    @property
    def has_newer(self) -> bool:
        """A newer hop waits behind the next one."""
        return len(self.hops) > 1

    @property
    def unseen(self) -> bool:
        """Nobody will see the next hop's frame, or it would lie before the stream's beginning."""
        return not self._is_seen(self.hops[0])

    def _is_seen(self, hop: WaitingHop) -> bool:
        return hop.start >= self.look_ahead and not hop.unseen


@dataclass(frozen=True)
class Turn:
    """One slot's part in a step."""

    slot: Slot
    hop: WaitingHop
    size: Size
    draw: bool
    missed: bool = False
    """A picture was due and is left out, because a newer hop waits."""
