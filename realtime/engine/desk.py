"""What media processes ask of the inference process: streams, pipelines, costs."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

from pipelines.identity import IdentityCache, IdentityFeatures
from pipelines.photo.framing import SQUARE, check_size, framed, rungs
from pipelines.pipeline import Size
from realtime.engine import wire
from realtime.engine.config import EngineConfig
from realtime.engine.costs import Costs
from realtime.engine.handle import StreamRequest
from realtime.engine.host import PipelineHost, in_words
from realtime.engine.media_costs import Face
from realtime.engine.peers import Peer
from realtime.engine.stepper import Stepper
from realtime.engine.streams import Streams
from realtime.engine.turns import Slot, WaitingHop
from realtime.engine.warm_up import WarmUps
from realtime.errors import EngineError, NotReady, VivavoceError
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
        self._memories = itertools.count(1)
        self._at_once = config.slots if device == "cuda" else 1
        self._streams = Streams(self._hosts, costs, self._at_once)
        self._stepper = Stepper(
            self._streams.scheduler, costs, self._hosts, self._streams.deliver, self._streams.fail
        )
        self._warm_ups = WarmUps(costs, self._stepper.drawing_s, self._at_once)
        self._serving = False
        self._awaiting: list[Answer] = []

    def work(self) -> bool:
        """Make a step of the streams, else of a warm-up; False where there is nothing to do.

        Raises:
            EngineError: nothing can be stepped any more.
        """
        if self._stepper.step():
            return True
        under_way = self._warm_ups.first()
        if under_way is None:
            return False
        self._answering(under_way.answer, lambda: next(under_way.steps))
        return True

    def rest_s(self) -> float | None:
        """After `work` found nothing to do: seconds until there will be something, if nothing is
        heard until then; None: nothing will."""
        return self._stepper.rest_s()

    # What streams say

    def hear(self, peer: Peer, stream: int, hop: WaitingHop) -> None:
        """Queue a hop."""
        if (slot := self._streams.find(peer, stream)) is not None:
            slot.put(hop)

    def clear(self, peer: Peer, stream: int) -> None:
        """Forget what a stream has said and not shown."""
        if (slot := self._streams.find(peer, stream)) is not None:
            slot.clear()

    def gone(self, peer: Peer) -> None:
        """End everything of a peer."""
        self._streams.gone(peer)

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
                len(self._streams),
                self._streams.scheduler.rung,
                self._costs.describe(),
                self._warm_ups.machine,
                self._warm_ups.first_sizes,
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
        self._streams.have_yield([host])

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
            self._warm_ups.add(host, identity, sizes, answer)

        self._prepare(host, key, SQUARE, tuple(host.system.sizes), answer, prepared)

    def do_check(
        self, peer: Peer, answer: Answer, pipeline: str, size: Size, frame: str = SQUARE
    ) -> None:
        """Say whether a stream could be opened."""
        self._admit(pipeline, size, frame)
        answer(None)

    def do_open(self, peer: Peer, answer: Answer, request: StreamRequest) -> None:
        """Open a stream: its row is taken at once, its face comes when it is prepared."""
        host = self._admit(request.pipeline, request.size, request.frame)
        slot = self._streams.take(peer, host, request.size, request.frame)

        def prepared(identity: IdentityFeatures) -> None:
            if slot not in self._streams:  # its peer has gone meanwhile
                return
            host.pipeline.reset(slot.row, request.seed)
            self._show(host, slot, identity)
            if request.controls:
                host.pipeline.set_controls(slot.row, dict(request.controls))
            place = self._streams.welcome(peer, slot)
            if place is not None:
                answer(self._opened(slot, *place))

        def refuse(error: Any) -> None:
            self._streams.close(slot)
            answer(error)

        self._prepare(host, request.key, slot.frame, (slot.asked,), refuse, prepared)

    def _show(self, host: PipelineHost, slot: Slot, identity: IdentityFeatures) -> None:
        """Give a slot a prepared face, and the sizes that it has in the slot's frame."""
        sizes = rungs(host.system, identity, slot.asked)
        host.pipeline.set_identity(slot.row, identity, sizes[0])
        slot.sizes = sizes

    def _opened(self, slot: Slot, memory: int, batch: int) -> wire.Opened:
        return wire.Opened(
            stream=slot.stream,
            memory=memory,
            batch=batch,
            row=slot.row,
            look_ahead=slot.look_ahead,
            expected_latency_s=self._expected_latency_s(),
            size=slot.sizes[0],
        )

    def _expected_latency_s(self) -> float:
        """On a CPU every stream may have to wait for all the others."""
        step_s = self._stepper.drawing_s.at(0.95)
        if step_s is None:
            return HOP_S / 2
        return min(HOP_S, step_s * (len(self._streams) if self._at_once == 1 else 1))

    def do_close(self, peer: Peer, answer: Answer, stream: int) -> None:
        """Give a stream's row back."""
        if (slot := self._streams.find(peer, stream)) is not None:
            self._streams.close(slot)
        answer(None)

    def do_set_identity(self, peer: Peer, answer: Answer, stream: int, key: str) -> None:
        """Change the face of a stream; answers the largest size of its pictures from now on."""
        slot = self._streams.get(peer, stream)
        host = self._hosts[slot.pipeline]

        def prepared(identity: IdentityFeatures) -> None:
            if slot in self._streams:
                self._show(host, slot, identity)
            answer(slot.sizes[0])

        self._prepare(host, key, slot.frame, (slot.asked,), answer, prepared)

    def do_set_controls(
        self, peer: Peer, answer: Answer, stream: int, values: dict[str, float]
    ) -> None:
        """Change the controls of a stream."""
        slot = self._streams.get(peer, stream)
        self._hosts[slot.pipeline].pipeline.set_controls(slot.row, values)
        answer(None)

    def do_encoded(self, peer: Peer, answer: Answer, times: list[wire.EncodingTimes]) -> None:
        """Take in what encoding took in the last second."""
        for each in times:
            for _ in range(min(each.pictures, 1000)):
                self._costs.encoded(each.size, each.cpu_s, each.wall_s)
        if any(each.pictures >= SEVERAL and each.wall_s > ENCODER_SHARE * HOP_S for each in times):
            self._streams.scheduler.encoders_late(time.monotonic())

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
        self._costs.check(Face(pipeline, size), self._streams.faces())
        return host
