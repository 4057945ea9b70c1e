"""One step after another: turns into a batch, the pipeline over it, frames out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from realtime.engine.costs import Costs
from realtime.engine.host import PipelineHost
from realtime.engine.scheduler import Quantile, Scheduler, Slot, Turn
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


def step_batch(host: PipelineHost, index: int, turns: Sequence[Turn]) -> tuple[float, float]:
    """Step the batch of that index with `turns`, drawing into free places only; CPU and wall
    seconds."""
    batch, taken = host.memory.batches[index], host.memory.taken[index]
    begin, cpu = time.monotonic(), time.thread_time()
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
    host.pipeline.step(batch)
    return time.thread_time() - cpu, time.monotonic() - begin


class Stepper:
    """Carries out what the scheduler picks.

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
        self.drawing_s = Quantile(500)
        """Wall time of steps that drew something."""

    def step(self) -> bool:
        """Make one step; False where no hop waits.

        Raises:
            EngineError: nothing can be stepped any more.
        """
        turns = self._scheduler.next(time.monotonic(), self._has_place)
        if not turns:
            return False
        host = self._hosts[turns[0].slot.pipeline]
        index = host.memory.roomiest([turn.slot.row for turn in turns if turn.draw])
        self._run(host, index, turns)
        return True

    def _has_place(self, slot: Slot) -> bool:
        return self._hosts[slot.pipeline].memory.has_place(slot.row)

    def _run(self, host: PipelineHost, index: int, turns: list[Turn]) -> None:
        begin = time.monotonic()
        try:
            cpu_s, wall_s = step_batch(host, index, turns)
        except Exception as error:  # noqa: BLE001 - a pipeline is anybody's code
            self._failed(host, index, turns, error)
            return
        self._failures = 0
        batch = host.memory.batches[index]
        sizes = [turn.size for turn in turns if batch.drawn[turn.slot.row]]
        self._costs.stepped(host.name, sizes, cpu_s, wall_s)
        if sizes:
            self.drawing_s.add(wall_s)
        self._scheduler.done(turns, begin, begin + wall_s)
        for turn in turns:
            turn.slot.clearing = False
            self._deliver(StepResult(turn, host, index, begin - turn.hop.sent, wall_s))

    def _failed(self, host: PipelineHost, index: int, turns: list[Turn], error: Exception) -> None:
        """Find who cannot be stepped. Some rows may hear their hop twice for that: once."""
        if len(turns) > 1:
            for turn in turns:
                self._run(host, index, [turn])
            return
        logger.error("a step of %s failed", host.name, exc_info=error)
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            raise EngineError(f"{self._failures} steps failed one after the other") from error
        self._fail(turns[0].slot, error)
