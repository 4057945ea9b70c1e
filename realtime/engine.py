"""Slots and the step loop: hops in, frames out, on one inference thread.

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
import torch
from numpy.typing import NDArray

from pipelines.avatar import HOP_SAMPLES, AvatarPipeline, StepResult
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import Controls
from pipelines.motion.space import BEHAVIOURS, Behaviour
from realtime.gpu_thread import GpuThread
from realtime.ingest import Hop
from realtime.metrics import Metrics
from realtime.scheduler import HOP_S, LADDER, Admission, Ladder, Quantile

logger = logging.getLogger(__name__)

INBOX_HOPS = 8  # 320 ms; what is older could not be shown in time anyway


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


class Slot:
    """A session's place in the engine. Made by `Engine.open`, ended by `Engine.close`."""

    def __init__(self, index: int, size: int, deliver: Callable[[EngineFrame], None]) -> None:
        self.index = index
        self.size = size
        self.deliver = deliver
        self.closed = False
        self.inbox: deque[Hop] = deque(maxlen=INBOX_HOPS)
        self.arrivals: dict[int, float] = {}  # hop start -> arrival, within the look-ahead
        self.steps = 0
        self.step_s = Quantile(100)


class Engine:
    """Runs an `AvatarPipeline` for many sessions.

    All state is touched from the event loop, save the pipeline, which only the inference thread
    touches. Output of a step is delivered only while the slot object it was made for is open, so
    the next session on the same row can never receive it.
    """

    def __init__(self, pipeline: AvatarPipeline, admission: Admission, metrics: Metrics) -> None:
        self.pipeline = pipeline
        self.admission = admission
        self.latency = Quantile(500)  # seconds from a hop's arrival to its frame
        self._metrics = metrics
        self._ladder = Ladder()
        self._thread = GpuThread(initializer=lambda: torch.set_num_threads(1))
        self._slots: dict[int, Slot] = {}
        self._free = deque(range(pipeline.slots))
        self._work = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._batch_limit = pipeline.slots if pipeline.device == "cuda" else 1
        self._hops = torch.zeros(pipeline.slots, HOP_SAMPLES)
        self._speech = torch.zeros(pipeline.slots, dtype=torch.bool)
        self._active = torch.zeros(pipeline.slots, dtype=torch.bool)
        self._render = torch.zeros(pipeline.slots, dtype=torch.bool)

    @property
    def look_ahead_s(self) -> float:
        """Seconds of sound after a frame that must be heard before it is drawn."""
        return self.pipeline.look_ahead / 16_000

    @property
    def rung(self) -> int:
        """The rung of the degradation ladder in use, 0 is full quality."""
        return self._ladder.rung

    @property
    def running_sizes(self) -> list[int]:
        """The picture size of every open session."""
        return [slot.size for slot in self._slots.values()]

    async def start(self) -> None:
        """Begin stepping."""
        self._loop_task = asyncio.create_task(self._run(), name="engine")

    async def warm_up(self, identity: IdentityFeatures, sizes: tuple[int, ...]) -> None:
        """Step slot 0 on noise, so that first calls are paid for and the costs are known."""
        rng = np.random.default_rng(0)
        for size in sizes:
            await self._thread.run(self._prepare, 0, identity, size, 0)
            times = []
            for n in range(20):
                hop = Hop(
                    start=n * HOP_SAMPLES,
                    samples=rng.normal(0, 0.05, HOP_SAMPLES).astype(np.float32),
                    voice=np.zeros(1920, np.int16),
                    speech=True,
                    arrived=0.0,
                    concealed=0,
                )
                slot = Slot(0, size, lambda frame: None)
                _, cpu_s = await self._thread.run(self._step, [(slot, hop, True)])
                times.append(cpu_s)
            self.admission.measured_step(size, float(np.median(times[5:])))

    async def open(
        self,
        identity: IdentityFeatures,
        size: int,
        seed: int,
        deliver: Callable[[EngineFrame], None],
    ) -> Slot:
        """Give a session a slot.

        Raises:
            AtCapacity: one more session would make others late.
        """
        self.admission.check(size, self.running_sizes)
        index = self._free.popleft()
        slot = Slot(index, size, deliver)
        self._slots[index] = slot
        try:
            await self._thread.run(self._prepare, index, identity, size, seed)
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

    async def set_identity(self, slot: Slot, identity: IdentityFeatures) -> None:
        """Change the face from the next frame on."""
        await self._thread.run(self.pipeline.set_identity, slot.index, identity)

    async def set_controls(self, slot: Slot, controls: Controls) -> None:
        """Change the behaviour controls from the next hop on."""
        await self._thread.run(self.pipeline.set_controls, slot.index, controls)

    async def stop(self) -> None:
        """End the loop and the thread."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
        await asyncio.to_thread(self._thread.close)

    def _prepare(self, index: int, identity: IdentityFeatures, size: int, seed: int) -> None:
        self.pipeline.reset(index, seed)
        self.pipeline.set_size(index, size)
        self.pipeline.set_identity(index, identity)

    async def _run(self) -> None:
        while True:
            batch = self._next_batch()
            if not batch:
                self._work.clear()
                await self._work.wait()
                continue
            begin = time.monotonic()
            result, cpu_s = await self._thread.run(self._step, batch)
            self._hand_out(batch, result, cpu_s, begin, time.monotonic())

    def _next_batch(self) -> list[tuple[Slot, Hop, bool]]:
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
            slot.steps += 1
            batch.append((slot, hop, draw))
        return batch

    def _step(self, batch: list[tuple[Slot, Hop, bool]]) -> tuple[StepResult, float]:
        """On the inference thread: one pipeline step, and the CPU seconds that it took."""
        begin = time.thread_time()
        self._active.zero_()
        self._render.zero_()
        limit = LADDER[self._ladder.rung].max_size
        for slot, hop, draw in batch:
            row = slot.index
            self._hops[row] = torch.from_numpy(hop.samples)
            self._speech[row] = hop.speech
            self._active[row] = True
            self._render[row] = draw
            self.pipeline.set_size(row, min(slot.size, limit))
        device = self.pipeline.device
        result = self.pipeline.step(
            self._hops.to(device),
            self._speech.to(device),
            self._active.to(device),
            self._render,
        )
        return result, time.thread_time() - begin

    def _hand_out(
        self,
        batch: list[tuple[Slot, Hop, bool]],
        result: StepResult,
        cpu_s: float,
        begin: float,
        ready: float,
    ) -> None:
        behaviour = result.behaviour.tolist()
        motion = result.motion.cpu().numpy()
        step_s = ready - begin
        self._metrics.stage_ms.labels("step").observe(step_s * 1000)
        for slot, hop, draw in batch:
            latency = ready - hop.arrived
            self.latency.add(latency)
            self._metrics.stage_ms.labels("wait").observe((begin - hop.arrived) * 1000)
            if draw:
                slot.step_s.add(step_s)
                self.admission.measured_step(
                    self.pipeline.size(slot.index), cpu_s / len(result.frames)
                )
            else:
                self._metrics.frames.labels("skipped").inc()
            if self._ladder.observe(ready, latency):
                self._metrics.rung.set(self._ladder.rung)
                logger.warning("quality rung %d (0 is full)", self._ladder.rung)
            if slot.closed:
                continue
            start = hop.start - self.pipeline.look_ahead
            for old in [s for s in slot.arrivals if s < start]:
                del slot.arrivals[old]
            arrived = slot.arrivals.get(start)
            if arrived is None:
                continue  # before the first sample of the session
            planes = result.frames.get(slot.index)
            slot.deliver(
                EngineFrame(
                    start=start,
                    planes=None if planes is None else planes.cpu().numpy(),
                    motion=motion[slot.index].copy(),
                    behaviour=BEHAVIOURS[behaviour[slot.index]],
                    arrived=arrived,
                    ready=ready,
                )
            )


__all__ = ["HOP_S", "Engine", "EngineFrame", "Slot"]
