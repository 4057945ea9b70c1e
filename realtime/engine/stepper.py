"""One step after another: turns into a batch, the pipeline over it, frames out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.pipeline import StepsAhead, UnderWay
from realtime.engine.costs import Costs
from realtime.engine.host import PipelineHost
from realtime.engine.quantile import Quantile
from realtime.engine.scheduler import Scheduler
from realtime.engine.turns import Slot, Turn
from realtime.errors import EngineError

logger = logging.getLogger(__name__)

MOST_FAILURES = 3
"""Steps that fail one after the other before the process, not the streams, is held to be sick."""


@dataclass(frozen=True)
class StepResult:
    """A turn that was carried out; what it made lies in the batch of that index."""

    turn: Turn
    host: PipelineHost
    batch: int
    wait_s: float
    step_s: float


@dataclass(frozen=True)
class _Begun:
    """A step, its pictures perhaps still on their way."""

    host: PipelineHost
    batch: int
    turns: Sequence[Turn]
    began: float
    cpu_s: float
    """Of beginning it."""
    under_way: UnderWay


def step_batch(host: PipelineHost, index: int, turns: Sequence[Turn]) -> tuple[float, float]:
    """Step the batch of that index with `turns`, drawing into free places only; CPU and wall
    seconds."""
    begin, cpu = time.monotonic(), time.thread_time()
    _fill(host, index, turns)
    host.pipeline.step(host.memory.batches[index])
    return time.thread_time() - cpu, time.monotonic() - begin


def _fill(host: PipelineHost, index: int, turns: Sequence[Turn]) -> None:
    batch, taken = host.memory.batches[index], host.memory.taken[index]
    for flags in (batch.active, batch.draw, batch.clear, batch.listens, batch.drawn):
        flags[:] = False
    for turn in turns:
        row = turn.slot.row
        batch.hops[row] = turn.hop.samples
        batch.speech[row] = turn.hop.speech
        batch.listens[row] = turn.hop.listens
        batch.active[row] = True
        batch.draw[row] = turn.draw and not taken[row]
        batch.clear[row] = turn.slot.clearing
        batch.size[row] = turn.size


class Stepper:
    """Carries out what the scheduler picks.

    Where a pipeline can, a step begins before what the one before made has arrived; that is
    delivered while it is computed, or at once where nothing else is to be stepped.

    Args:
        hosts: the loaded pipelines by name.
        deliver: takes what a step made for a slot.
        fail: takes a slot whose step raised, and why; the slot is not stepped again.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        costs: Costs,
        hosts: Mapping[str, PipelineHost],
        deliver: Callable[[StepResult], None],
        fail: Callable[[Slot, Exception], None],
    ) -> None:
        self._scheduler = scheduler
        self._costs = costs
        self._hosts = hosts
        self._deliver = deliver
        self._fail = fail
        self._failures = 0
        self._begun: _Begun | None = None
        self._computed = True  # the step that has begun: the next one may
        self._finished = 0.0  # local time at which the last step had arrived
        self.drawing_s = Quantile(500)
        """Wall time of steps that drew something."""

    def step(self) -> bool:
        """Begin a step, wait for it, or deliver what it made; False where there is none.

        Whoever calls this reads in between what streams say, so that all hops which came while a
        step was computed are in the next one.

        Raises:
            EngineError: nothing can be stepped any more.
        """
        if not self._computed:
            return self._compute()
        if self.rest_s() or not (turns := self._next()):
            return self._finish()
        host = self._hosts[turns[0].slot.pipeline]
        rows = [turn.slot.row for turn in turns if turn.draw]
        begun = self._begin(host, host.memory.roomiest(rows, self._busy(host)), turns)
        self._finish()
        self._begun, self._computed = begun, begun is None
        if not isinstance(host.pipeline, StepsAhead):
            self._finish()
        return True

    def _compute(self) -> bool:
        """Wait until the device has time for the next step."""
        self._computed = True
        begun = self._begun
        assert begun is not None
        try:
            begun.under_way.computed()
        except Exception as error:  # noqa: BLE001 - a pipeline is anybody's code
            self._begun = None
            self._give_back(begun)
            self._failed(begun.host, begun.batch, list(begun.turns), error)
        return True

    def rest_s(self) -> float | None:
        """Seconds until something is to be stepped, if nothing is heard until then."""
        return self._scheduler.wait_s(time.monotonic()) or None

    def _next(self) -> list[Turn]:
        return self._scheduler.next(time.monotonic(), self._has_place)

    def _has_place(self, slot: Slot) -> bool:
        host = self._hosts[slot.pipeline]
        return host.memory.has_place(slot.row, self._busy(host))

    def _busy(self, host: PipelineHost) -> int | None:
        """The batch that a step of `host` is still writing to."""
        begun = self._begun
        return begun.batch if begun is not None and begun.host is host else None

    def _begin(self, host: PipelineHost, index: int, turns: list[Turn]) -> _Begun | None:
        began, cpu = time.monotonic(), time.thread_time()
        batch = host.memory.batches[index]
        try:
            _fill(host, index, turns)
            under_way = host.begin(batch)
        except Exception as error:  # noqa: BLE001 - a pipeline is anybody's code
            self._failed(host, index, turns, error)
            return None
        for turn in turns:
            turn.slot.clearing = False
            if batch.drawn[turn.slot.row]:  # nobody else is to draw there meanwhile
                host.memory.taken[index, turn.slot.row] = True
        return _Begun(host, index, turns, began, time.thread_time() - cpu, under_way)

    def _finish(self) -> bool:
        """Wait for what the last step made, and deliver it; False where there is none."""
        begun, self._begun, self._computed = self._begun, None, True
        if begun is None:
            return False
        host, cpu = begun.host, time.thread_time()
        drawn = self._give_back(begun)
        try:
            begun.under_way.arrived()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(host, begun.batch, list(begun.turns), error)
            return True
        self._failures = 0
        cpu_s, now = begun.cpu_s + time.thread_time() - cpu, time.monotonic()
        wall_s = now - max(begun.began, self._finished)  # not what another step took
        self._finished = now
        self._costs.stepped(host.name, [turn.size for turn in drawn], cpu_s, wall_s)
        if drawn:
            self.drawing_s.add(now - begun.began)
        self._scheduler.done(begun.turns, now - wall_s, now)
        for turn in begun.turns:
            wait_s = begun.began - turn.hop.sent
            self._deliver(StepResult(turn, host, begun.batch, wait_s, now - begun.began))
        return True

    @staticmethod
    def _give_back(begun: _Begun) -> list[Turn]:
        """The places that were taken for it are to be given to readers now; who was drawn."""
        memory = begun.host.memory
        drawn = [t for t in begun.turns if memory.batches[begun.batch].drawn[t.slot.row]]
        for turn in drawn:
            memory.give_back(begun.batch, turn.slot.row)
        return drawn

    def _failed(self, host: PipelineHost, index: int, turns: list[Turn], error: Exception) -> None:
        """Find who cannot be stepped. Some rows may hear their hop twice for that: once."""
        if len(turns) > 1:
            for turn in turns:
                self._finish()
                self._begun = self._begin(host, index, [turn])
            self._finish()
            return
        logger.error("a step of %s failed", host.name, exc_info=error)
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            raise EngineError(f"{self._failures} steps failed one after the other") from error
        self._fail(turns[0].slot, error)
