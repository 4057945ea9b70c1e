"""Enrolment takes second place beside sessions, and to nothing else. Real processes."""

import asyncio
import dataclasses
import os

import pytest

from realtime.avatars.process import NICE
from tests.support.uploads import LIMIT_S, enrolled, photo, reached, video

pytestmark = pytest.mark.skipif(os.nice(0) >= NICE, reason="everything yields as much here")


@pytest.fixture
def config(config):
    return dataclasses.replace(config, max_avatars=9)


def niceness(process) -> set[int]:
    """Of all threads of an enrolment process."""
    threads = os.listdir(f"/proc/{process.pid}/task")
    return {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in threads}


async def test_what_is_under_way_yields_when_a_session_begins(library, gate):
    gate.open(0)
    avatar = await library.create(video(), wait_s=LIMIT_S)
    await reached(gate, 0)
    videos = library._features._videos
    assert niceness(videos) == {os.nice(0)}
    library.yield_to_sessions()
    assert niceness(videos) == {NICE}
    library.stop_yielding()
    assert niceness(videos) == {NICE}  # that is not to be taken back
    gate.open()
    await enrolled(library, avatar)


async def test_what_comes_after_the_last_session_waits_for_nobody(library, gate):
    gate.open()
    await library.create(photo("One"), wait_s=LIMIT_S)
    photos = library._features._photos
    first = photos.pid
    library.yield_to_sessions()
    assert niceness(photos) == {os.nice(0)}  # it does nothing, and nobody is disturbed
    library.stop_yielding()
    await library.create(photo("Two", 40), wait_s=LIMIT_S)
    assert photos.pid == first
    library.yield_to_sessions()
    await library.create(photo("Three", 140), wait_s=LIMIT_S)
    assert (photos.pid, niceness(photos)) == (first, {NICE})
    library.stop_yielding()
    await library.create(photo("Four", 190), wait_s=LIMIT_S)
    assert niceness(photos) == {os.nice(0)}
    assert photos.pid != first


async def test_a_process_that_starts_beside_a_session_yields(library, gate):
    library.yield_to_sessions()
    gate.open(0)
    creating = asyncio.create_task(library.create(photo(), wait_s=LIMIT_S))
    await reached(gate, 0)
    assert niceness(library._features._photos) == {NICE}
    gate.open()
    await creating
