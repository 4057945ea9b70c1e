"""What the engine decides before each step: who is heard, who is drawn, and how large.

Every hop is heard, which is cheap; drawing is what a busy machine shares out. The next picture
goes to the slot whose last one is longest ago, and shows its newest hop, so that nobody starves and
no picture is older than a step and a hop. Where that still comes too late, the ladder first makes
pictures smaller, then rarer. Nothing here does I/O; time comes in as an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from realtime.media import FPS, HOP_S, Size

INBOX_HOPS = 5
"""200 ms: what is older could not be shown in time anyway, and would hold up what is newer."""
FLOOR_S = 1.0
"""A slot without a new picture for so long is drawn, however far behind it is."""
BACKLOG_HOPS = 4
"""A slot so far behind is heard before others are drawn."""
SMOOTHING = 0.2
"""Weight of the last step in what steps are expected to take."""
LEAST_FPS = 8
"""New pictures a second below which drawing is never thinned out on purpose."""
MOST_THINNING = 3
assert FPS / MOST_THINNING >= LEAST_FPS


@dataclass(frozen=True)
class WaitingHop:
    """A hop on its way into a step."""

    start: int
    samples: NDArray[np.float32]
    """[640]."""
    speech: bool
    sent: float
    """Local time at which the stream handed it in."""


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
    hops: deque[WaitingHop] = field(default_factory=deque)
    heard: int = 0
    """Hops since its last picture."""
    clearing: bool = False
    """Its next step is to forget what was heard and not shown."""
    skipped: int = 0
    dropped: int = 0

    def put(self, hop: WaitingHop) -> None:
        """Queue a hop; the oldest goes unheard where too many wait, and is counted. Those before
        the first frame do not count: they may all come at once."""
        if sum(waiting.start >= self.look_ahead for waiting in self.hops) == INBOX_HOPS:
            self.hops.popleft()
            self.dropped += 1
        self.hops.append(hop)

    def clear(self) -> None:
        """Forget the hops that wait, and at the next step what was heard and not shown."""
        self.hops.clear()
        self.clearing = True

    @property
    def has_newer(self) -> bool:
        """A newer hop waits behind the next one."""
        return len(self.hops) > 1

    @property
    def early(self) -> bool:
        """The next hop's frame would lie before the stream's beginning."""
        return self.hops[0].start < self.look_ahead


@dataclass(frozen=True)
class Turn:
    """One slot's part in a step."""

    slot: Slot
    hop: WaitingHop
    size: Size
    draw: bool
    missed: bool = False
    """A picture was due and is left out, because a newer hop waits."""


@dataclass(frozen=True)
class Rung:
    """One step of the degradation ladder."""

    shrink: int
    """Draw so many sizes below the one that is wanted."""
    draw_every: int
    """Draw one frame in so many."""


def rung_of(number: int, shrinks: int) -> Rung:
    """The rung of that number where pictures can be made smaller `shrinks` times."""
    return Rung(min(number, shrinks), 1 + max(0, number - shrinks))


def sizes_below(size: Size, sizes: Collection[Size]) -> tuple[Size, ...]:
    """`size` and the smaller `sizes` of the same shape, largest first.

    Raises:
        ValueError: `size` is not among them.
    """
    if size not in sizes:
        known = ", ".join(f"{w}x{h}" for w, h in sizes)
        raise ValueError(f"size must be one of {known}, got {size[0]}x{size[1]}")
    width, height = size
    alike = {s for s in sizes if s[0] * height == s[1] * width and s[0] <= width}
    return tuple(sorted(alike, reverse=True))


class Ladder:
    """Chooses the rung from how many pictures miss their time. Down fast, up slowly.

    When more than `down_share` of a window miss, quality goes down a rung, and after `urgent_s`
    already where most do; when fewer than `up_share` miss for `calm_windows` in a row it goes up
    again, and each relapse doubles that number, so that a slow machine does not flap.
    """

    window_s = 4.0
    urgent_s = 1.0
    urgent_share = 0.6
    down_share = 0.25
    up_share = 0.05
    calm_windows = 2

    def __init__(self) -> None:
        self.rung = 0
        self._since: float | None = None
        self._pictures = 0
        self._misses = 0
        self._calm = 0
        self._needed = self.calm_windows
        self._rose = False

    def start_at(self, rung: int) -> None:
        """Go down to `rung` at once: measured costs say that those above cannot hold."""
        self.rung = max(self.rung, rung)

    def observe(self, now: float, *, missed: bool, deepest: int) -> None:
        """Count one picture that was due; the rung becomes `deepest` at most."""
        if self._since is None:
            self._since = now
        self._pictures += 1
        self._misses += missed
        share = self._misses / self._pictures
        urgent = now - self._since >= self.urgent_s and share > self.urgent_share
        if now - self._since < self.window_s and not urgent:
            return
        self._since, self._pictures, self._misses = now, 0, 0
        if share > self.down_share:
            self._go_down(deepest)
        else:
            self._go_up(calm=share <= self.up_share)

    def _go_down(self, deepest: int) -> None:
        if self._rose:
            self._needed = min(self._needed * 2, 16 * self.calm_windows)
        self._rose, self._calm = False, 0
        self.rung = min(self.rung + 1, deepest)

    def _go_up(self, *, calm: bool) -> None:
        self._calm = self._calm + 1 if calm else 0
        if self.rung > 0 and self._calm >= self._needed:
            self.rung -= 1
            self._rose, self._calm = True, 0


