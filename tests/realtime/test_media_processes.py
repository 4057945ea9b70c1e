"""Sessions in two media processes: each call reaches the one that has its session."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import av
import numpy as np
import pytest
import pytest_asyncio
from websockets.exceptions import InvalidStatus

from benchmarks.service.peer import AvatarClient
from tests.support.engines import until
from tests.support.media_processes import (
    AS_ALICE,
    AS_BOB,
    Running,
    eventually,
    join,
    told,
    two_media_processes,
)
from tests.support.sockets import Talker
from tests.support.sounds import SPEECH
from tests.support.whip import FRAGMENT, SDP, player, publisher

pytestmark = pytest.mark.asyncio(loop_scope="module")
BASE = os.getpriority(os.PRIO_PROCESS, 0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory) -> AsyncIterator[Running]:
    with two_media_processes(tmp_path_factory.mktemp("server")) as process:
        running = Running(process)
        async with running.http:
            yield running


async def test_sessions_are_spread_and_found_by_their_owners_alone(server):
    async with AsyncExitStack() as stack:
        ids = [await stack.enter_async_context(server.session()) for _ in range(4)]
        assert await server.counts() == [2, 2]
        for session in ids:
            where = f"/v1/sessions/{session}"
            assert (await server.http.get(where)).json()["id"] == session
            changed = await server.http.patch(where, json={"avatar": "bert"})
            assert (changed.status_code, changed.json()["avatar"]) == (200, "bert")
            for answer in (
                await server.http.get(where, headers=AS_BOB),
                await server.http.delete(where, headers=AS_BOB),
            ):
                assert (answer.status_code, answer.json()["error"]["code"]) == (
                    404,
                    "unknown_session",
                )
        one_too_many = await server.http.post("/v1/sessions", json={"audio": "push"})
        assert one_too_many.status_code == 503
        assert one_too_many.json()["error"]["code"] == "at_capacity"
        assert one_too_many.headers["retry-after"]
        assert (await server.http.get("/ready")).status_code == 503
        assert await server.counts() == [2, 2]
    assert await server.counts() == [0, 0]
    assert (await server.http.get("/ready")).json() == {"status": "ready"}


async def test_metrics_are_sums(server):
    async def read() -> dict[str, float]:
        lines = (await server.http.get("/metrics")).text.splitlines()
        named = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        assert len({name for name, _, _ in named}) == len(named)  # each once
        return {name: float(value) for name, _, value in named}

    before = await read()
    async with server.session(), server.session():
        assert await server.counts() == [1, 1]
        during = await read()
        assert during['vivavoce_sessions{size="64x36"}'] == 2
    after = await read()
    opened = "vivavoce_sessions_opened_total"
    assert after[opened] == during[opened] == before.get(opened, 0) + 2
    assert after['vivavoce_sessions{size="64x36"}'] == 0
    ended = 'vivavoce_sessions_ended_total{reason="deleted"}'
    assert after[ended] == before.get(ended, 0) + 2
    assert after['vivavoce_sessions_refused_total{reason="at_capacity"}'] >= 1
    assert after["vivavoce_degradation_rung"] == 0


async def test_sockets_and_tickets_reach_the_owner(server):
    async with server.session() as first, server.session() as second:
        assert await server.counts() == [1, 1]
        for session in (first, second):
            where = f"/v1/sessions/{session}"
            ticket = (await server.http.post(f"{where}/tickets")).json()["ticket"]
            by_ticket = server.socket(f"{where}/events?ticket={ticket}", additional_headers={})
            async with by_ticket as events, server.socket(f"{where}/audio?rate=16000") as audio:
                assert (await told(events, "session.created"))["session"]["id"] == session
                assert (await told(audio, "session.created"))["session"]["id"] == session
                with pytest.raises(InvalidStatus) as refused:
                    await server.socket(f"{where}/audio?rate=7")
                assert refused.value.response.status_code == 400
                assert json.loads(refused.value.response.body)["error"]["code"] == "bad_request"
                await audio.send((8_000 * np.ones(16_000, np.int16)).tobytes())
                await audio.send(json.dumps({"type": "input_audio_buffer.commit"}))
                assert await told(events, "output_audio_buffer.started")
                assert (await told(audio, "output_audio_buffer.stopped"))["played_ms"] == 1_000
            for wrong in (f"{where}/events?ticket={ticket}", f"{where}/nothing"):
                with pytest.raises(InvalidStatus) as refused:
                    await server.socket(wrong, additional_headers={})
                assert refused.value.response.status_code == 401


async def test_a_recording_comes_through_the_front(server):
    async with server.session() as session:
        where = f"/v1/sessions/{session}"
        recording = server.socket(f"{where}/recording")
        async with recording as file, server.socket(f"{where}/audio?rate=16000") as audio:
            await audio.send((8_000 * np.ones(32_000, np.int16)).tobytes())
            first, second = [await file.recv() for _ in range(2)]
            await file.send("stop")
            *rest, last = [message async for message in file]
    front = base64.b64decode(json.loads(last)["front"])
    assert b"\x1a\x45\xdf\xa3" == first[:4] == front[:4]
    with av.open(io.BytesIO(front + second + b"".join(rest))) as container:
        assert container.duration > 1_000_000


async def test_peers_are_answered_and_watched_where_their_session_is(server):
    """A microphone by WHIP in one process, an offer in the other; viewers of both."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        speaker = await enter(publisher())
        first = await join(server, speaker, "/whip/anna")
        caller = AvatarClient(SPEECH, keep_frames=False, decode=False)
        stack.push_async_callback(caller.close)

        async def post(offer: dict[str, Any]) -> dict[str, Any]:
            return (await server.http.post("/v1/sessions", json=offer)).raise_for_status().json()

        await caller.connect(post, "bert")
        second = caller.session["id"]
        assert await server.counts() == [1, 1]
        for session in (first, second):
            viewer = await enter(player("video"))
            assert await join(server, viewer, f"/whep/{session}") == session
            await until(lambda viewer=viewer: len(viewer.frames["video"]) >= 2)
            assert await server.niceness() == {BASE, max(BASE, 3)}  # encoders, and all else
            patched = await server.http.patch(
                viewer.location, content=viewer.fragment, headers=FRAGMENT
            )
            assert patched.status_code == 204, patched.text
            assert (await server.http.get(f"/v1/sessions/{session}")).json()["parties"] == 2
            assert (await server.http.delete(viewer.location)).status_code == 200
            assert (await server.http.get(viewer.location)).status_code == 404
        assert (await server.http.options(f"/whep/{second}")).headers["accept-post"] == SDP[
            "content-type"
        ]
        assert (await server.http.delete(speaker.location)).status_code == 200
        assert (await server.http.delete(f"/v1/sessions/{second}")).status_code == 204

        async def empty() -> bool:
            return await server.counts() == [0, 0]

        await eventually(empty)


