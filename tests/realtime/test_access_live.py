"""A running server with two keys: what belongs to one does not exist for the other."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
import pytest_asyncio

from benchmarks.service.peer import AvatarClient
from realtime.access.caller import Caller, acting
from realtime.access.keys import new_key
from realtime.session_request import SessionRequest
from tests.realtime.conftest import RunningServer, running
from tests.support.peers import until
from tests.support.sounds import SPEECH

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALICE, BOB = new_key("alice"), new_key("bob")
AS_ALICE, AS_BOB = ({"authorization": f"Bearer {secret}"} for _, secret in (ALICE, BOB))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(config) -> AsyncIterator[RunningServer]:
    keys = " ".join(f"{key.name}:{key.hash}" for key, _ in (ALICE, BOB))
    rates = {"rate_per_address": "100000/second", "rate_wrong_keys": "100000/second"}
    async with running(dataclasses.replace(config, api_keys=keys, **rates)) as server:
        yield server


async def mint(server: RunningServer, **wish: object) -> httpx.Response:
    return await server.http.post("/v1/tokens", json=wish, headers=AS_ALICE)


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def open_session(server: RunningServer, headers: dict[str, str]) -> tuple[str, AvatarClient]:
    """A session with a connected peer."""
    client = AvatarClient(SPEECH)

    async def post(offer: dict[str, object]) -> dict[str, object]:
        answer = await server.http.post("/v1/sessions", json=offer, headers=headers)
        answer.raise_for_status()
        said: dict[str, object] = answer.json()
        return said

    await client.connect(post)
    return str(client.session["id"]), client


async def test_without_a_key_there_is_health_and_the_page_and_nothing_else(server):
    for path in ("/health", "/ready", "/", "/main.js", "/v1/openapi.json"):
        assert (await server.http.get(path)).status_code == 200
    for path in ("/v1/avatars", "/v1/pipelines", "/metrics", "/v1/ice-servers", "/v1/none"):
        answer = await server.http.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="vivavoce"'
        assert answer.json()["error"]["code"] == "unauthorized"
        assert (await server.http.get(path, headers=AS_ALICE)).status_code in (200, 404)


async def test_tokens_are_minted_used_and_taken_back(server):
    made = await mint(server, scopes=["open", "view"], expires_s=60)
    assert made.status_code == 201, made.text
    token = bearing(made.json()["token"])
    assert made.json()["expires_at"].endswith("Z")
    http = server.http
    assert (await http.get("/v1/avatars", headers=token)).status_code == 200
    assert (await http.get("/metrics", headers=token)).status_code == 403
    assert (
        await http.post("/v1/tokens", json={"scopes": ["view"]}, headers=token)
    ).status_code == 403
    assert (await http.delete("/v1/tokens", headers=token)).status_code == 204
    assert (await http.get("/v1/avatars", headers=token)).status_code == 401
    others = [(await mint(server, scopes=["open"])).json()["token"] for _ in range(2)]
    assert (await http.delete("/v1/tokens", headers=AS_ALICE)).status_code == 204
    for other in others:
        assert (await http.get("/v1/avatars", headers=bearing(other))).status_code == 401


@pytest.mark.parametrize(
    "wish",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": ["view"], "expires_s": 86_401},
        {"scopes": ["view"], "expires_s": 1},
        {"scopes": ["view"], "more": 1},
        {"scopes": ["open"], "session": "none"},
    ],
)
async def test_tokens_that_are_not_minted(server, wish):
    answer = await mint(server, **wish)
    assert answer.status_code in (400, 404), answer.text


async def test_a_session_is_its_owners(server):
    session, client = await open_session(server, AS_ALICE)
    try:
        where = f"/v1/sessions/{session}"
        http = server.http
        assert (await http.get(where, headers=AS_ALICE)).status_code == 200
        for call in (http.get, http.delete):
            foreign = await call(where, headers=AS_BOB)
            missing = await call("/v1/sessions/none", headers=AS_BOB)
            assert foreign.status_code == missing.status_code == 404
            assert foreign.text.replace(session, "none") == missing.text
        view = (await mint(server, scopes=["view"], session=session)).json()["token"]
        assert (await http.get(where, headers=bearing(view))).status_code == 200
        assert (await http.delete(where, headers=bearing(view))).status_code == 403
        tickets = f"{where}/tickets"
        made = await http.post(tickets, headers=AS_ALICE)
        assert made.json().keys() == {"ticket", "expires_at"}
        assert (await http.post(tickets, headers=AS_BOB)).status_code == 404
        stray = await http.post(
            "/v1/tokens", json={"scopes": ["view"], "session": session}, headers=AS_BOB
        )
        assert stray.status_code == 404
        assert (await http.delete(where, headers=AS_ALICE)).status_code == 204
        assert (await http.get(where, headers=bearing(view))).status_code == 404
    finally:
        await client.close()


async def test_an_upload_is_its_owners(server, cast_dir):
    http, photo = server.http, next(cast_dir.glob("*.png")).read_bytes()
    form = {"files": {"image": ("me.png", photo, "image/png")}, "data": {"name": "Secret"}}
    assert (await http.post("/v1/avatars", **form)).status_code == 401
    made = (await http.post("/v1/avatars", **form, headers=AS_ALICE)).json()

    async def seen(headers: dict[str, str]) -> set[str]:
        listed = (await http.get("/v1/avatars", headers=headers)).json()["avatars"]
        return {avatar["id"] for avatar in listed}

    assert made["id"] in await seen(AS_ALICE)
    assert made["id"] not in await seen(AS_BOB)
    where = f"/v1/avatars/{made['id']}"
    for path in (where, f"{where}/image", f"{where}/preview", "/v1/avatars/Secret"):
        foreign = await http.get(path, headers=AS_BOB)
        assert foreign.status_code == 404
        named = foreign.json()["error"]["message"].partition("there are")[2]
        assert made["id"] not in named
    assert (await http.delete(where, headers=AS_BOB)).status_code == 404
    for wanted in (made["id"], "Secret"):
        client = AvatarClient(SPEECH)
        offer = {"sdp": await client.offer(), "type": "offer", "avatar": wanted}
        assert (await http.post("/v1/sessions", json=offer, headers=AS_BOB)).status_code == 404
        await client.close()
    session, client = await open_session(server, AS_BOB)
    try:
        body = {"avatar": made["id"]}
        answer = await http.patch(f"/v1/sessions/{session}", json=body, headers=AS_BOB)
        assert answer.status_code == 404
        await until(lambda: client.channel.readyState == "open")
        client.send(type="session.update", avatar=made["id"])  # nor by the data channel
        await until(lambda: any(event["type"] == "error" for event in client.events))
        [error] = [event["error"] for event in client.events if event["type"] == "error"]
        assert error["code"] == "unknown_avatar"
    finally:
        await client.close()
    assert (await http.delete(where, headers=AS_ALICE)).status_code == 204


async def test_a_socket_for_speech_cannot_steer(server):
    session = await server.service.open_session(SessionRequest(audio="push"))
    said: list[str] = []
    with acting(Caller(kind="token", owner="alice", scopes=frozenset({"push"}))):
        party = session.attach(said.append)
    try:
        for event, allowed in (
            ({"type": "ping"}, True),
            ({"type": "session.update", "motion_events": True}, True),
            ({"type": "session.update", "avatar": "x"}, False),
            ({"type": "session.update", "controls": {"gaze": 1}}, False),
            ({"type": "output_audio_buffer.clear"}, True),
        ):
            said.clear()
            party.listener.receive(json.dumps(event | {"event_id": "e"}))
            codes = [each["error"]["code"] for each in map(json.loads, said) if "error" in each]
            assert ("insufficient_scope" in codes) is not allowed
    finally:
        await session.close("test_over")


async def test_what_nobody_owns_is_everybodys_to_use_and_nobodys_to_delete(server):
    [first, *_] = (await server.http.get("/v1/avatars", headers=AS_ALICE)).json()["avatars"]
    assert first["kind"] == "cast"
    answer = await server.http.delete(f"/v1/avatars/{first['id']}", headers=AS_ALICE)
    assert answer.status_code == 422


async def test_wrong_keys_end_and_open_nothing(server):
    session, client = await open_session(server, AS_ALICE)
    try:
        await until(lambda: len(client.pictures) > 25)
        pictures, packets = len(client.pictures), len(client.audio.arrivals)

        async def guess(number: int) -> int:
            wrong = bearing(f"sk-vv-{number}")
            path = ("/v1/sessions", "/v1/avatars", "/v1/tokens")[number % 3]
            return (await server.http.post(path, headers=wrong)).status_code

        for number in range(200):
            assert await guess(number) == 401
            await asyncio.sleep(0)  # over a network each would come by itself
        await until(lambda: len(client.pictures) > pictures + 25)
        times = np.array([at for at, _ in client.audio.arrivals])
        assert len(times) > packets
        assert (np.diff(times) > 0).all()  # the voice goes on, in order
        assert server.service.sessions.keys() == {session}
        told = [event for event in client.events if event["type"] == "error"]
        assert not told
    finally:
        await client.close()


async def test_sessions_opened_by_the_server_itself_are_nobodys(server):
    session = await server.service.open_session(SessionRequest(audio="push"))
    try:
        answer = await server.http.get(f"/v1/sessions/{session.id}", headers=AS_ALICE)
        assert answer.status_code == 404
    finally:
        await session.close("test_over")
