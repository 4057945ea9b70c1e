"""What the inference process prepares yields to streams, and to nothing else. Real threads."""

import os
import threading
from concurrent.futures import Future
from queue import SimpleQueue

import pytest

from realtime.engine.preparing import NICE, PreparingThread
from tests.realtime.test_engine_desk import Bench
from tests.support.engines import PATIENCE_S

pytestmark = pytest.mark.skipif(os.nice(0) >= NICE, reason="everything yields as much here")


def niceness() -> int:
    """Of the thread that asks."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


class Jobs:
    """A thread under test, and a queue of what its jobs gave."""

    def __init__(self) -> None:
        self.thread = PreparingThread("prepare")
        self._done: SimpleQueue[Future[int]] = SimpleQueue()

    def begin(self, work=niceness) -> None:
        self.thread.submit(work, self._done.put)

    def end(self) -> int:
        result = self._done.get(timeout=PATIENCE_S).result()
        self.thread.finished()
        return result


@pytest.fixture
def jobs():
    jobs = Jobs()
    yield jobs
    jobs.thread.close()


def test_nothing_yields_where_there_are_no_streams(jobs):
    jobs.begin()
    assert jobs.end() == os.nice(0)


def test_what_is_under_way_yields_when_a_stream_begins(jobs):
    begun, go_on = threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return niceness()

    jobs.begin(work)
    assert begun.wait(PATIENCE_S)
    jobs.thread.yield_to_streams()
    go_on.set()
    assert jobs.end() == NICE


def test_what_begins_beside_streams_yields(jobs):
    jobs.thread.yield_to_streams()
    jobs.begin()
    assert jobs.end() == NICE


def test_what_comes_after_the_last_stream_does_not(jobs):
    jobs.thread.yield_to_streams()
    jobs.begin(threading.get_native_id)
    jobs.thread.stop_yielding()
    jobs.begin(threading.get_native_id)  # the first is under way: never two at once
    first = {jobs.end(), jobs.end()}
    assert len(first) == 1
    jobs.begin()
    assert jobs.end() == os.nice(0)
    jobs.begin(threading.get_native_id)
    assert jobs.end() not in first


def test_faces_are_prepared_at_once_for_the_first_stream_and_beside_the_others_for_the_next(
    tmp_path,
):
    bench = Bench(tmp_path, "cpu")
    found: list[int] = []
    prepare = bench.host.pipeline.prepare

    def watched(*args) -> None:
        found.append(niceness())
        prepare(*args)

    bench.host.pipeline.prepare = watched
    streams = [bench.open(), bench.open()]
    for opened in streams:
        bench.call("close", opened.stream)
    bench.open()
    assert found == [os.nice(0), NICE, os.nice(0)]
