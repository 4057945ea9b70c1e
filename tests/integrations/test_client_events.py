"""Every listener gets every event, in order, whenever it begins to listen."""

import asyncio
import json

from vivavoce_client.events import KEPT, Feed


async def collect(feed: Feed, count: int = 0) -> list[int]:
    return [event["n"] async for event in feed.since(count)]


def add(feed: Feed, *numbers: int) -> None:
    for number in numbers:
        feed.add(json.dumps({"type": "stats", "n": number}))


async def test_one_who_comes_late_gets_what_was_told_before():
    feed = Feed()
    add(feed, 0, 1)
    early = asyncio.create_task(collect(feed))
    await asyncio.sleep(0)
    add(feed, 2)
    late = asyncio.create_task(collect(feed, 2))
    await asyncio.sleep(0)
    add(feed, 3, 4)
    feed.end()
    assert await early == [0, 1, 2, 3, 4]
    assert await late == [2, 3, 4]


async def test_what_is_no_event_is_ignored():
    feed = Feed()
    for message in ("{", "7", "[]", '{"type": 3}', '{"n": 1}', b"\xff\xfe", None, 5):
        feed.add(message)
    add(feed, 7)
    feed.end()
    assert await collect(feed) == [7]


async def test_only_so_many_are_kept():
    feed = Feed()
    add(feed, *range(KEPT + 5))
    feed.end()
    assert await collect(feed) == list(range(5, KEPT + 5))
    assert await collect(feed, KEPT + 4) == [KEPT + 4]


async def test_one_who_is_slow_goes_on_with_what_is_kept():
    feed = Feed()
    add(feed, 0)
    events = feed.since()
    assert (await anext(events))["n"] == 0
    add(feed, *range(1, KEPT + 10))
    assert (await anext(events))["n"] == 10
