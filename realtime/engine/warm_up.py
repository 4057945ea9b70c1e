"""Steps on noise before anybody comes, so that first calls are paid for and costs are known."""

from __future__ import annotations

import statistics
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.identity import IdentityFeatures
from pipelines.machine import Machine, available_cores, measure_machine
from pipelines.pipeline import HasFirstCalls
from realtime.engine.costs import Costs
from realtime.engine.host import PipelineHost
from realtime.engine.media_costs import Face
from realtime.engine.quantile import Quantile
from realtime.engine.scheduler import FIRST_SHARE, first_fit
from realtime.engine.stepper import step_batch
from realtime.engine.turns import Slot, Turn, WaitingHop
from realtime.media import HOP_S, HOP_SAMPLES, Size

REPEATS = 10
COUNTED = 7
"""Of the repeats, the last ones: the first pay for allocations and caches."""


@dataclass(frozen=True)
class WarmUp:
    """One under way: the steps that are left, and who is told of its end, or of what failed."""

    steps: Iterator[None]
    answer: Callable[[Any], None]


class WarmUps:
    """Those that were asked for, one after the other, and what they told of this machine.

    drawing_s, at_once: see `warm_up`.
    """

    def __init__(self, costs: Costs, drawing_s: Quantile, at_once: int) -> None:
        self._costs = costs
        self._drawing_s = drawing_s
        self._at_once = at_once
        self._under_way: deque[WarmUp] = deque()
        self.machine = Machine(available_cores())
        self.first_sizes: dict[str, Size] = {}
        """By pipeline: what the first session's pictures begin with."""

    def add(
        self,
        host: PipelineHost,
        identity: IdentityFeatures,
        sizes: tuple[Size, ...],
        answer: Callable[[None], None],
    ) -> None:
        """Have `host` warmed up with a prepared face; `sizes`: of most sessions, the wanted one
        first."""
        steps = warm_up(host, identity, self._costs, self._drawing_s, at_once=self._at_once)
        self._under_way.append(WarmUp(self._until_done(host, sizes, steps, answer), answer))

    def first(self) -> WarmUp | None:
        """The one whose next step is due."""
        return self._under_way[0] if self._under_way else None

    def _until_done(
        self,
        host: PipelineHost,
        sizes: tuple[Size, ...],
        steps: Iterator[None],
        answer: Callable[[None], None],
    ) -> Iterator[None]:
        try:
            self._measure_machine()
            yield from steps
        finally:
            self._under_way.popleft()
        costs = [self._costs.hop_s([Face(host.name, size)]) for size in sizes]
        self.first_sizes[host.name] = sizes[first_fit(costs, FIRST_SHARE * HOP_S)]
        answer(None)
        yield

    def _measure_machine(self) -> None:
        """Once, by the tensor library that a pipeline brought; where none did, it says nothing."""
        if not self.machine.matmul_gflops and "torch" in sys.modules:
            self.machine = measure_machine()


def warm_up(
    host: PipelineHost,
    identity: IdentityFeatures,
    costs: Costs,
    drawing_s: Quantile,
    *,
    at_once: int,
) -> Iterator[None]:
    """Step free rows of `host` with a prepared face; gives way to the streams at every yield.

    drawing_s: takes the median wall time of steps that draw, for each size or number of faces.
    at_once: 1 measures one face at every size; more measure 1, 2, 4 ... faces at every size.
    """
    rows = [row for row in (host.take_row() for _ in range(at_once)) if row is not None]
    sizes = tuple(host.system.sizes)
    try:
        if rows and isinstance(host.pipeline, HasFirstCalls):
            host.pipeline.set_identity(rows[0], identity, sizes[-1])
            yield from host.pipeline.first_calls(rows[0], host.memory.batches)
        for size in sizes:
            for count in _ladder(len(rows)):
                yield from _measure(host, identity, costs, drawing_s, rows[:count], size)
    finally:
        for row in rows:
            host.give_back(row)


def _ladder(most: int) -> list[int]:
    counts = [2**n for n in range(most.bit_length())]
    return [n for n in counts if n < most] + [most] * (most > 0)


def _measure(
    host: PipelineHost,
    identity: IdentityFeatures,
    costs: Costs,
    drawing_s: Quantile,
    rows: list[int],
    size: Size,
) -> Iterator[None]:
    slots = [Slot(0, host.name, row, (size,), host.pipeline.look_ahead, 0.0) for row in rows]
    for row in rows:
        host.pipeline.reset(row, 0)
        host.pipeline.set_identity(row, identity, size)
    rng = np.random.default_rng(0)
    times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for n in range(REPEATS):
        for draw in (False, True):
            noise = rng.normal(0, 0.05, HOP_SAMPLES).astype(np.float32)
            hop = WaitingHop(n * HOP_SAMPLES, noise, True, 0.0)
            turns = [Turn(slot, hop, size, draw) for slot in slots]
            times[draw].append(step_batch(host, host.memory.roomiest(rows), turns))
            yield
    for draw, measured in times.items():
        cpu_s, wall_s = (
            statistics.median(column) for column in zip(*measured[-COUNTED:], strict=True)
        )
        if draw:
            drawing_s.add(wall_s)
        costs.stepped(host.name, [size] * len(rows) if draw else [], cpu_s, wall_s)
