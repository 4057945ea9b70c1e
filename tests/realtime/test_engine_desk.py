"""The inference process's work without the process: batches as on a GPU, peers that misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from pipelines.graph import CudaGraphs, Eager, graphs_of
from pipelines.identity import IdentityCache, IdentityStore
from realtime.engine import wire
from realtime.engine.config import EngineConfig
from realtime.engine.costs import make_costs
from realtime.engine.desk import InferenceDesk
from realtime.engine.handle import StreamRequest
from realtime.engine.turns import WaitingHop
from realtime.errors import AtCapacity, EngineError, VivavoceError
from realtime.media import HOP_SAMPLES
from tests.support.engines import LARGE, MEDIUM, PATIENCE_S, EchoOptions, face

import vivavoce_echo  # isort: skip - found by what the line above does


class Peer:
    """Keeps what it is sent; may have room for no more."""

    def __init__(self) -> None:
        self.replies: dict[int, wire.Reply] = {}
        self.frames: list[wire.FrameMessage] = []
        self.ended: list[wire.Ended] = []
        self.memories: set[int] = set()
        self.full = False
        self.on_send: Callable[[], None] = lambda: None

    def send(self, message: bytes, descriptors: Any = (), *, must: bool = False) -> bool:
        self.on_send()
        if self.full and not must:
            return False
        kind = message[:1]
        if kind == wire.FRAME:
            self.frames.append(wire.unpack_frame(message))
        elif kind == wire.ENDED:
            self.ended.append(wire.unpack(message))
        elif kind == wire.REPLY:
            reply = wire.unpack(message)
            self.replies[reply.number] = reply
        return True


class Bench:
    """A desk whose posts and steps are run by hand."""

    def __init__(self, folder: Any, device: str, **settings: Any) -> None:
        chosen = {"slots": 4, "max_sessions": 100, "load_share": 1e6} | settings
        config = EngineConfig(pipelines=(), identities=folder, **chosen)
        self.posts: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.costs = make_costs(config, device, 64.0)
        cache = IdentityCache(IdentityStore(folder), 1 << 20)
        self.desk = InferenceDesk(config, device, self.costs, cache, self.posts.put)
        self.peer: Any = Peer()
        self.key = face(folder, 77)
        self._number = 0
        self.call("load", "echo", EchoOptions())
        self.host = self.desk._hosts["echo"]
        self.steps: list[list[int]] = []  # rows drawn by each
        self.host.pipeline = self._watched(self.host.pipeline)

    def _watched(self, pipeline: Any) -> Any:
        step = pipeline.step

        def watched(batch: Any) -> None:
            step(batch)
            self.steps.append(np.flatnonzero(batch.draw).tolist())

        pipeline.step = watched
        return pipeline

    def call(self, method: str, *args: Any, peer: Any = None) -> Any:
        peer = peer or self.peer
        self._number += 1
        self.desk.call(peer, wire.Call(self._number, method, args))
        deadline = time.monotonic() + PATIENCE_S
        while self._number not in peer.replies and time.monotonic() < deadline:
            if not self.posts.empty():
                self.next_post()
            self.desk.work()
        reply = peer.replies[self._number]
        if isinstance(reply.error, VivavoceError):
            raise reply.error
        return reply.value

    def next_post(self) -> None:
        """Run what a thread of the desk has posted, or will."""
        self.posts.get(timeout=PATIENCE_S)()

    def open(self, peer: Any = None) -> wire.Opened:
        opened: wire.Opened = self.call("open", StreamRequest("echo", self.key, LARGE), peer=peer)
        return opened

    def read(self, picture: Any) -> None:
        """As a reader does when it has copied a picture."""
        self.host.memory.give_back(picture.batch, picture.row)

    def hear(self, opened: wire.Opened, n: int, level: float = 0.5, peer: Any = None) -> None:
        samples = np.full(HOP_SAMPLES, level, np.float32)
        hop = WaitingHop((n + 2) * HOP_SAMPLES, samples, False, time.monotonic())
        self.desk.hear(peer or self.peer, opened.stream, hop)

    def work(self) -> None:
        while self.desk.work() or self.desk.rest_s() is not None:  # until a hop is not waited for
            pass


@pytest.fixture
def gpu(tmp_path):
    return Bench(tmp_path, "cuda")


@pytest.fixture
def cpu(tmp_path):
    return Bench(tmp_path, "cpu")


def test_on_a_gpu_one_step_draws_all_whose_hop_has_come(gpu):
    streams = [gpu.open() for _ in range(4)]
    for opened in streams[:3]:
        gpu.hear(opened, 0)
    gpu.work()
    assert gpu.steps == [[0, 1, 2]]
    assert [f.stream for f in gpu.peer.frames] == [s.stream for s in streams[:3]]
    assert all(f.drawn for f in gpu.peer.frames)


def test_on_a_cpu_each_face_has_a_step_of_its_own(cpu):
    streams = [cpu.open() for _ in range(3)]
    for opened in streams:
        cpu.hear(opened, 0)
    cpu.work()
    assert cpu.steps == [[0], [1], [2]]


def test_whoever_makes_a_batch_fail_is_found_and_the_others_go_on(gpu):
    streams = [gpu.open() for _ in range(4)]
    for n, opened in enumerate(streams):
        gpu.hear(opened, 0, level=0.95 if n == 2 else 0.1 * n)
    gpu.work()
    assert [e.stream for e in gpu.peer.ended] == [streams[2].stream]
    assert gpu.peer.ended[0].reason.endswith("RuntimeError: too loud")
    assert [f.stream for f in gpu.peer.frames] == [streams[n].stream for n in (0, 1, 3)]
    assert [f.motion[0] for f in gpu.peer.frames] == pytest.approx([0.0, 0.1, 0.3])
    gpu.open()  # its row is free again


def test_several_failures_in_a_row_are_the_process_s_own(gpu):
    streams = [gpu.open() for _ in range(3)]
    for opened in streams:
        gpu.hear(opened, 0, level=0.95)
    with pytest.raises(EngineError, match="3 steps failed"):
        gpu.work()


def test_warming_up_on_a_gpu_measures_batches(gpu):
    gpu.call("warm_up", "echo", gpu.key, LARGE)
    sizes = [f"{width}x{height}" for width, height in gpu.host.system.sizes]
    drawn = {f"echo draw {size} x {n}" for size in sizes for n in (1, 2, 4)}
    assert set(gpu.costs.describe()) == {"echo step"} | drawn
    for _ in range(4):  # every row is free again
        gpu.open()


def test_warming_up_tells_what_the_first_session_begins_with(tmp_path):
    bench = Bench(tmp_path, "cpu")
    for size, cpu_s in ((LARGE, 0.030), (MEDIUM, 0.020)):
        bench.costs.stepped("echo", [size], cpu_s, 2 * cpu_s)
    bench.call("warm_up", "echo", bench.key, LARGE)  # its steps take next to nothing
    assert bench.call("pulse").first_sizes == {"echo": MEDIUM}
    assert bench.call("pulse").machine.cores > 0


def test_encoders_that_come_late_are_given_smaller_pictures(cpu):
    opened = cpu.open()
    cpu.read(opened)
    late = wire.EncodingTimes(LARGE, 25, 0.004, 0.036)
    for n, times in enumerate(([], [late._replace(pictures=1)], [late])):
        cpu.desk.call(cpu.peer, wire.Call(0, "encoded", (times,)))
        cpu.hear(opened, n)
        cpu.work()
        cpu.read(cpu.peer.frames[-1])
    assert [f.size for f in cpu.peer.frames] == [LARGE, LARGE, MEDIUM]


def test_a_gpu_admits_what_its_measured_batches_allow(tmp_path):
    bench = Bench(tmp_path, "cuda", load_share=1.0, slots=40)
    for n in (1, 2, 4, 8, 16, 32, 40):
        bench.costs.stepped("echo", [LARGE] * n, 0.0, 0.020 * n)
    assert len([bench.open() for _ in range(2)]) == 2
    with pytest.raises(AtCapacity, match="a step over 3 faces would take 60 ms"):
        bench.open()
    with pytest.raises(AtCapacity):
        bench.call("check", "echo", LARGE)


def test_a_peer_that_is_full_keeps_no_place(gpu):
    opened = gpu.open()
    gpu.read(opened)
    gpu.peer.full = True
    for n in range(5):
        gpu.hear(opened, n)
        gpu.work()
    assert len(gpu.steps) == 5
    assert all(drawn == [opened.row] for drawn in gpu.steps)
    assert not gpu.host.memory.taken.any()


def test_a_peer_that_goes_leaves_its_places_and_rows(gpu):
    other: Any = Peer()
    stays = gpu.open()
    opened = [gpu.open(other) for _ in range(3)]
    for stream in opened:
        gpu.hear(stream, 0, peer=other)
    gpu.work()
    assert gpu.host.memory.taken.sum() == 7  # four stills, three pictures
    gpu.desk.gone(other)
    assert gpu.host.memory.taken.sum() == 1
    gpu.read(stays)
    again = [gpu.open() for _ in range(3)]
    assert len({stays.row, *(o.row for o in again)}) == 4
    gpu.hear(opened[0], 1, peer=other)
    gpu.hear(stays, 0, peer=other)  # not its own
    gpu.work()
    assert not gpu.peer.frames


def test_a_picture_that_outlives_its_stream_stays_until_it_is_read(gpu):
    old = gpu.open()
    gpu.read(old)
    gpu.hear(old, 0, level=0.2)
    gpu.work()
    (picture,) = gpu.peer.frames
    gpu.call("close", old.stream)
    others = [gpu.open() for _ in range(4)]
    new = next(o for o in others if o.row == old.row)
    assert new.batch != picture.batch
    gpu.read(new)
    for n in range(4):
        gpu.hear(new, n, level=0.8)
        gpu.work()
    planes = gpu.host.memory.batches[picture.batch].planes
    assert planes[picture.row, 0] == 51
    assert [f.drawn for f in gpu.peer.frames[1:]] == [True, False, False, False]


def test_opening_ends_with_its_peer(gpu):
    other: Any = Peer()
    gpu.desk.call(other, wire.Call(1, "open", (StreamRequest("echo", gpu.key, LARGE),)))
    gpu.desk.gone(other)
    gpu.next_post()
    assert not other.replies
    for _ in range(4):
        gpu.open()


def test_a_peer_found_gone_while_it_is_welcomed_leaves_nothing(gpu):
    other: Any = Peer()
    other.on_send = lambda: gpu.desk.gone(other)
    gpu.desk.call(other, wire.Call(1, "open", (StreamRequest("echo", gpu.key, LARGE),)))
    gpu.next_post()
    assert not gpu.desk._streams.scheduler.slots
    assert not gpu.host.memory.taken.any()
    for _ in range(4):
        gpu.open()


def test_a_step_that_fails_for_a_peer_found_gone_ends_nothing_else(gpu):
    other: Any = Peer()
    stays, first, second = gpu.open(), gpu.open(other), gpu.open(other)
    other.on_send = lambda: gpu.desk.gone(other)
    step = gpu.host.pipeline.step

    def refuse(batch: Any) -> None:
        if batch.active[second.row]:
            raise RuntimeError("no such face")
        step(batch)

    gpu.host.pipeline.step = refuse
    gpu.hear(first, 0, peer=other)
    gpu.hear(second, 0, peer=other)
    gpu.hear(stays, 0)
    gpu.work()
    assert [frame.stream for frame in gpu.peer.frames] == [stays.stream]


def test_waiting_for_service_ends_when_it_begins(gpu):
    other: Any = Peer()
    gpu.desk.call(other, wire.Call(1, "await_service", ()))
    assert not other.replies
    gpu.call("serve")
    assert other.replies[1].error is None
    gpu.call("await_service")


def test_pipelines_are_built_with_graphs_unless_told_otherwise(tmp_path, monkeypatch):
    seen: list[type] = []
    build = vivavoce_echo.EchoSystem.build
    monkeypatch.setattr(CudaGraphs, "__init__", lambda self, device: None)  # needs a card

    def watched(self, *args):
        seen.append(type(graphs_of("cuda")))
        return build(self, *args)

    monkeypatch.setattr(vivavoce_echo.EchoSystem, "build", watched)
    for graphs in (True, False):
        Bench(tmp_path, "cuda", graphs=graphs)
    assert seen == [CudaGraphs, Eager]


def test_a_pipeline_is_told_of_rows_that_nobody_watches(cpu):
    released: list[int] = []
    cpu.host.pipeline.release = released.append
    first, second = cpu.open(), cpu.open()
    assert released == []
    cpu.call("close", first.stream)
    assert released == [first.row]
    cpu.call("close", second.stream)
    assert released == [first.row, second.row]
