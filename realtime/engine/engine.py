"""Slots and the step loop: hops in, frames out, through one inference process.

Sessions know the engine by three verbs: `submit` a hop, `clear`, and receive frames by media time
(the `deliver` callback). Every session owns one slot of a fixed batch. On a CPU each step advances
the one slot that has waited longest; on a GPU, all slots whose hop has arrived.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.motion.controls import Controls
from pipelines.motion.space import BEHAVIOURS, Behaviour
from realtime.engine.client import Inference, InferenceDied, Stepped
from realtime.engine.scheduler import LADDER, Admission, Ladder, Quantile
from realtime.metrics import Metrics
from realtime.sources.microphone.ingest import HOP_S, HOP_SAMPLES, Hop

logger = logging.getLogger(__name__)

INBOX_HOPS = 8  # 320 ms; what is older could not be shown in time anyway
UNDRAWN_HOPS = 8  # overtaken in a row; then one is drawn all the same, for a face that moves slowly


@dataclass(frozen=True)
class EngineFrame:
    """One frame of one session.

    start: first sample of the frame on the media timeline, 16 kHz.
    planes: uint8 [size * 3 // 2, size] I420, or None where drawing was skipped.
    motion: float32 [MOTION_DIM].
    arrived: local time when the last sample that the frame covers came in.
    ready: local time when the frame was done.
    """

    start: int
    planes: NDArray[np.uint8] | None
    motion: NDArray[np.float32]
    behaviour: Behaviour
    arrived: float
    ready: float


@dataclass(frozen=True)
class Turn:
    """One slot's part in a step. Drawing is left out where a newer hop waits or to save time."""

    slot: Slot
    hop: Hop
    draw: bool
    overtaken: bool


class Slot:
    """A session's place in the engine. Made by `Engine.open`, ended by `Engine.close`.

    deliver: takes a frame and says whether it came in time to be shown.
    """

    def __init__(self, index: int, size: int, deliver: Callable[[EngineFrame], bool]) -> None:
        self.index = index
        self.size = size
        self.drawn_size = size
        self.deliver = deliver
        self.closed = False
        self.inbox: deque[Hop] = deque(maxlen=INBOX_HOPS)
        self.arrivals: dict[int, float] = {}  # hop start -> arrival, within the look-ahead
        self.steps = 0
        self.undrawn = 0  # hops in a row that a newer one overtook
        self.step_s = Quantile(100)


class Engine:
    """Runs the pipeline for many sessions.

    All state here is touched from the event loop only. Output of a step is delivered only while
    the slot object it was made for is open, so the next session on the same row can never
    receive it.

    Args:
        inference: started by `start`, stopped by `stop`.
        admission: who may enter; told what steps cost.
        metrics: counters of the server.
        on_death: called once if the inference process ends by itself.
    """

    def __init__(
        self,
        inference: Inference,
        admission: Admission,
        metrics: Metrics,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self.inference = inference
        self.admission = admission
        self._step_s = Quantile(500)  # wall time of steps
        self._metrics = metrics
        self._on_death = on_death
        self._ladder = Ladder()
        self._slots: dict[int, Slot] = {}
        self._free = deque(range(inference.config.slots))
        self._work = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        on_gpu = inference.config.device == "cuda"
        self._batch_limit = inference.config.slots if on_gpu else 1

    @property
    def look_ahead_s(self) -> float:
        """Seconds of sound after a frame that must be heard before it is drawn."""
        return self.inference.look_ahead / 16_000

    @property
    def expected_latency_s(self) -> float:
        """Seconds from a hop to its frame that few frames will exceed: on a CPU every open session
        may have to wait for all the others."""
        step_s = self._step_s.at(0.95)
        if step_s is None:
            return HOP_S / 2
        return min(HOP_S, step_s * (1 if self._batch_limit > 1 else len(self._slots)))

    @property
    def rung(self) -> int:
        """The rung of the degradation ladder in use, 0 is full quality."""
        return self._ladder.rung

    @property
    def running_sizes(self) -> list[int]:
        """The picture size of every open session."""
        return [slot.size for slot in self._slots.values()]

    async def start(self) -> None:
        """Start the inference process and begin stepping."""
        await self.inference.start()
        self._loop_task = asyncio.create_task(self._run(), name="engine")

    async def warm_up(self, key: str, sizes: tuple[int, ...]) -> None:
        """Step slot 0 on noise, so that first calls are paid for and the costs are known."""
        rng = np.random.default_rng(0)
        for size in sizes:
            await self.inference.prepare(key, size)
            await self.inference.set_up(0, key, size, 0)
            costs: dict[bool, list[float]] = {False: [], True: []}
            for draw in (False, True) * 15:
                noise = rng.normal(0, 0.05, HOP_SAMPLES).astype(np.float32)
                step = await self.inference.step([(0, noise, True, draw)], size)
                costs[draw].append(step.cpu_s)
            self.admission.measured_motion(float(np.median(costs[False][5:])))
            self.admission.measured_step(size, float(np.median(costs[True][5:])))

    async def open(
        self, key: str, size: int, seed: int, deliver: Callable[[EngineFrame], bool]
    ) -> Slot:
        """Give a session a slot with the face of identity `key`.

        Raises:
            AtCapacity: one more session would make others late.
        """
        self.admission.check(size, self.running_sizes)
        slot = Slot(self._free.popleft(), size, deliver)
        self._slots[slot.index] = slot
        try:
            await self.inference.prepare(key, size)
            await self.inference.set_up(slot.index, key, size, seed)
        except BaseException:
            self.close(slot)
            raise
        return slot

    def close(self, slot: Slot) -> None:
        """Take the slot back; nothing more is delivered to it."""
        if slot.closed:
            return
        slot.closed = True
        slot.inbox.clear()
        del self._slots[slot.index]
        self._free.append(slot.index)

    def submit(self, slot: Slot, hop: Hop) -> None:
        """Queue a hop. When the inbox is full the oldest hop goes unheard, and is counted."""
        if slot.closed:
            return
        if len(slot.inbox) == INBOX_HOPS:
            self._metrics.hops_dropped.inc()
        slot.inbox.append(hop)
        slot.arrivals[hop.start] = hop.arrived
        self._work.set()

    def clear(self, slot: Slot) -> None:
        """Forget hops that have not been heard yet (barge-in)."""
        slot.inbox.clear()

    async def set_identity(self, slot: Slot, key: str) -> None:
        """Change the face from the next frame on."""
        await self.inference.prepare(key, slot.size)
        if not slot.closed:
            await self.inference.set_identity(slot.index, key)

    async def set_controls(self, slot: Slot, controls: Controls) -> None:
        """Change the behaviour controls from the next hop on."""
        if not slot.closed:
            await self.inference.set_controls(slot.index, controls)

    async def stop(self) -> None:
        """End the loop and the inference process."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
        await self.inference.stop()

    async def _run(self) -> None:
        while True:
            batch = self._next_batch()
            if not batch:
                self._work.clear()
                await self._work.wait()
                continue
            begin = time.monotonic()
            rows = [(t.slot.index, t.hop.samples, t.hop.speech, t.draw) for t in batch]
            try:
                result = await self.inference.step(rows, LADDER[self._ladder.rung].max_size)
            except InferenceDied:
                logger.critical("the inference process has ended")
                self._on_death()
                return
            self._hand_out(batch, result, begin, time.monotonic())

    def _next_batch(self) -> list[Turn]:
        waiting = sorted(
            (slot for slot in self._slots.values() if slot.inbox),
            key=lambda slot: slot.inbox[0].arrived,
        )
        rung = LADDER[self._ladder.rung]
        batch = []
        for slot in waiting[: self._batch_limit]:
            hop = slot.inbox.popleft()
            overtaken = bool(slot.inbox)  # a newer hop waits: show that one, hear this one
            draw = not overtaken and slot.steps % rung.draw_every == 0
            if overtaken and slot.undrawn == UNDRAWN_HOPS:
                draw = True
            slot.undrawn = slot.undrawn + 1 if overtaken and not draw else 0
            slot.steps += 1
            batch.append(Turn(slot, hop, draw, overtaken))
        return batch

    def _hand_out(self, batch: list[Turn], result: Stepped, begin: float, ready: float) -> None:
        self._step_s.add(ready - begin)
        self._metrics.stage_ms.labels("step").observe((ready - begin) * 1000)
        for turn in batch:
            slot, hop = turn.slot, turn.hop
            self._metrics.stage_ms.labels("wait").observe((begin - hop.arrived) * 1000)
            planes = result.frames.get(slot.index)
            if planes is not None:
                slot.drawn_size = planes.shape[-1]
                slot.step_s.add(ready - begin)
                faces = len(result.frames)
                self.admission.measured_step(slot.drawn_size, result.cpu_s, faces)
            elif not turn.draw:
                self._metrics.frames.labels("skipped").inc()
            start = hop.start - self.inference.look_ahead
            arrived = slot.arrivals.get(start)
            for old in [s for s in slot.arrivals if s <= start]:
                del slot.arrivals[old]
            if slot.closed or arrived is None:  # ended, or before the first sample
                continue
            in_time = slot.deliver(
                EngineFrame(
                    start=start,
                    planes=planes,
                    motion=result.motion[slot.index],
                    behaviour=BEHAVIOURS[result.behaviour[slot.index]],
                    arrived=arrived,
                    ready=ready,
                )
            )
            if self._ladder.observe(ready, missed=turn.overtaken or not in_time):
                self._metrics.rung.set(self._ladder.rung)
                logger.warning("quality is now at rung %d (0 is full)", self._ladder.rung)
