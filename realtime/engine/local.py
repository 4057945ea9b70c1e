"""An engine in this process: one pipeline, stepped inside `submit`, every frame drawn at full size.

For `vivavoce render` and for tests: no process, no queue, no clock, so what comes out depends on
what goes in alone. `open` is as the engine's own; frames come before `submit` returns.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av

from pipelines.batch import Batch
from pipelines.identity import IdentityStore
from pipelines.motion.space import BEHAVIOURS
from pipelines.photo.framing import check_size, framed, largest_sizes, rungs
from pipelines.registry import find_system
from realtime.clock import Clock, MonotonicClock
from realtime.engine.backends import choose_backend
from realtime.engine.config import BackendWish, DeviceWish
from realtime.engine.device import choose_device, use_one_thread
from realtime.engine.handle import StreamFacts, StreamRequest
from realtime.engine.memory import video_frame
from realtime.engine.quantile import Quantile
from realtime.errors import AtCapacity, EngineError, NotReady
from realtime.media import Frame, Hop, Size


class LocalEngine:
    """A `StreamOpener` over one pipeline in this process.

    Args:
        pipeline: the system's name.
        options: instance of its `Options`.
        identities: folder of the `IdentityStore`.
        backend: what computes it; "auto" is the pipeline's own rule, without measuring, so that
            frames are the same from run to run.
        clock: stamps frames.

    Raises:
        EngineError: the pipeline cannot be built.
    """

    def __init__(
        self,
        pipeline: str,
        options: Any,
        identities: Path,
        *,
        slots: int = 1,
        device: DeviceWish = "auto",
        backend: BackendWish = "auto",
        clock: Clock | None = None,
    ) -> None:
        use_one_thread()
        self.on_step: Callable[[float], None] = lambda seconds: None
        """Told the wall time of each step."""
        self.clock = clock or MonotonicClock()
        self._identities = IdentityStore(identities)
        try:
            self.system = find_system(pipeline)
            self.pipeline = self.system.build(slots, options, choose_device(device))
            self.backend = choose_backend(self.pipeline, backend, measure=False)
            """None where the pipeline has no choice."""
        except (ValueError, OSError, RuntimeError) as error:
            raise EngineError(f"the pipeline {pipeline!r} cannot be built: {error}") from error
        self.batch = Batch.of(slots, largest_sizes(self.system), self.pipeline.motion_dim)
        self._free = deque(range(slots))

    async def open(self, request: StreamRequest) -> LocalStream:
        """See `StreamOpener.open`."""
        if request.pipeline != self.system.name:
            raise NotReady(f"the pipeline {request.pipeline!r} is not loaded")
        if not self._free:
            raise AtCapacity(f"all {self.pipeline.slots} slots are taken")
        try:
            check_size(self.system, request.size, request.frame)
        except ValueError as error:
            raise EngineError(str(error)) from error
        stream = LocalStream(self, self._free[0], request.size, request.frame)
        self.pipeline.reset(stream.row, request.seed)
        await stream.set_identity(request.key)
        if request.controls:
            await stream.set_controls(request.controls)
        stream.draw_still()
        self._free.popleft()
        return stream

    def give_back(self, row: int) -> None:
        """Free a row."""
        self._free.append(row)

    def set_identity(self, row: int, key: str, size: Size, frame: str) -> Size:
        """Give a row the face of `key`; returns how large its pictures are."""
        try:
            identity = framed(self._identities.load(key), frame)
            largest = rungs(self.system, identity, size)[0]
        except (KeyError, ValueError) as error:
            raise EngineError(f"cannot load the avatar: {error}") from error
        self.pipeline.prepare(identity, largest)
        self.pipeline.set_identity(row, identity, largest)
        return largest


class LocalStream:
    """A `StreamHandle` that steps where it stands."""

    expected_latency_s = 0.0
    still: av.VideoFrame

    def __init__(self, engine: LocalEngine, row: int, size: Size, frame: str) -> None:
        self.row = row
        self.look_ahead = engine.pipeline.look_ahead
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        self.on_end: Callable[[str], None] = lambda reason: None
        self._engine = engine
        self.largest = size
        self._asked = size, frame
        self._clearing = self._closed = False
        self._arrivals: dict[int, float] = {}
        self._step_s = Quantile(500)

    def draw_still(self) -> None:
        """Draw the face before any sound."""
        batch = self._engine.batch
        batch.size[self.row] = self.largest
        self._engine.pipeline.still(self.row, batch)
        self.still = video_frame(batch.planes[self.row], self.largest)

    def submit(self, hop: Hop) -> None:
        """See `StreamHandle.submit`; the frame, if there is one, comes before this returns."""
        if self._closed:
            return
        start = hop.start - self.look_ahead
        self._arrivals[hop.start] = hop.arrived
        arrived = self._arrivals.pop(start, None)
        self._step(hop, draw=arrived is not None and not hop.unseen)
        if arrived is not None:
            self.on_frame(self._frame(start, arrived))

    def _step(self, hop: Hop, *, draw: bool) -> None:
        batch, row = self._engine.batch, self.row
        begin = time.monotonic()
        for flags in (batch.active, batch.draw, batch.clear, batch.listens, batch.drawn):
            flags[:] = False
        batch.hops[row] = hop.samples
        batch.speech[row] = hop.speech
        batch.listens[row] = hop.listens
        batch.active[row] = True
        batch.draw[row] = draw
        batch.clear[row] = self._clearing
        batch.size[row] = self.largest
        self._engine.pipeline.step(batch)
        self._clearing = False
        step_s = time.monotonic() - begin
        self._step_s.add(step_s)
        self._engine.on_step(step_s)

    def _frame(self, start: int, arrived: float) -> Frame:
        batch, row = self._engine.batch, self.row
        return Frame(
            start=start,
            picture=video_frame(batch.planes[row], self.largest) if batch.drawn[row] else None,
            motion=batch.motion[row].copy(),
            behaviour=BEHAVIOURS[int(batch.behaviour[row])],
            arrived=arrived,
            ready=self._engine.clock.now(),
        )

    def clear(self) -> None:
        """See `StreamHandle.clear`."""
        self._clearing = True

    async def set_identity(self, key: str) -> None:
        """See `StreamHandle.set_identity`."""
        self.largest = self._engine.set_identity(self.row, key, *self._asked)

    async def set_controls(self, values: Mapping[str, float]) -> None:
        """See `StreamHandle.set_controls`."""
        self._engine.pipeline.set_controls(self.row, dict(values))

    def facts(self) -> StreamFacts:
        """See `StreamHandle.facts`."""
        return StreamFacts(size=self.largest, step_s=self._step_s.at(0.5))

    async def close(self) -> None:
        """See `StreamHandle.close`."""
        if not self._closed:
            self._closed = True
            self._engine.give_back(self.row)
