"""Sessions in two media processes: each call reaches its owner, and one that is killed is replaced.

Real processes; waits are for what must happen, however long a busy machine takes for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import pytest_asyncio
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks.service.browser import ServerProcess
from benchmarks.service.peer import AvatarClient
from tests.support.engines import until
from tests.support.media_processes import AS_ALICE, AS_BOB, two_media_processes
from tests.support.sockets import Talker
from tests.support.sounds import SPEECH
from tests.support.whip import FRAGMENT, SDP, HttpPeer, player, publisher

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE_S = 240.0
SPOKEN_S = 12
BASE = os.getpriority(os.PRIO_PROCESS, 0)


class Running:
    """A server with two media processes, as Alice sees it."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.http = httpx.AsyncClient(
            base_url=process.url,
            headers=AS_ALICE,
            timeout=120.0,
            limits=httpx.Limits(max_keepalive_connections=0),  # the server closes idle ones
        )

    async def media(self) -> list[dict[str, Any]]:
        """What `/health` says of the media processes."""
        found: list[dict[str, Any]] = (await self.http.get("/health")).json()["media_processes"]
        return found

    async def counts(self) -> list[int]:
        return [each["sessions"] for each in await self.media()]

    async def niceness(self) -> set[int]:
        """Of the threads of all media processes."""
        tasks = [Path(f"/proc/{each['pid']}/task") for each in await self.media()]
        threads = [int(thread.name) for folder in tasks for thread in folder.iterdir()]
        return {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}

    async def open(self) -> str:
        """A session that speech is pushed to."""
        answer = await self.http.post("/v1/sessions", json={"audio": "push"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    @asynccontextmanager
    async def session(self) -> AsyncIterator[str]:
        """The same, ended at the end unless it has been."""
        session = await self.open()
        yield session
        await self.http.delete(f"/v1/sessions/{session}")

    def socket(self, path: str, **options: Any) -> Any:
        """A WebSocket with Alice's key, or with other `additional_headers`."""
        url = self.process.url.replace("http", "ws") + path
        return websockets.connect(url, **{"additional_headers": AS_ALICE} | options)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory) -> AsyncIterator[Running]:
    with two_media_processes(tmp_path_factory.mktemp("server")) as process:
        running = Running(process)
        async with running.http:
            yield running


class Viewer:
    """A WHEP player that writes down which packets of the voice came."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.voice: dict[int, int] = {}
        """Sequence numbers and RTP times."""
        self._stack = stack

    async def watch(self, server: Running, session: str) -> None:
        peer = await self._stack.enter_async_context(player())
        await join(server, peer, f"/whep/{session}")
        [receiver] = [r for r in peer.connection.getReceivers() if r.track.kind == "audio"]
        handle = receiver._handle_rtp_packet

        async def note(packet: Any, arrival_time_ms: int) -> None:
            self.voice[packet.sequence_number] = packet.timestamp
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = note

    def is_whole(self) -> bool:
        """Whether media time went on without a gap, whatever the network has lost."""
        steps = {
            (self.voice[number] - self.voice[number - 1]) % 2**32
            for number in self.voice
            if number - 1 in self.voice
        }
        return steps == {960}


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.1)


async def join(server: Running, peer: HttpPeer, where: str) -> str:
    """Offer as Alice; the session of the answer."""
    peer.answer = await server.http.post(
        where, content=await peer.offer(), headers={"content-type": SDP["content-type"]}
    )
    assert peer.answer.status_code == 201, peer.answer.text
    await peer.accept(peer.answer.text)
    return peer.location.split("/")[2]


async def told(socket: Any, type: str) -> dict[str, Any]:
    """The next event of a type."""
    async with asyncio.timeout(PATIENCE_S):
        while (event := json.loads(await socket.recv()))["type"] != type:
            pass
    return event


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
