"""What the engine decides before each step: who is heard, who is drawn, and how large.

Every hop is heard, which is cheap; drawing is what a busy machine shares out. The next picture
goes to the slot that had the fewest, and shows its newest hop, so that nobody starves and no
picture is older than a step and a hop. Where that still comes too late, the ladder makes pictures
smaller. Only on its last rung do they become rarer, and never on purpose: whoever draws as often as
there is time for draws nearly twice as often as whoever leaves every second picture out. A step
over a batch draws all who are due; on the last rung so many of them, in turn, that every hop is
still heard in time. Nothing here does I/O; time comes in as an argument.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from realtime.engine.gather import worth_waiting_s
from realtime.engine.ladder import Ladder
from realtime.engine.turns import Slot, Turn
from realtime.media import HOP_S, Size

FLOOR_S = 1.0
"""A slot without a new picture for so long is drawn, however far behind it is."""
BACKLOG_HOPS = 4
"""A slot so far behind is heard before others are drawn."""
SMOOTHING = 0.3
"""Weight of the last step in what steps are expected to take."""
LEAST_FPS = 8
"""New pictures a second that every slot gets while the machine can draw them at any size."""
LONGEST_S = 1 / (LEAST_FPS + 1)
"""Of steps between two pictures of a slot."""
FIRST_SHARE = 0.6
"""Of a hop's time that steps of the first slot may be expected to take at the size it begins with:
what comes with it, a browser perhaps, is not measured yet."""
FULL_SHARE = 0.85
"""Of a hop's time that steps may be expected to take where all is measured."""
LITTLE = 1.05
"""A smaller size that costs as much but for so little gains nothing."""


Expect = Callable[[Sequence[Size]], float]
"""Seconds of steps per hop that the slots, in the order of `Scheduler.slots`, would take if they
were drawn at such sizes, on the machine as it is now."""


StepCost = Callable[[str, Sequence[Size]], float]
"""Seconds of one step of a pipeline that draws pictures of such sizes."""


def first_fit(costs: Sequence[float], limit: float) -> int:
    """The first of falling `costs` within `limit`, or than which the last is hardly less."""
    return next(n for n, cost in enumerate(costs) if cost <= max(limit, LITTLE * costs[-1]))


