"""Waiting: for time, and for something to happen before it."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from realtime.clock import Alarm, MonotonicClock, VirtualClock
from realtime.cursor import Cursor
from tests.support.fakes import ManualClock, settle


async def test_virtual_time_jumps_to_what_is_waited_for() -> None:
    clock = VirtualClock(5.0)
    await clock.sleep_until(1e6)
    assert clock.now() == 1e6
    await clock.sleep_until(3.0)
    assert clock.now() == 1e6
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(clock.sleep_until(inf), 0.01)


async def test_an_alarm_rings_at_its_deadline_or_when_it_is_told() -> None:
    clock = ManualClock(0.0)
    alarm = Alarm(clock)
    woken: list[float] = []

    async def sleep() -> None:
        for deadline in (1.0, 2.0, inf, 4.0):
            await alarm.wait(deadline)
            woken.append(clock.now())

    task = asyncio.create_task(sleep())
    await clock.advance(1.5)
    alarm.ring()
    alarm.ring()
    await clock.advance(1.5)
    alarm.ring()
    await clock.advance(0.0)
    alarm.ring()
    await task
    assert woken == [1.0, 1.5, 3.0, 3.0]


async def test_a_ring_before_the_wait_is_not_lost() -> None:
    alarm = Alarm(ManualClock())
    alarm.ring()
    await alarm.wait(inf)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(alarm.wait(inf), 0.01)


async def test_waiting_for_an_alarm_can_be_cancelled() -> None:
    task = asyncio.create_task(Alarm(MonotonicClock()).wait(inf))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cursor_gives_what_was_put_and_then_ends() -> None:
    cursor: Cursor[int] = Cursor(3)
    for n in range(5):
        cursor.put(n)
    assert (len(cursor), cursor.full, cursor.dropped) == (3, True, 2)
    reading = asyncio.create_task(_read(cursor))
    await settle()
    cursor.put(9)
    cursor.end()
    cursor.put(10)
    assert await reading == [2, 3, 4, 9]


async def test_a_closed_cursor_gives_nothing_more() -> None:
    cursor: Cursor[int] = Cursor(3)
    cursor.put(1)
    cursor.close()
    assert await _read(cursor) == []
    assert cursor.closed
    with pytest.raises(ValueError, match="at least one"):
        Cursor(0)


async def _read(cursor: Cursor[int]) -> list[int]:
    return [item async for item in cursor]
