"""Seats of two media processes are the front's to give: it knows whose are empty in both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.support.media_processes import (
    AS_ALICE,
    AS_BOB,
    Running,
    eventually,
    told,
    two_media_processes,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with two_media_processes(folder, "sessions_per_key = 3\nunclaimed_s = 240.0") as process:
        running = Running(process)
        async with running.http:
            yield running


async def ask(server: Running, who: dict[str, str]) -> tuple[int, str]:
    """Status, and the session or why there is none."""
    answer = await server.http.post("/v1/sessions", json={"audio": "push"}, headers=who)
    said = answer.json()
    return answer.status_code, said["id"] if answer.status_code == 201 else said["error"]["code"]


async def test_a_session_that_nobody_came_to_gives_way_in_another_process(server):
    async with AsyncExitStack() as stack:
        made = [(await ask(server, who))[1] for who in (AS_ALICE, AS_BOB, AS_ALICE, AS_BOB)]
        where = {each["name"]: each["sessions"] for each in await server.media()}
        assert list(where.values()) == [2, 2]  # Alice's in the first, Bob's in the second
        for session in made[::2]:
            socket = await stack.enter_async_context(
                server.socket(f"/v1/sessions/{session}/events")
            )
            await told(socket, "session.created")
        status, fifth = await ask(server, AS_ALICE)  # of as few in both, the first is asked
        assert status == 201
        assert await server.counts() == [3, 1]
        there = [(await server.http.get(f"/v1/sessions/{id}", headers=AS_BOB)) for id in made[1::2]]
        assert [answer.status_code for answer in there] == [404, 200]
        for session, who in ((fifth, AS_ALICE), (made[3], AS_BOB)):
            await server.http.delete(f"/v1/sessions/{session}", headers=who)

    async def empty() -> bool:
        return await server.counts() == [0, 0]

    await eventually(empty)


async def test_a_key_has_no_more_sessions_than_it_may_in_all_processes(server):
    token = (await server.http.post("/v1/tokens", json={"expires_s": 3600})).json()["token"]
    bearing = {"authorization": f"Bearer {token}"}
    made = [await ask(server, who) for who in (AS_ALICE, bearing, AS_ALICE)]
    assert [status for status, _ in made] == [201, 201, 201]
    assert sorted(await server.counts()) == [1, 2]
    assert await ask(server, bearing) == (429, "too_many_sessions")
    assert (await server.http.post("/api/offer", json={"sdp": "x", "type": "offer"})).json()[
        "error"
    ]["code"] == "too_many_sessions"
    status, bobs = await ask(server, AS_BOB)
    assert status == 201
    await server.http.delete(f"/v1/sessions/{made[0][1]}")
    status, again = await ask(server, AS_ALICE)
    assert status == 201
    lines = (await server.http.get("/metrics")).text.splitlines()
    assert 'vivavoce_sessions_refused_total{reason="too_many_sessions"} 2.0' in lines
    for _, session in (*made[1:], (0, again)):
        await server.http.delete(f"/v1/sessions/{session}")
    await server.http.delete(f"/v1/sessions/{bobs}", headers=AS_BOB)
    assert await server.counts() == [0, 0]