class Scheduler:
    """Picks the turns of each step.

    Args:
        at_once: pictures drawn in one step: one on a CPU, where the first is then out soonest;
            all rows on a GPU, where they cost little more than one.
        expect, step_s: what is known of the costs; nothing is expected before something is.
    """

    def __init__(
        self,
        at_once: int,
        expect: Expect = lambda sizes: 0.0,
        step_s: StepCost = lambda pipeline, sizes: 0.0,
    ) -> None:
        self.at_once = at_once
        self.slots: dict[int, Slot] = {}
        self._expect = expect
        self._step_s = step_s
        self._ladder = Ladder()
        self._hear_s = 0.0  # wall time of a step that draws nothing
        self._draw_s = 0.0  # what drawing adds to it

    def add(self, slot: Slot) -> None:
        """Take a slot in; the ladder starts where all are expected to fit."""
        self.slots[slot.stream] = slot
        share = FIRST_SHARE if len(self.slots) == 1 else FULL_SHARE
        costs = [self._expect(self._sizes(rung)) for rung in range(self._deepest + 1)]
        self._ladder.start_at(first_fit(costs, share * HOP_S))

    def remove(self, slot: Slot) -> None:
        """Let a slot go; the last one to go leaves full quality behind."""
        self.slots.pop(slot.stream, None)
        if not self.slots:
            self._ladder = Ladder()

    @property
    def rung(self) -> int:
        """Of the degradation ladder: sizes below the wanted one; 0 is full quality."""
        return min(self._ladder.rung, self._deepest)

    @property
    def _deepest(self) -> int:
        return max((len(slot.sizes) for slot in self.slots.values()), default=1) - 1

    def _sizes(self, rung: int) -> list[Size]:
        return [_shrunk(slot, rung) for slot in self.slots.values()]

    def _fits(self, rung: int, busy: float) -> bool:
        """Whether steps that take a share `busy` of the time would leave some on another rung."""
        more_s = self._expect(self._sizes(rung)) - self._expect(self._sizes(self.rung))
        return busy + more_s / HOP_S <= FULL_SHARE

    def next(self, now: float, has_place: Callable[[Slot], bool]) -> list[Turn]:
        """The turns of the next step, all of one pipeline; none when no hop waits.

        has_place: whether there is room for a picture of the slot: one that nobody still reads.
        """
        waiting = [slot for slot in self.slots.values() if slot.hops]
        due = [slot for slot in waiting if not slot.unseen and has_place(slot)]
        first = self._first(due, now)
        behind = max(waiting, key=lambda slot: len(slot.hops), default=None)
        if behind is None:
            return []
        drawn: list[Slot] = []
        left: list[Slot] = []
        if first is None or not self._ready(first, now):
            lead = first or behind  # it catches up first, and is drawn next
        elif self._far_behind(behind) and not _starved(first, now):
            lead = behind
        else:
            lead = first
            drawn, left = self._drawn(now, first, due)
        turns = [self._turn(now, slot, draw=True) for slot in drawn]
        return turns + [
            self._turn(now, slot, draw=False, missed=slot in due)
            for slot in waiting
            if slot.pipeline == lead.pipeline
            and slot not in drawn
            and (slot.has_newer or slot not in due or slot in left)
        ]

    def wait_s(self, now: float) -> float:
        """Seconds that the next step had better wait for a hop that is about to come; 0: none."""
        waiting = [slot for slot in self.slots.values() if slot.hops and self.at_once > 1]
        if not waiting:
            return 0.0
        oldest = min(waiting, key=lambda slot: slot.hops[0].sent)
        alike = [slot for slot in self.slots.values() if slot.pipeline == oldest.pipeline]
        sizes = [_shrunk(slot, self.rung) for slot in alike if slot.hops]
        return worth_waiting_s(
            min((s.next_at - now for s in alike if not s.hops and s.next_at > now), default=0.0),
            len(sizes),
            now - oldest.hops[0].sent,
            lambda n: self._step_s(oldest.pipeline, [*sizes, *sizes[-1:]][:n]),
        )

    def _first(self, due: Sequence[Slot], now: float) -> Slot | None:
        """Who is drawn next: of those with the fewest pictures, whose last is longest ago, but
        rather one that can be drawn at once, while the other hears what it is behind with."""
        order = sorted(due, key=lambda slot: (slot.round, slot.drawn_at))
        if not order:
            return None
        alike = (s for s in order if s.round == order[0].round and s.pipeline == order[0].pipeline)
        return next((slot for slot in alike if self._ready(slot, now)), order[0])

    def _drawn(self, now: float, first: Slot, due: list[Slot]) -> tuple[list[Slot], list[Slot]]:
        """Who is drawn, and who is only heard because there is no time for more."""
        ready = [s for s in due if s.pipeline == first.pipeline and self._ready(s, now)]
        order = sorted(ready, key=lambda slot: slot.drawn_at)[: self.at_once]
        most = self._most(order)
        return order[:most], order[most:]

    def _most(self, order: Sequence[Slot]) -> int:
        """How many of them a step over a batch may draw, at least one: on the last rung no more
        than leave time to hear every hop. Whoever was drawn longest ago comes first."""
        if self.at_once == 1 or self.rung < self._deepest:
            return self.at_once
        sizes = [_shrunk(slot, self.rung) for slot in order]
        counts = range(1, len(order) + 1)
        fits = bisect_right(
            counts, FULL_SHARE * HOP_S, key=lambda n: self._step_s(order[0].pipeline, sizes[:n])
        )
        return max(fits, 1)

    def _ready(self, slot: Slot, now: float) -> bool:
        """Whether a slot whose picture is due is to be drawn with its next hop already: it is the
        newest, or hearing the newer ones first would make the picture no better but rarer."""
        if not slot.has_newer or _starved(slot, now):
            return True
        after_one_more_s = slot.waited_s + 2 * self._hear_s + self._draw_s
        return after_one_more_s > LONGEST_S and not self._catches_up(slot)

    def _far_behind(self, slot: Slot) -> bool:
        return len(slot.hops) >= BACKLOG_HOPS and self._catches_up(slot)

    def _catches_up(self, slot: Slot) -> bool:
        """Whether hearing all but the newest hop takes less than drawing one picture, and ends: it
        must be well faster than hops come."""
        rest_s = self._hear_s * (len(slot.hops) - 1)
        return rest_s <= self._draw_s and self._hear_s <= HOP_S / 2

    def _turn(self, now: float, slot: Slot, *, draw: bool, missed: bool = False) -> Turn:
        unseen = slot.unseen
        turn = Turn(slot, slot.hops.popleft(), _shrunk(slot, self.rung), draw, missed)
        if draw:
            slot.drawn_at = now
            slot.round = max(slot.round + 1, *(other.round for other in self.slots.values()))
        elif not unseen:
            slot.skipped += 1
        return turn

    def done(self, turns: Sequence[Turn], begin: float, end: float) -> None:
        """A step with `turns` is over: learn what it took, count whether pictures came in time.

        One that is late because drawing it took long, not because it waited, does not count.
        """
        wall_s = end - begin
        self._ladder.worked(wall_s)
        stepped = [turn.slot for turn in turns]
        for slot in self.slots.values():
            if slot.hops or slot in stepped:
                slot.waited_s += wall_s
        self._learn(wall_s, drawn=any(turn.draw for turn in turns))
        for turn in turns:
            if turn.draw:
                self._drew(turn.slot, end)
            if turn.draw or turn.missed:
                late = end - turn.hop.sent > HOP_S and begin - turn.hop.sent > HOP_S / 2
                self._ladder.observe(
                    end, missed=turn.missed or late, deepest=self._deepest, fits=self._fits
                )

    def _learn(self, wall_s: float, *, drawn: bool) -> None:
        if drawn:
            self._draw_s += SMOOTHING * (max(wall_s - self._hear_s, 0.0) - self._draw_s)
        elif self._hear_s:
            self._hear_s += SMOOTHING * (wall_s - self._hear_s)
        else:  # what drawing took until now had hearing in it
            self._hear_s, self._draw_s = wall_s, max(self._draw_s - wall_s, 0.0)

    def encoders_late(self, now: float) -> None:
        """Pictures are drawn in time and not encoded in time: smaller ones help."""
        self._ladder.fall(now, min(self._ladder.rung + 1, self._deepest))

    def _drew(self, slot: Slot, now: float) -> None:
        """Keep the pictures of every slot from becoming rarer than they may; one may be late."""
        slot.slow = slot.slow + 1 if slot.waited_s > LONGEST_S else 0
        slot.waited_s = min(max(slot.waited_s - LONGEST_S, -LONGEST_S / 2), 0.0)
        if slot.slow > 1:
            self._ladder.fall(now, self._deepest)


def _starved(slot: Slot, now: float) -> bool:
    return now - slot.drawn_at >= FLOOR_S


def _shrunk(slot: Slot, shrink: int) -> Size:
    return slot.sizes[min(shrink, len(slot.sizes) - 1)]