async def test_other_dialects_reach_the_owner_too(server):
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        openai = await enter(server.socket("/v1/realtime?model=bert"))
        assert (await told(openai, "session.created"))["session"]
        pipecat = await enter(player("audio", "video", direction="sendrecv"))
        offer = {"sdp": await pipecat.offer(), "type": "offer"}
        answer = (await server.http.post("/api/offer", json=offer)).json()
        assert await server.counts() == [1, 1]
        again = {**offer, "pc_id": answer["pc_id"]}
        assert (await server.http.post("/api/offer", json=again)).json() == answer
        assert await server.counts() == [1, 1]  # the same one
        candidates = {"pc_id": answer["pc_id"], "candidates": []}
        assert (await server.http.patch("/api/offer", json=candidates)).status_code == 200
        stranger = await enter(player("audio", "video", direction="sendrecv"))
        late = {"sdp": await stranger.offer(), "type": "offer", "pc_id": "ended.long-ago"}
        another = (await server.http.post("/api/offer", json=late)).json()["pc_id"]
        assert sum(await server.counts()) == 3  # one more, in place of the one that has ended
        where = f"/v1/sessions/{another.split('.')[0]}"
        assert (await server.http.delete(where)).status_code == 204
        candidates["pc_id"] = "nobody.nothing"
        assert (await server.http.patch("/api/offer", json=candidates)).status_code == 404
        session = answer["pc_id"].split(".")[0]
        hung_up = await server.http.post(f"/v1/realtime/calls/{session}/hangup")
        assert hung_up.status_code == 200
        assert await server.counts() == [1, 0]


async def test_a_pipeline_that_a_session_names_is_loaded(server):
    wrong = await server.http.post("/v1/sessions", json={"audio": "push", "pipeline": "dreams"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "unknown_pipeline")
    said: set[tuple[int, str]] = set()

    async def opened() -> bool:
        wanted = {"audio": "push", "pipeline": "echo2"}
        answer = await server.http.post("/v1/sessions", json=wanted)
        if answer.status_code == 201:
            await server.http.delete(answer.headers["location"])
            return True
        error = answer.json()["error"]
        said.add((answer.status_code, error["code"]))
        return False

    await eventually(opened)
    assert said <= {(503, "pipeline_not_loaded"), (503, "starting")}
    assert (503, "pipeline_not_loaded") in said


async def test_what_runs_by_a_token_ends_with_it(server):
    async def settled() -> bool:
        return await server.counts() == [0, 0]

    await eventually(settled)
    wish = {"scopes": ["open", "view"], "expires_s": 3600}
    token = (await server.http.post("/v1/tokens", json=wish)).json()["token"]
    bearing = {"authorization": f"Bearer {token}"}
    sockets = []
    async with server.session() as own:
        answer = await server.http.post("/v1/sessions", json={"audio": "push"}, headers=bearing)
        session = answer.json()["id"]
        assert await server.counts() == [1, 1]
        for which, who in ((own, AS_ALICE), (own, bearing), (session, AS_ALICE)):
            where = f"/v1/sessions/{which}/events"
            sockets.append(Talker(await server.socket(where, additional_headers=who)))
            await sockets[-1].told("session.created")
        taken_back = await server.http.delete("/v1/tokens", headers=bearing)
        assert taken_back.status_code == 204
        for talker in sockets[1:]:
            assert (await talker.told("error"))["error"]["code"] == "session_ending"
            await talker._reading  # until it is closed
        assert (await server.http.get(f"/v1/sessions/{session}")).status_code == 404
        assert (await server.http.get(f"/v1/sessions/{own}")).json()["parties"] == 1
        assert not sockets[0].of("error")
        await sockets[0].close()
