"""What media processes ask of the inference process: streams, pipelines, costs."""

from __future__ import annotations

import itertools
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipelines.identity import IdentityCache, IdentityFeatures
from pipelines.machine import Machine, available_cores, measure_machine
from pipelines.photo.framing import SQUARE, check_size, framed, rungs
from pipelines.pipeline import Size
from realtime.engine import wire
from realtime.engine.config import EngineConfig
from realtime.engine.costs import Costs, Face
from realtime.engine.host import PipelineHost, in_words
from realtime.engine.peers import Peer
from realtime.engine.scheduler import (
    FIRST_SHARE,
    Scheduler,
    Slot,
    WaitingHop,
    first_fit,
)
from realtime.engine.stepper import Stepper, StepResult
from realtime.engine.warm_up import warm_up
from realtime.errors import AtCapacity, EngineError, NotReady, VivavoceError
from realtime.media import HOP_S

logger = logging.getLogger(__name__)

ENCODER_SHARE = 0.8
"""Of a hop's time: an encoder that takes more on average drops pictures."""
SEVERAL = 5
"""Pictures whose mean tells something."""

Answer = Callable[[Any], None]
"""Takes what a call gives, or the `VivavoceError` it raises."""


class InferenceDesk:
    """The `Desk` of the inference process. Methods named `do_...` are calls: they get the peer,
    where to answer, and the call's arguments.

    Args:
        post: runs a function in the thread that steps, from any thread.
    """

    def __init__(
        self,
        config: EngineConfig,
        device: str,
        costs: Costs,
        cache: IdentityCache,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._config = config
        self._device = device
        self._costs = costs
        self._cache = cache
        self._post = post
        self._hosts: dict[str, PipelineHost] = {}
        self._numbers = itertools.count(1)
        self._memories = itertools.count(1)
        self._slots: dict[int, Slot] = {}
        self._peers: dict[int, Peer] = {}  # stream -> whose it is
        self._readers: dict[tuple[str, int, int], Peer] = {}  # of the picture in a place
        self._at_once = config.slots if device == "cuda" else 1
        self._scheduler = Scheduler(self._at_once, self._expected_s)
        self._stepper = Stepper(
            self._scheduler, costs, self._hosts, self._deliver, self._step_failed
        )
        self._machine = Machine(available_cores())
        self._first_sizes: dict[str, Size] = {}
        self._serving = False
        self._awaiting: list[Answer] = []
        self._warm_ups: deque[tuple[Iterator[None], Answer]] = deque()

    def work(self) -> bool:
        """Make a step of the streams, else of a warm-up; False where there is nothing to do.

        Raises:
            EngineError: nothing can be stepped any more.
        """
        if self._stepper.step():
            return True
        if not self._warm_ups:
            return False
        steps, answer = self._warm_ups[0]
        self._answering(answer, lambda: next(steps))
        return True

    # What streams say

    def hear(self, peer: Peer, stream: int, hop: WaitingHop) -> None:
        """Queue a hop."""
        if (slot := self._slot(peer, stream)) is not None:
            slot.put(hop)

    def clear(self, peer: Peer, stream: int) -> None:
        """Forget what a stream has said and not shown."""
        if (slot := self._slot(peer, stream)) is not None:
            slot.clear()

    def gone(self, peer: Peer) -> None:
        """End everything of a peer."""
        for stream in [s for s, owner in self._peers.items() if owner is peer]:
            self._close(self._slots[stream])
        for place in [p for p, reader in self._readers.items() if reader is peer]:
            del self._readers[place]
            self._hosts[place[0]].memory.give_back(*place[1:])

    # Calls

    def call(self, peer: Peer, call: wire.Call) -> None:
        """Carry out a call; it may be answered later."""

        def answer(value: Any) -> None:
            if call.number:
                reply = wire.Reply(call.number, value)
                if isinstance(value, VivavoceError):
                    reply = wire.Reply(call.number, None, value)
                peer.send(wire.pack(wire.REPLY, reply), must=True)

        def work() -> None:
            getattr(self, f"do_{call.method}")(peer, answer, *call.args)

        self._answering(answer, work)

    def _answering(self, answer: Answer, work: Callable[[], object]) -> None:
        """Do something that answers, or raises what is to be answered."""
        try:
            work()
        except VivavoceError as error:
            answer(error)
        except Exception as error:  # pipelines are anybody's code
            logger.error("a call failed", exc_info=error)
            answer(EngineError(in_words(error)))

    def do_pulse(self, peer: Peer, answer: Answer) -> None:
        """Say how it is."""
        answer(
            wire.Pulse(
                self._device,
                {name: host.state for name, host in self._hosts.items()},
                len(self._slots),
                self._scheduler.rung,
                self._costs.describe(),
                self._machine,
                self._first_sizes,
                {name: host.backend for name, host in self._hosts.items() if host.backend},
            )
        )

    def do_serve(self, peer: Peer, answer: Answer) -> None:
        """Everything that is to be there from the beginning is there."""
        self._serving = True
        for waiting in self._awaiting:
            waiting(None)
        self._awaiting.clear()
        answer(None)

    def do_await_service(self, peer: Peer, answer: Answer) -> None:
        """Answer as soon as everything is there."""
        if self._serving:
            answer(None)
        else:
            self._awaiting.append(answer)

    def do_load(self, peer: Peer, answer: Answer, name: str, options: Any) -> None:
        """Build a pipeline."""
        host = self._hosts.get(name)
        if host is not None and host.state in ("ready", "loading"):
            if not host.ready:
                raise NotReady(f"the pipeline {name!r} is being loaded")
            if host.options != options:
                raise EngineError(f"the pipeline {name!r} is loaded with other options")
            answer(None)
            return
        host = PipelineHost(next(self._memories), name, options, self._cache, self._post)
        self._hosts[name] = host

        def done(error: Exception | None) -> None:
            if error is not None:
                logger.error("cannot build the pipeline %s", name, exc_info=error)
                error = EngineError(f"the pipeline {name!r} cannot be built: {in_words(error)}")
            answer(error)

        host.build(self._config, self._device, done)

    def do_warm_up(
        self, peer: Peer, answer: Answer, pipeline: str, key: str, size: Size, frame: str = SQUARE
    ) -> None:
        """Measure this machine, and what a pipeline costs on it; `size`, `frame`: of most
        sessions."""
        host = self._host(pipeline)

        def prepared(identity: IdentityFeatures) -> None:
            sizes = rungs(host.system, framed(identity, frame), size)
            drawing_s = self._stepper.drawing_s
            steps = warm_up(host, identity, self._costs, drawing_s, at_once=self._at_once)
            self._warm_ups.append((self._until_done(host, sizes, steps, answer), answer))

        self._prepare(host, key, SQUARE, tuple(host.system.sizes), answer, prepared)

    def _until_done(
        self, host: PipelineHost, sizes: tuple[Size, ...], steps: Iterator[None], answer: Answer
    ) -> Iterator[None]:
        try:
            self._measure_machine()
            yield from steps
        finally:
            self._warm_ups.popleft()
        costs = [self._costs.hop_s([Face(host.name, size)]) for size in sizes]
        self._first_sizes[host.name] = sizes[first_fit(costs, FIRST_SHARE * HOP_S)]
        answer(None)
        yield

    def _measure_machine(self) -> None:
        """Once, by the tensor library that a pipeline brought; where none did, it says nothing."""
        if not self._machine.matmul_gflops and "torch" in sys.modules:
            self._machine = measure_machine()

    def do_check(
        self, peer: Peer, answer: Answer, pipeline: str, size: Size, frame: str = SQUARE
    ) -> None:
        """Say whether a stream could be opened."""
        self._admit(pipeline, size, frame)
        answer(None)

    def do_open(
        self,
        peer: Peer,
        answer: Answer,
        pipeline: str,
        key: str,
        size: Size,
        seed: int,
        controls: dict[str, float],
        frame: str = SQUARE,
    ) -> None:
        """Open a stream: its row is taken at once, its face comes when it is prepared."""
        host = self._admit(pipeline, size, frame)
        slot = self._take(peer, host, size, frame)

        def prepared(identity: IdentityFeatures) -> None:
            if slot.stream not in self._slots:  # its peer has gone meanwhile
                return
            host.pipeline.reset(slot.row, seed)
            self._show(host, slot, identity)
            if controls:
                host.pipeline.set_controls(slot.row, controls)
            self._welcome(peer, answer, host, slot)

        def refuse(error: Any) -> None:
            self._close(slot)
            answer(error)

        self._prepare(host, key, frame, (size,), refuse, prepared)

    def _take(self, peer: Peer, host: PipelineHost, size: Size, frame: str) -> Slot:
        row = host.take_row()
        if row is None:
            raise AtCapacity(f"every slot of the pipeline {host.name!r} is taken")
        slot = Slot(
            stream=next(self._numbers),
            pipeline=host.name,
            row=row,
            sizes=(size,),
            look_ahead=host.pipeline.look_ahead,
            drawn_at=time.monotonic(),
            frame=frame,
            asked=size,
        )
        self._slots[slot.stream] = slot
        self._peers[slot.stream] = peer
        return slot

    def _show(self, host: PipelineHost, slot: Slot, identity: IdentityFeatures) -> None:
        """Give a slot a prepared face, and the sizes that it has in the slot's frame."""
        sizes = rungs(host.system, identity, slot.asked)
        host.pipeline.set_identity(slot.row, identity, sizes[0])
        slot.sizes = sizes

    def _welcome(self, peer: Peer, answer: Answer, host: PipelineHost, slot: Slot) -> None:
        if host.number not in peer.memories:
            peer.memories.add(host.number)
            memory = wire.Memory(host.number, host.memory.layout)
            peer.send(wire.pack(wire.MEMORY, memory), (host.descriptor,), must=True)
        if slot.stream not in self._slots:  # that told us that its peer has gone
            return
        begin, cpu = time.monotonic(), time.thread_time()
        batch = host.draw_still(slot.row, slot.sizes[0])
        if not self._scheduler.slots:
            self._costs.begin(time.thread_time() - cpu, time.monotonic() - begin)
        self._readers[host.name, batch, slot.row] = peer
        self._scheduler.add(slot)
        answer(
            wire.Opened(
                stream=slot.stream,
                memory=host.number,
                batch=batch,
                row=slot.row,
                look_ahead=slot.look_ahead,
                expected_latency_s=self._expected_latency_s(),
                size=slot.sizes[0],
            )
        )

    def do_close(self, peer: Peer, answer: Answer, stream: int) -> None:
        """Give a stream's row back."""
        if (slot := self._slot(peer, stream)) is not None:
            self._close(slot)
        answer(None)

    def do_set_identity(self, peer: Peer, answer: Answer, stream: int, key: str) -> None:
        """Change the face of a stream; answers the largest size of its pictures from now on."""
        slot = self._open_slot(peer, stream)
        host = self._hosts[slot.pipeline]

        def prepared(identity: IdentityFeatures) -> None:
            if slot.stream in self._slots:
                self._show(host, slot, identity)
            answer(slot.sizes[0])

        self._prepare(host, key, slot.frame, (slot.asked,), answer, prepared)

    def do_set_controls(
        self, peer: Peer, answer: Answer, stream: int, values: dict[str, float]
    ) -> None:
        """Change the controls of a stream."""
        slot = self._open_slot(peer, stream)
        self._hosts[slot.pipeline].pipeline.set_controls(slot.row, values)
        answer(None)

    def do_encoded(self, peer: Peer, answer: Answer, times: list[wire.EncodingTimes]) -> None:
        """Take in what encoding took in the last second."""
        for each in times:
            for _ in range(min(each.pictures, 1000)):
                self._costs.encoded(each.size, each.cpu_s, each.wall_s)
        if any(each.pictures >= SEVERAL and each.wall_s > ENCODER_SHARE * HOP_S for each in times):
            self._scheduler.encoders_late(time.monotonic())

    # Behind the calls

    def _prepare(
        self,
        host: PipelineHost,
        key: str,
        frame: str,
        sizes: tuple[Size, ...],
        refuse: Answer,
        prepared: Callable[[IdentityFeatures], None],
    ) -> None:
        def done(result: IdentityFeatures | Exception) -> None:
            if isinstance(result, Exception):
                refuse(EngineError(f"cannot load the avatar: {in_words(result)}"))
            else:
                self._answering(refuse, lambda: prepared(result))

        host.prepare(key, frame, sizes, done)

    def _host(self, pipeline: str) -> PipelineHost:
        host = self._hosts.get(pipeline)
        if host is None:
            raise NotReady(f"the pipeline {pipeline!r} is not loaded")
        if not host.ready:
            raise NotReady(f"the pipeline {pipeline!r} is not ready: {host.state}")
        return host

    def _admit(self, pipeline: str, size: Size, frame: str) -> PipelineHost:
        host = self._host(pipeline)
        try:
            check_size(host.system, size, frame)
        except ValueError as error:
            raise EngineError(f"the pipeline {pipeline!r}: {error}") from error
        running = [Face(slot.pipeline, slot.sizes[0]) for slot in self._slots.values()]
        self._costs.check(Face(pipeline, size), running)
        return host

    def _slot(self, peer: Peer, stream: int) -> Slot | None:
        return self._slots.get(stream) if self._peers.get(stream) is peer else None

    def _open_slot(self, peer: Peer, stream: int) -> Slot:
        slot = self._slot(peer, stream)
        if slot is None:
            raise EngineError("the stream has ended")
        return slot

    def _close(self, slot: Slot) -> None:
        if self._slots.pop(slot.stream, None) is not None:
            del self._peers[slot.stream]
            self._scheduler.remove(slot)
            self._hosts[slot.pipeline].give_back(slot.row)

    def _expected_s(self, sizes: Sequence[Size]) -> float:
        names = [slot.pipeline for slot in self._scheduler.slots.values()]
        faces = [Face(name, size) for name, size in zip(names, sizes, strict=True)]
        return self._costs.expected_s(faces)

    def _expected_latency_s(self) -> float:
        """On a CPU every stream may have to wait for all the others."""
        step_s = self._stepper.drawing_s.at(0.95)
        if step_s is None:
            return HOP_S / 2
        return min(HOP_S, step_s * (len(self._slots) if self._at_once == 1 else 1))

    # What steps give

    def _deliver(self, result: StepResult) -> None:
        turn, host = result.turn, result.host
        slot, batch = turn.slot, host.memory.batches[result.batch]
        start, peer = turn.hop.start - slot.look_ahead, self._peers.get(slot.stream)
        if start < 0 or peer is None:  # before the beginning; or gone while others were told
            return
        drawn = bool(batch.drawn[slot.row])
        place = (host.name, result.batch, slot.row)
        message = wire.pack_frame(
            wire.FrameMessage(
                stream=slot.stream,
                start=start,
                behaviour=int(batch.behaviour[slot.row]),
                drawn=drawn,
                memory=host.number,
                batch=result.batch,
                row=slot.row,
                width=turn.size[0],
                height=turn.size[1],
                wait_s=result.wait_s,
                step_s=result.step_s,
                rung=self._scheduler.rung,
                skipped=slot.skipped,
                dropped=slot.dropped,
                motion=batch.motion[slot.row],
            )
        )
        if drawn:
            host.memory.taken[place[1:]] = True
            self._readers[place] = peer
        if not peer.send(message) and drawn:
            host.memory.give_back(*place[1:])

    def _step_failed(self, slot: Slot, error: Exception) -> None:
        peer = self._peers.get(slot.stream)
        if peer is None:  # gone while others were told
            return
        self._close(slot)
        reason = f"the avatar cannot be drawn any more: {in_words(error)}"
        peer.send(wire.pack(wire.ENDED, wire.Ended(slot.stream, reason)), must=True)
