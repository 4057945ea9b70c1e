"""The streams of the inference process: whose each is, where it is drawn, what it is sent."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence

from pipelines.pipeline import Size
from realtime.engine import wire
from realtime.engine.costs import Costs
from realtime.engine.host import PipelineHost, in_words
from realtime.engine.media_costs import Face
from realtime.engine.peers import Peer
from realtime.engine.scheduler import Scheduler
from realtime.engine.stepper import StepResult
from realtime.engine.turns import Slot
from realtime.errors import AtCapacity, EngineError


class Streams:
    """Gives streams their rows and peers their pictures, and takes both back.

    A stream is opened by `take` and steps from `welcome` on.

    Args:
        hosts: the loaded pipelines by name.
        at_once: streams that one step may draw.
    """

    def __init__(self, hosts: Mapping[str, PipelineHost], costs: Costs, at_once: int) -> None:
        self._hosts = hosts
        self._costs = costs
        self._numbers = itertools.count(1)
        self._slots: dict[int, Slot] = {}
        self._peers: dict[int, Peer] = {}  # stream -> whose it is
        self._readers: dict[tuple[str, int, int], Peer] = {}  # of the picture in a place
        self.scheduler = Scheduler(at_once, self._expected_s, self._step_s)
        """Of the streams that step."""

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, slot: Slot) -> bool:
        return slot.stream in self._slots

    def faces(self) -> list[Face]:
        """What all of them draw."""
        return [Face(slot.pipeline, slot.sizes[0]) for slot in self._slots.values()]

    def find(self, peer: Peer, stream: int) -> Slot | None:
        """A stream that is open and the peer's own."""
        return self._slots.get(stream) if self._peers.get(stream) is peer else None

    def get(self, peer: Peer, stream: int) -> Slot:
        """The same.

        Raises:
            EngineError: there is none.
        """
        slot = self.find(peer, stream)
        if slot is None:
            raise EngineError("the stream has ended")
        return slot

    # Life

    def take(self, peer: Peer, host: PipelineHost, size: Size, frame: str) -> Slot:
        """Take a row for a new stream.

        Raises:
            AtCapacity: there is none.
        """
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

    def welcome(self, peer: Peer, slot: Slot) -> tuple[int, int] | None:
        """Draw the still picture of a stream that has its face, and have it step from now on; the
        numbers of its memory and of the batch that holds the still. None: its peer has gone."""
        host = self._hosts[slot.pipeline]
        if host.number not in peer.memories:
            peer.memories.add(host.number)
            memory = wire.Memory(host.number, host.memory.layout)
            peer.send(wire.pack(wire.MEMORY, memory), (host.descriptor,), must=True)
        if slot not in self:  # that told us that its peer has gone
            return None
        begin, cpu = time.monotonic(), time.thread_time()
        batch = host.draw_still(slot.row, slot.sizes[0])
        if not self.scheduler.slots:
            self._costs.begin(time.thread_time() - cpu, time.monotonic() - begin)
        self._readers[host.name, batch, slot.row] = peer
        self.scheduler.add(slot)
        self.have_yield(self._hosts.values())
        return host.number, batch

    def close(self, slot: Slot) -> None:
        """Give a stream's row back. Safe to call again."""
        if self._slots.pop(slot.stream, None) is not None:
            del self._peers[slot.stream]
            self.scheduler.remove(slot)
            self._hosts[slot.pipeline].give_back(slot.row)
            self.have_yield(self._hosts.values())

    def gone(self, peer: Peer) -> None:
        """End everything of a peer."""
        for stream in [s for s, owner in self._peers.items() if owner is peer]:
            self.close(self._slots[stream])
        for place in [p for p, reader in self._readers.items() if reader is peer]:
            del self._readers[place]
            self._hosts[place[0]].memory.give_back(*place[1:])

    def have_yield(self, hosts: Iterable[PipelineHost]) -> None:
        """Have what `hosts` build and prepare yield to streams that step, if there are any."""
        for host in hosts:
            if self.scheduler.slots:
                host.preparing.yield_to_streams()
            else:
                host.preparing.stop_yielding()

    def _expected_s(self, sizes: Sequence[Size]) -> float:
        names = [slot.pipeline for slot in self.scheduler.slots.values()]
        faces = [Face(name, size) for name, size in zip(names, sizes, strict=True)]
        return self._costs.expected_s(faces)

    def _step_s(self, pipeline: str, sizes: Sequence[Size]) -> float:
        return self._costs.hop_s([Face(pipeline, size) for size in sizes])

    # What steps give

    def deliver(self, result: StepResult) -> None:
        """Send a stream what a step made for it."""
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
                rung=self.scheduler.rung,
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

    def fail(self, slot: Slot, error: Exception) -> None:
        """End a stream that cannot be stepped."""
        peer = self._peers.get(slot.stream)
        if peer is None:  # gone while others were told
            return
        self.close(slot)
        reason = f"the avatar cannot be drawn any more: {in_words(error)}"
        peer.send(wire.pack(wire.ENDED, wire.Ended(slot.stream, reason)), must=True)
