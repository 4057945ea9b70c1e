"""Two media processes, their engine and front, of which one is killed or answers no more: what
ends with it is told, and all else goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import numpy as np
import psutil
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from tests.support.engines import until
from tests.support.media_processes import (
    AS_BOB,
    PATIENCE_S,
    Running,
    Viewer,
    eventually,
    told,
    two_media_processes,
)
from tests.support.sockets import Talker

pytestmark = pytest.mark.asyncio(loop_scope="module")
SPOKEN_S = 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory) -> AsyncIterator[Running]:
    with two_media_processes(tmp_path_factory.mktemp("server")) as process:
        running = Running(process)
        async with running.http:
            yield running


async def test_sessions_everywhere_hear_of_the_end_of_the_inference_process(server):
    async def settled() -> bool:
        return await server.counts() == [0, 0]

    await eventually(settled)
    media = {each["pid"] for each in await server.media()}
    sessions = [await server.open(), await server.open()]
    assert await server.counts() == [1, 1]
    sockets = [await server.socket(f"/v1/sessions/{session}/events") for session in sessions]
    for child in psutil.Process(server.process.process.pid).children():
        if child.pid not in media and "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    for socket in sockets:
        assert (await told(socket, "error"))["error"]["code"] == "engine_unavailable"
        async for _ in socket:
            pass
        assert socket.close_code == 1000
    await eventually(settled)

    async def opens_in_both() -> bool:
        made = [await server.http.post("/v1/sessions", json={"audio": "push"}) for _ in range(2)]
        both = await server.counts() == [1, 1]
        for answer in made:
            if answer.status_code == 201:
                await server.http.delete(answer.headers["location"])
        return both

    await eventually(opens_in_both)
    assert {each["pid"] for each in await server.media()} == media


async def test_a_killed_process_takes_its_own_sessions_only_and_is_replaced(server):
    async def empty() -> bool:
        return await server.counts() == [0, 0]

    await eventually(empty)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        lost = await enter(server.session())
        [victim] = [each for each in await server.media() if each["sessions"]]
        kept = await enter(server.session())
        assert await server.counts() == [1, 1]
        viewer = Viewer(stack)
        await viewer.watch(server, kept)
        speaker = Talker(await server.socket(f"/v1/sessions/{kept}/audio?rate=8000"))
        stack.push_async_callback(speaker.close)
        await speaker.told("session.created")
        await speaker.socket.send((4_000 * np.ones(8_000 * SPOKEN_S, np.int16)).tobytes())
        await speaker.say("input_audio_buffer.commit")
        told_lost = [
            await enter(server.socket(f"/v1/sessions/{lost}/{kind}"))
            for kind in ("audio", "events")
        ]
        await until(lambda: len(viewer.voice) > 50)
        os.kill(victim["pid"], signal.SIGKILL)
        for socket in told_lost:
            assert (await told(socket, "error"))["error"]["code"] == "session_lost"
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd.code == 1012

        async def replaced() -> bool:
            media = await server.media()
            states = [each["state"] for each in media]
            return victim["pid"] not in [each["pid"] for each in media] and states == ["ready"] * 2

        await eventually(replaced)
        heard, stats = len(viewer.voice), len(speaker.of("stats"))
        for call in (server.http.get, server.http.delete):
            gone = await call(f"/v1/sessions/{lost}")
            assert gone.status_code == 410
            assert gone.json()["error"]["code"] == "session_lost"
            assert "media process" in gone.json()["error"]["message"]
        assert (await server.http.get(f"/v1/sessions/{lost}", headers=AS_BOB)).status_code == 404
        async with server.session() as new:  # where there is none
            assert await server.counts() == [1, 1]
            assert (await server.http.get(f"/v1/sessions/{new}")).status_code == 200
            await until(lambda: len(viewer.voice) > heard + 50)
        assert (await server.http.get(f"/v1/sessions/{kept}")).json()["parties"] == 2
        await speaker.told("stats", stats + 1)
        assert viewer.is_whole()
        stopped = await speaker.told("output_audio_buffer.stopped")
        assert stopped["played_ms"] == 1_000 * SPOKEN_S
        assert not speaker.of("error")
    ended = 'vivavoce_sessions_ended_total{reason="media_process_ended"} 1.0'
    assert ended in (await server.http.get("/metrics")).text


async def test_sigterm_lets_sessions_end_and_leaves_nothing(server):
    family = server.process.family()
    first, second = await server.open(), await server.open()
    sockets = [await server.socket(f"/v1/sessions/{session}/events") for session in (first, second)]
    server.process.process.send_signal(signal.SIGTERM)
    for socket in sockets:
        assert (await told(socket, "error"))["error"]["code"] == "session_ending"
    refused = await server.http.post("/v1/sessions", json={"audio": "push"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
    counted = 'vivavoce_sessions_refused_total{reason="draining"} 1.0'
    assert counted in (await server.http.get("/metrics")).text
    assert (await server.http.get("/ready")).status_code == 503
    assert (await server.http.get(f"/v1/sessions/{first}")).status_code == 200
    for socket, session in zip(sockets, (first, second), strict=True):
        assert (await server.http.delete(f"/v1/sessions/{session}")).status_code == 204
        async for _ in socket:  # until it is closed as it should be
            pass
        assert socket.close_code == 1000
    assert await asyncio.to_thread(server.process.process.wait, PATIENCE_S) == 0
    assert not psutil.wait_procs(family, PATIENCE_S)[1]
    [audit] = (server.process.log_path.parent / "audit").glob("*.jsonl")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    noted = {(line["what"], line.get("who"), line["status"]) for line in lines}
    assert ("WS /v1/sessions/{session}/events", "alice", 101) in noted
    assert ("GET /v1/sessions/{session}", "bob", 404) in noted
    opened = [line for line in lines if line["what"] == "POST /v1/sessions"]
    assert f"/v1/sessions/{first}" in [line.get("made") for line in opened]
    server.http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(204)))


@pytest.mark.slow
async def test_one_that_answers_no_more_is_replaced(tmp_path):
    with two_media_processes(tmp_path, "drain_timeout_s = 1") as process:
        server = Running(process)
        async with server.http:
            lost = await server.open()
            [still] = [each["pid"] for each in await server.media() if each["sessions"]]
            socket = await server.socket(f"/v1/sessions/{lost}/events")
            os.kill(still, signal.SIGSTOP)
            kept = await server.open()  # in the other one
            assert (await told(socket, "error"))["error"]["code"] == "session_lost"
            assert (await server.http.get(f"/v1/sessions/{lost}")).status_code == 410
            assert (await server.http.get(f"/v1/sessions/{kept}")).status_code == 200

            async def replaced() -> bool:
                states = {each["pid"]: each["state"] for each in await server.media()}
                return still not in states and [*states.values()] == ["ready"] * 2

            await eventually(replaced)
            family = process.family()
            assert await asyncio.to_thread(process.stop, PATIENCE_S) == 0  # whoever talks on
            assert not psutil.wait_procs(family, PATIENCE_S)[1]


@pytest.mark.slow
async def test_a_killed_front_leaves_no_process(tmp_path):
    with two_media_processes(tmp_path) as process:
        family = process.family()
        assert len(family) >= 4
        process.process.kill()
        _, alive = psutil.wait_procs(family[1:], PATIENCE_S)
        assert not alive
