"""Steps that begin before what the one before made has arrived, as on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.batch import Batch
from pipelines.photo.framing import largest_sizes
from pipelines.pipeline import StepsAhead, UnderWay
from realtime.errors import EngineError
from tests.realtime.test_engine_desk import Bench


class Ahead:
    """A pipeline whose pictures arrive when they are waited for."""

    def __init__(self, inner: Any, sizes: Any) -> None:
        self._inner = inner
        self._sizes = sizes
        self.log: list[str] = []
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin(self, batch: Batch) -> UnderWay:
        number = sum(line.startswith("begin") for line in self.log)
        self.log.append(f"begin {number}")
        made = Batch.of(batch.slots, self._sizes, batch.motion.shape[1])
        made.memory[:] = batch.memory
        self._inner.step(made)
        batch.drawn[:] = made.drawn
        rows, heard = np.flatnonzero(made.drawn), np.flatnonzero(made.active)

        def arrive() -> None:
            self.log.append(f"arrive {number}")
            if self.broken:
                raise RuntimeError("the device was lost")
            batch.planes[rows] = made.planes[rows]
            batch.motion[heard] = made.motion[heard]

        return UnderWay(lambda: self.log.append(f"computed {number}"), arrive)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path, "cuda")
    made.desk._streams.scheduler._step_s = lambda pipeline, sizes: 0.0  # waits for no hop
    made.host.pipeline = Ahead(made.host.pipeline, largest_sizes(made.host.system))
    assert isinstance(made.host.pipeline, StepsAhead)
    return made


def levels(bench: Bench) -> list[float]:
    return [round(float(frame.motion[0]), 2) for frame in bench.peer.frames]


def test_a_step_begins_before_the_last_has_arrived(bench):
    opened = bench.open()
    bench.read(opened)
    for n in range(3):
        bench.hear(opened, n, level=0.1 * n)
        assert bench.desk.work()
        assert bench.desk.work()  # until it is computed
        for frame in bench.peer.frames:
            bench.read(frame)
    assert levels(bench) == [0.0, 0.1]
    assert bench.desk.work()
    assert not bench.desk.work()
    assert levels(bench) == [0.0, 0.1, 0.2]
    assert bench.host.pipeline.log == [
        "begin 0", "computed 0", "begin 1", "arrive 0", "computed 1", "begin 2", "arrive 1",
        "computed 2", "arrive 2",
    ]  # fmt: skip


def test_hops_that_come_while_a_step_is_computed_are_in_the_next_one(bench):
    """Else they would have steps of their own, one after the other."""
    streams = [bench.open() for _ in range(3)]
    for opened in streams:
        bench.read(opened)
    bench.hear(streams[0], 0)
    assert bench.desk.work()
    bench.hear(streams[1], 0)  # it has begun, and the card is busy with it
    assert bench.desk.work()
    bench.hear(streams[2], 0)
    bench.work()
    assert bench.steps == [[streams[0].row], [streams[1].row, streams[2].row]]


def test_pictures_arrive_at_once_where_nothing_else_waits(bench):
    opened = bench.open()
    bench.hear(opened, 0)
    bench.work()
    assert bench.host.pipeline.log == ["begin 0", "computed 0", "arrive 0"]
    assert [frame.drawn for frame in bench.peer.frames] == [True]


def test_a_batch_on_its_way_is_not_written_to(bench):
    """Each of two streams has its steps in turn; pictures stay unread."""
    one, two = bench.open(), bench.open()
    for opened in (one, two):
        bench.read(opened)
    bench.hear(one, 0, level=0.2)
    bench.desk.work()
    bench.desk.work()
    bench.hear(two, 0, level=0.4)
    bench.work()
    first, second = bench.peer.frames
    assert first.batch != second.batch
    for frame, shade in ((first, 51), (second, 102)):
        assert bench.host.memory.batches[frame.batch].planes[frame.row, 0] == shade


def test_a_row_that_is_given_away_meanwhile_has_its_own_picture(bench):
    """Its old picture is still on its way to it."""
    old = bench.open()
    others = [bench.open() for _ in range(3)]
    bench.read(old)
    bench.hear(old, 0, level=0.2)
    bench.desk.work()
    assert bench.host.pipeline.log == ["begin 0"]
    bench.desk.call(bench.peer, _close(old.stream))
    new = bench.host.take_row()
    assert new == old.row
    batch = bench.host.draw_still(new, old.size)
    still = bench.host.memory.batches[batch].planes[new].copy()
    bench.work()
    assert np.array_equal(bench.host.memory.batches[batch].planes[new], still)
    assert not bench.peer.frames
    assert len(others) == 3


def test_a_clear_that_comes_while_a_step_is_under_way_is_kept(bench):
    opened = bench.open()
    bench.hear(opened, 0)
    bench.desk.work()
    bench.desk.clear(bench.peer, opened.stream)
    bench.work()
    assert bench.desk._streams.get(bench.peer, opened.stream).clearing


def test_a_device_that_is_lost_ends_the_process(bench):
    streams = [bench.open() for _ in range(3)]
    bench.host.pipeline.broken = True
    for opened in streams:
        bench.hear(opened, 0)
    with pytest.raises(EngineError, match="3 steps failed"):
        bench.work()


def _close(stream: int) -> Any:
    from realtime.engine import wire

    return wire.Call(0, "close", (stream,))
