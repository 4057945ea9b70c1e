"""The engine as a media process sees it: streams to open, an inference process kept alive.

    engine = Engine(EngineConfig(pipelines=(("portrait", options),), identities=folder))
    await engine.start()                      # EngineError if a pipeline cannot be built
    await engine.warm_up("portrait", key, (512, 512))     # costs are known from here on
    stream = await engine.open(StreamRequest("portrait", key, (512, 512)))
    stream.on_frame = ...                     # see `realtime.engine.handle.StreamHandle`

The inference process is started by `start`, watched, and started anew when it ends, or when it
answers nothing any more; streams are told by `on_end`, and new ones can be opened as soon as
`state` is "ready" again. Further media processes reach the same inference process by
`Engine.attach(engine.address)`. Nothing here imports tensors.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pipelines.machine import Machine
from pipelines.photo.framing import SQUARE
from realtime.clock import Clock, MonotonicClock
from realtime.engine.config import EngineConfig
from realtime.engine.encoding_tally import EncodingTally
from realtime.engine.handle import StreamHandle, StreamRequest
from realtime.engine.health import Health, State
from realtime.engine.heartbeat import watch
from realtime.engine.link import Link, Observer
from realtime.engine.supervisor import BackOff, Child, Elsewhere, EngineAddress, Home
from realtime.engine.wanted import BUILD_S, Wanted
from realtime.engine.wire import Pulse
from realtime.errors import EngineError, NotReady, VivavoceError
from realtime.media import Size

logger = logging.getLogger(__name__)

START_S = 120.0
"""Deadline for the first answer of a process: it imports tensor libraries before."""
CHECK_S = 5.0
BUILDING_FACTOR = 6.0
"""So many times longer an answer may take while a pipeline is built: it shares an interpreter."""


class Engine:
    """Opens streams and keeps an inference process alive. Used from one event loop; is a
    `StreamOpener`.

    Args:
        where: settings of the inference process to start, or the address of another's.
        clock: stamps frames, and paces the watch over the process.
        observe: told "wait" (hop handed in to step begun) and "step" with seconds, per frame.
    """

    def __init__(
        self,
        where: EngineConfig | EngineAddress,
        clock: Clock | None = None,
        observe: Observer = lambda stage, seconds: None,
    ) -> None:
        self._home: Home
        self._wanted = Wanted()
        if isinstance(where, EngineConfig):
            self._home = Child(where)
            self._wanted.pipelines.update(where.pipelines)
            self._unanswered_s = where.unanswered_s
        else:
            self._home, self._unanswered_s = Elsewhere(where), EngineConfig.unanswered_s
        self._owner = isinstance(where, EngineConfig)
        self._clock = clock or MonotonicClock()
        self._observe = observe
        self._back_off = BackOff()
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._state: State = "stopped"
        self._reason = "not started"
        self._restarts = 0
        self._building = 0
        self._pulse = Pulse("", {}, 0, 0, {}, Machine(0), {}, {})
        self._answered = self._clock.now()
        self._encoded = EncodingTally()
        self.measured_encode = self._encoded.add
        """Takes what encoding one picture of a size took; the inference process is told."""

    @classmethod
    def attach(
        cls,
        address: EngineAddress,
        clock: Clock | None = None,
        observe: Observer = lambda stage, seconds: None,
    ) -> Engine:
        """An engine whose inference process another process owns, starts and restarts."""
        return cls(address, clock, observe)

    @property
    def address(self) -> EngineAddress:
        """For `attach`; may be pickled. Stays the same over restarts."""
        return self._home.address

    @property
    def state(self) -> State:
        """ "ready" takes streams; "failed" stays so: restarting it was given up."""
        return self._state

    @property
    def pid(self) -> int | None:
        """Of the inference process, while this engine has one running."""
        return self._home.pid

    # Life

    async def start(self) -> None:
        """Start the inference process (or connect to it) and load the configured pipelines.

        Raises:
            EngineError: one cannot be built; the message says why. Nothing is left running.
        """
        assert self._task is None, "started twice"
        self._state, self._reason = "starting", "the engine is starting"
        started = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._supervise(started), name="engine")
        self._task.add_done_callback(lambda task: self._over(task, started))
        try:
            await started
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it all and give everything back; open streams hear nothing more. Safe to repeat."""
        self._state, self._reason = "stopped", "the engine was stopped"
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._home.close()

    def _over(self, task: asyncio.Task[None], started: asyncio.Future[None]) -> None:
        """The supervision has ended: as it should, or for a fault of ours, never in silence."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._state, self._reason = "failed", f"{type(error).__name__}: {error}"
            logger.critical("the engine's supervision failed", exc_info=error)
        if not started.done():
            started.set_exception(EngineError(self._reason))

    async def _supervise(self, started: asyncio.Future[None]) -> None:
        """Start the process anew whenever it ends, as often as `BackOff` allows."""
        while True:
            reason = await self._live(started)
            if not started.done():
                self._reason = reason
                return
            logger.critical("the engine has no inference process: %s", reason)
            wait_s = self._back_off.failed(self._clock.now())
            if wait_s is None:
                self._state, self._reason = "failed", f"given up after many restarts: {reason}"
                logger.critical("%s", self._reason)
                return
            self._state, self._reason = "restarting", reason
            self._restarts += 1
            await self._clock.sleep_until(self._clock.now() + wait_s)

    async def _live(self, started: asyncio.Future[None]) -> str:
        """One life of the process, from its start; returns why it is over."""
        reason, beat = "the engine was stopped", None
        try:
            self._home.start(self._process_ended)
            link = self._link = Link.connect(self.address, self._clock, self._observe, self._lost)
            beat = asyncio.create_task(self._beat(link), name="engine-beat")
            await self._build(link, first=not started.done())
            self._state, self._reason = "ready", ""
            if not started.done():
                started.set_result(None)
            ends: set[asyncio.Future[Any]] = {link.lost, beat}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not link.lost.done():
                beat.result()  # raises: it ends for nothing else
            reason = link.lost.result()
        except (VivavoceError, OSError) as error:
            reason = str(error)
        finally:
            if beat is not None:
                beat.cancel()
                await asyncio.gather(beat, return_exceptions=True)
            if self._link is not None:
                self._link.close(reason)
                self._link = None
            await self._home.end()
        return reason

    def _lost(self, reason: str) -> None:
        if self._state == "ready":
            self._state, self._reason = "restarting", reason

    def _process_ended(self, reason: str) -> None:
        if self._link is not None:
            self._link.close(reason)

    async def _build(self, link: Link, *, first: bool) -> None:
        self._building += 1
        try:
            if self._owner:
                await self._wanted.load(link, first=first)
            else:
                await link.call("await_service", timeout_s=BUILD_S)
            await self._ask(link)
        finally:
            self._building -= 1

    async def _beat(self, link: Link) -> None:
        await watch(
            link,
            self._clock,
            lambda link: self._ask(link),
            self._longest_silence_s,
            self._encoded.tell,
        )

    def _longest_silence_s(self, link: Link) -> float:
        if not link.answered:
            return START_S
        # One that another process owns may be building unknown to us, and is that one's to end.
        patient = self._building or not self._owner
        return self._unanswered_s * (BUILDING_FACTOR if patient else 1.0)

    async def _ask(self, link: Link) -> None:
        pulse: Pulse = await link.call("pulse", timeout_s=BUILD_S)
        self._pulse, self._answered = pulse, self._clock.now()

    # Calls

    async def load(self, pipeline: str, options: Any) -> None:
        """Build one more pipeline beside the running ones; again after every restart.

        Raises:
            EngineError: it cannot be built, or is loaded with other options.
            NotReady: the engine is starting, or the pipeline is being loaded already.
        """
        await self._long_call("load", pipeline, options)
        self._wanted.pipelines[pipeline] = options

    async def warm_up(self, pipeline: str, key: str, size: Size, frame: str = SQUARE) -> None:
        """Measure the machine, and step `pipeline` on noise with the face `key` at each of its
        sizes: first calls are paid for, and the costs are known. Again after every restart.

        size, frame: what most sessions ask for; `Health.first_sizes` says what they begin with.

        Raises:
            NotReady, EngineError: as `open`.
        """
        await self._long_call("warm_up", pipeline, key, size, frame)
        self._wanted.warm[pipeline] = key, size, frame

    async def _long_call(self, method: str, *args: Any) -> None:
        self._building += 1
        try:
            link = self._ready()
            await link.call(method, *args, timeout_s=BUILD_S)
            await self._ask(link)
        finally:
            self._building -= 1

    async def open(self, request: StreamRequest) -> StreamHandle:
        """See `StreamOpener.open`."""
        return await self._ready().open(request)

    async def check(self, pipeline: str, size: Size, frame: str = SQUARE) -> None:
        """Ask the inference process whether it would take one more stream now. A fresh answer.

        Raises:
            AtCapacity, NotReady, EngineError: as `open`; nothing is taken.
        """
        await self._ready().call("check", pipeline, size, frame, timeout_s=CHECK_S)

    def _ready(self) -> Link:
        if self._state in ("starting", "restarting"):
            raise NotReady(f"the engine is {self._state}; try again in a moment")
        if self._link is None or self._state != "ready":
            raise EngineError(f"the engine has {self._state}: {self._reason}")
        return self._link

    def health(self) -> Health:
        """How the engine is, without asking anyone."""
        pulse = self._pulse
        return Health(
            state=self._state,
            reason=self._reason,
            answered_s=self._clock.now() - self._answered,
            restarts=self._restarts,
            device=pulse.device,
            pipelines=pulse.pipelines,
            sessions=pulse.sessions,
            rung=pulse.rung,
            costs=pulse.costs,
            machine=pulse.machine,
            first_sizes=pulse.first_sizes,
            backends=pulse.backends,
        )
