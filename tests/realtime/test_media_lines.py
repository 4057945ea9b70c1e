"""What the front and its media processes share, without processes: lines, sums, tables, faces."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import cv2
import numpy as np
import pytest
from prometheus_client import generate_latest

from pipelines.pipeline import Material
from realtime.access.caller import LOCAL, Caller, acting
from realtime.access.table import find_call
from realtime.avatars.collection import Collection
from realtime.avatars.records import Record, write_record
from realtime.config import ServerConfig
from realtime.cores import cores, is_cores, stay_on
from realtime.engine.supervisor import EngineAddress
from realtime.errors import AtCapacity, EngineError, SessionLost, UnknownAvatar, UnknownSession
from realtime.http.app import create_app
from realtime.media_processes.avatars import SharedAvatars
from realtime.media_processes.handover import is_of_sessions
from realtime.media_processes.host import MediaHost, MediaSettings
from realtime.media_processes.line import Line
from realtime.media_processes.process import create_media_app
from realtime.media_processes.said_caller import read_caller, say_caller
from realtime.media_processes.totals import Sums, families_of
from realtime.media_processes.whereabouts import Whereabouts
from realtime.metrics import Metrics
from tests.realtime.test_access import walk


@asynccontextmanager
async def lines(
    here: dict[str, Callable[..., Any]], there: dict[str, Callable[..., Any]]
) -> AsyncIterator[tuple[Line, Line, asyncio.Task[None]]]:
    """Two ends, and the hearing of the first."""
    ends, hearing = (Line(here), Line(there)), []
    for end, sock in zip(ends, socket.socketpair(), strict=True):
        await end.open(sock)
        hearing.append(asyncio.create_task(end.run()))
    yield *ends, hearing[0]
    for task in hearing:
        task.cancel()
    await asyncio.gather(*hearing, return_exceptions=True)


async def test_both_ends_of_a_line_call_and_are_refused_as_if_they_were_one():
    async def slow(n: int) -> int:
        await asyncio.sleep(0.01)
        return n + 1

    def full() -> None:
        raise AtCapacity("no room", 7)

    said: list[str] = []
    async with lines({"slow": slow}, {"full": full, "say": said.append}) as (here, there, _):
        assert await asyncio.gather(*(there.call("slow", n) for n in range(20))) == [*range(1, 21)]
        with pytest.raises(Exception, match="no room") as refused:
            await here.call("full")
        assert (refused.value.code, refused.value.status) == ("at_capacity", 503)
        assert refused.value.headers == {"Retry-After": "7"}
        with pytest.raises(Exception, match="KeyError") as unknown:
            await here.call("nothing")
        assert unknown.value.status == 500
        for word in "abc":
            here.tell("say", word)
        await here.call("say", "d")
        assert said == ["a", "b", "c", "d"]  # in their order


async def test_a_call_fails_when_the_other_end_goes_or_says_nothing():
    for_ever = asyncio.Event()
    async with lines({}, {"wait": for_ever.wait}) as (here, there, hearing):
        with pytest.raises(EngineError, match="did not answer 'wait' in time"):
            await here.call("wait", timeout_s=0.01)
        waiting = asyncio.create_task(here.call("wait"))
        await asyncio.sleep(0)
        there._close()
        with pytest.raises(EngineError, match="has ended"):
            await waiting
        await hearing  # returns
        with pytest.raises(EngineError, match="has ended"):
            await here.call("wait")
        here.tell("wait")  # nobody minds


def test_sums_are_of_all_and_never_fall():
    first, second, front = Metrics(), Metrics(), Metrics()
    for metrics, count in ((first, 2), (second, 3)):
        metrics.sessions.labels("64").set(count)
        metrics.frames.labels("sent").inc(10 * count)
        for _ in range(count):
            metrics.stage_ms.labels("step").observe(7)
    front.rung.set(2)
    ended = Sums()
    ended.add(families_of(second.registry), ended=True)
    sums = Sums(families_of(front.registry))
    sums.add(ended.families())
    sums.add(families_of(first.registry))
    page = generate_latest(sums).decode().splitlines()
    for line in (
        'vivavoce_sessions{size="64"} 2.0',  # those of the second have ended with it
        'vivavoce_frames_total{fate="sent"} 50.0',
        'vivavoce_stage_milliseconds_bucket{le="6.0",stage="step"} 0.0',
        'vivavoce_stage_milliseconds_bucket{le="8.0",stage="step"} 5.0',
        'vivavoce_stage_milliseconds_count{stage="step"} 5.0',
        'vivavoce_stage_milliseconds_sum{stage="step"} 35.0',
        "vivavoce_degradation_rung 2.0",
    ):
        assert page.count(line) == 1, line
    alone = [line for line in generate_latest(front.registry).decode().splitlines() if "#" in line]
    assert [line for line in page if "#" in line] == [x for x in alone if "_created" not in x]


def test_a_lost_session_is_told_to_its_owner_alone():
    alice, bob = (Caller(kind="key", owner=name, key=name) for name in ("alice", "bob"))
    table: Whereabouts[object] = Whereabouts()
    here, there = object(), object()
    for session, who, place in (("a", alice, here), ("b", bob, there), ("c", alice, there)):
        with acting(who):
            table.add(session, place)
    assert (len(table), table.at(there)) == (3, ["b", "c"])
    assert table.lose(there) == 2
    assert (len(table), table.at(there)) == (1, [])
    with acting(alice):
        assert table.find("a") is here
        for session, error in (("b", UnknownSession), ("c", SessionLost), ("d", UnknownSession)):
            with pytest.raises(error):
                table.find(session)
    with acting(bob), pytest.raises(SessionLost, match="media process"):
        table.find("b")
    table.remove("a")
    table.remove("a")
    with acting(alice), pytest.raises(UnknownSession):
        table.find("a")


@pytest.mark.parametrize(
    "who",
    [
        LOCAL,
        Caller(kind="token", owner="Zoë", key="k", scopes=frozenset({"view"}), session="s", dies=9),
    ],
    ids=lambda who: who.kind,
)
def test_who_asks_is_the_same_in_a_media_process(who):
    with acting(who):
        name, value = say_caller()
    assert value.isascii()
    assert (name.lower(), read_caller(value)) == (name, who)
    assert read_caller(value).dies in (9, inf)


def test_calls_about_sessions_are_handed_over_and_no_others(tmp_path):
    config = ServerConfig(data_dir=tmp_path)
    host = MediaHost(MediaSettings(config, EngineAddress(b"nobody", b""), ""))
    with socket.socket() as unused:
        theirs = set(walk(create_media_app(host, unused).routes))
    assert ("WS", "/v1/sessions/{session_id}/events") in theirs
    for method, path in walk(create_app(config).routes):
        call = find_call(method, path)
        assert call is not None
        assert is_of_sessions(call) == ((method, path) in theirs), (method, path)


@pytest.fixture
def shared(tmp_path) -> tuple[ServerConfig, SharedAvatars]:
    cast = tmp_path / "cast"
    cast.mkdir()
    cv2.imwrite(str(cast / "anna.png"), np.zeros((8, 8, 3), np.uint8))
    config = ServerConfig(cast_dir=cast, data_dir=tmp_path / "data")

    async def ensure(avatar: str, pipeline: str) -> str:
        return f"{avatar} for {pipeline}"

    return config, SharedAvatars(config, ensure)


async def test_uploads_are_known_as_soon_as_they_are_kept_and_no_longer(shared):
    config, avatars = shared
    assert avatars.default("portrait").id == "anna"
    assert await avatars.ensure(avatars.get("ANNA"), "portrait") == "anna for portrait"
    folder = config.data_dir / "avatars"
    folder.mkdir(parents=True)
    for number in range(3):  # also several within one tick of the folder's time
        photo = folder / f"guest{number}.jpg"
        photo.write_bytes(b"picture")
        record = Record(name="Guest", material=Material(photo=photo), owner="bob")
        write_record(folder / f"guest{number}.json", record)
        with acting(Caller(kind="key", owner="bob", key="b")):
            assert avatars.get(f"guest{number}").material.photo == photo
        with acting(Caller(kind="key", owner="alice", key="a")), pytest.raises(UnknownAvatar):
            avatars.get(f"guest{number}")
        (folder / f"guest{number}.json").unlink()
    os.utime(folder)
    with pytest.raises(UnknownAvatar):
        avatars.get("guest0")


async def test_names_of_no_avatar_have_nothing_read_again(shared, monkeypatch):
    config, avatars = shared
    folder = config.data_dir / "avatars"
    folder.mkdir(parents=True)
    os.utime(folder, (1e9, 1e9))
    assert avatars.default("portrait").id == "anna"
    read = []

    class Counted(Collection):
        def __init__(self, config: ServerConfig) -> None:
            read.append(config)
            super().__init__(config)

    monkeypatch.setattr("realtime.media_processes.avatars.Collection", Counted)
    for _ in range(3):
        with pytest.raises(UnknownAvatar):
            avatars.get("gpt-realtime")
    assert not read
    photo = folder / "guest.jpg"
    photo.write_bytes(b"picture")
    write_record(folder / "guest.json", Record(name="Guest", material=Material(photo=photo)))
    assert avatars.get("guest").material.photo == photo
    assert len(read) == 1


def test_cores_are_named_as_taskset_names_them():
    assert cores("2-4,7") == {2, 3, 4, 7}
    assert cores("") == set()
    assert all(map(is_cores, ("", "0", "2-4,7")))
    assert not any(map(is_cores, (",", "a", "1-", "1-2-3", "1, 2")))
    with pytest.raises(ValueError, match="media_cores"):
        dataclasses.replace(ServerConfig(), media_cores="all")


def test_a_thread_stays_on_the_cores_that_there_are():
    found: list[set[int]] = []
    there = os.sched_getaffinity(0)

    def run(text: str) -> None:
        stay_on(text)
        found.append(os.sched_getaffinity(0))

    first = min(there)
    for text in (str(first), f"{first},9999", "9998-9999", ""):
        thread = threading.Thread(target=run, args=(text,))
        thread.start()
        thread.join()
    assert found == [{first}, {first}, there, there]
    assert os.sched_getaffinity(0) == there