class Scheduler:
    """Picks the turns of each step.

    Args:
        at_once: pictures drawn in one step: one on a CPU, where the first is then out soonest;
            all rows on a GPU, where they cost little more than one.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.slots: dict[int, Slot] = {}
        self._ladder = Ladder()
        self._hear_s = 0.0  # wall time of a step that draws nothing
        self._draw_s = 0.0  # what drawing adds to it

    def add(self, slot: Slot, hop_s: Callable[[list[Size], int], float]) -> None:
        """Take a slot in.

        hop_s: seconds of inference per hop that the slots, in the order of `slots`, would take at
            such sizes with one frame in so many drawn; the ladder starts where that fits.
        """
        self.slots[slot.stream] = slot
        for number in range(self._deepest + 1):
            rung = rung_of(number, self._shrinks)
            sizes = [_shrunk(s, rung.shrink) for s in self.slots.values()]
            if hop_s(sizes, rung.draw_every) <= HOP_S or number == self._deepest:
                self._ladder.start_at(number)
                return

    def remove(self, slot: Slot) -> None:
        """Let a slot go; the last one to go leaves full quality behind."""
        self.slots.pop(slot.stream, None)
        if not self.slots:
            self._ladder = Ladder()

    @property
    def rung(self) -> int:
        """Of the degradation ladder, 0 is full quality."""
        return min(self._ladder.rung, self._deepest)

    @property
    def _shrinks(self) -> int:
        return max((len(slot.sizes) for slot in self.slots.values()), default=1) - 1

    @property
    def _deepest(self) -> int:
        return self._shrinks + MOST_THINNING - 1

    def next(self, now: float, has_place: Callable[[Slot], bool]) -> list[Turn]:
        """The turns of the next step, all of one pipeline; none when no hop waits.

        has_place: whether there is room for a picture of the slot: one that nobody still reads.
        """
        rung = rung_of(self.rung, self._shrinks)
        waiting = [slot for slot in self.slots.values() if slot.hops]
        due = [
            slot
            for slot in waiting
            if not slot.early and slot.heard + 1 >= rung.draw_every and has_place(slot)
        ]
        first = min(due, key=lambda slot: slot.drawn_at, default=None)
        behind = max(waiting, key=lambda slot: len(slot.hops), default=None)
        if behind is None:
            return []
        drawn: list[Slot] = []
        if first is None or not self._ready(first, now):
            lead = first or behind  # it catches up first, and is drawn next
        elif self._far_behind(behind) and not _starved(first, now):
            lead = behind
        else:
            lead, drawn = first, self._drawn(now, first, due)
        turns = [self._turn(now, slot, rung, draw=True) for slot in drawn]
        return turns + [
            self._turn(now, slot, rung, draw=False, missed=slot in due)
            for slot in waiting
            if slot.pipeline == lead.pipeline
            and slot not in drawn
            and (slot.has_newer or slot not in due)
        ]

    def _drawn(self, now: float, first: Slot, due: list[Slot]) -> list[Slot]:
        ready = [s for s in due if s.pipeline == first.pipeline and self._ready(s, now)]
        return sorted(ready, key=lambda slot: slot.drawn_at)[: self.at_once]

    def _ready(self, slot: Slot, now: float) -> bool:
        """Whether a slot whose picture is due is to be drawn with its next hop already: it is the
        newest, or hearing the newer ones first would make the picture no better but rarer."""
        if not slot.has_newer or _starved(slot, now):
            return True
        return slot.heard + 1 >= MOST_THINNING and not self._catches_up(slot)

    def _far_behind(self, slot: Slot) -> bool:
        return len(slot.hops) >= BACKLOG_HOPS and self._catches_up(slot)

    def _catches_up(self, slot: Slot) -> bool:
        """Whether hearing all but the newest hop takes less than drawing one picture."""
        return self._hear_s * (len(slot.hops) - 1) <= self._draw_s

    def _turn(
        self, now: float, slot: Slot, rung: Rung, *, draw: bool, missed: bool = False
    ) -> Turn:
        early = slot.early
        turn = Turn(slot, slot.hops.popleft(), _shrunk(slot, rung.shrink), draw, missed)
        if draw:
            slot.drawn_at, slot.heard = now, 0
        elif not early:
            slot.heard += 1
            slot.skipped += 1
        return turn

    def done(self, turns: Sequence[Turn], begin: float, end: float) -> None:
        """A step with `turns` is over: learn what it took, count whether pictures came in time.

        One that is late because drawing it took long, not because it waited, does not count: to
        draw less often would not help it.
        """
        if any(turn.draw for turn in turns):
            self._draw_s += SMOOTHING * (max(end - begin - self._hear_s, 0.0) - self._draw_s)
        else:
            self._hear_s += SMOOTHING * (end - begin - self._hear_s)
        for turn in turns:
            if turn.draw or turn.missed:
                late = end - turn.hop.sent > HOP_S and begin - turn.hop.sent > HOP_S / 2
                self._ladder.observe(end, missed=turn.missed or late, deepest=self._deepest)


def _starved(slot: Slot, now: float) -> bool:
    return now - slot.drawn_at >= FLOOR_S


def _shrunk(slot: Slot, shrink: int) -> Size:
    return slot.sizes[min(shrink, len(slot.sizes) - 1)]


class Quantile:
    """A quantile over the last `capacity` values."""

    def __init__(self, capacity: int = 250) -> None:
        self._values: deque[float] = deque(maxlen=capacity)

    def add(self, value: float) -> None:
        """Take one value in."""
        self._values.append(value)

    def at(self, q: float) -> float | None:
        """The quantile `q` in [0, 1], or None while there is no value."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
