"""Pipecat's signalling and RTVI: what their browser client sends, and what it must be answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from benchmarks.service.peer import SoundTrack
from benchmarks.service.signals import clicks_and_vowels
from tests.support.peers import Client, until
from tests.support.whip import HttpPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")
OFFER = "/api/offer"
CANDIDATE = "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host"


class PipecatClient(Client):
    """As `small-webrtc-transport` with a media manager that can share a screen."""

    def __init__(self, http: Any, *, screen: bool = False) -> None:
        super().__init__(channel="chat")
        voice = (clicks_and_vowels(20) * 32_767).astype(np.int16)
        self.connection.getTransceivers()[0].sender.replaceTrack(SoundTrack(voice))
        self.http = http
        if screen:
            self.connection.addTransceiver("video", "sendonly")
        self.said: list[dict[str, Any]] = []
        self.pc_id: str | None = None
        self.channel.on("message", lambda text: self.said.append(json.loads(text)))

    async def post(self, **more: Any) -> Any:
        """Offer, and take the answer where there is one."""
        body = {"sdp": await self.offer(), "type": "offer", "pc_id": None, "restart_pc": False}
        response = await self.http.post(OFFER, json=body | more)
        if response.status_code == 200:
            answer = response.json()
            self.pc_id = answer["pc_id"]
            await self.accept(answer["sdp"])
        return response

    def send(self, kind: str, id: str = "1", data: Any = None) -> None:
        """One message of RTVI."""
        self.channel.send(json.dumps({"label": "rtvi-ai", "type": kind, "id": id, "data": data}))

    async def hears(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The newest message of this type, once there are so many."""

        def found() -> list[dict[str, Any]]:
            return [message for message in self.said if message["type"] == kind]

        await until(lambda: len(found()) >= count)
        return found()[-1]

    async def ready(self) -> None:
        """Connected, and answered."""
        await until(lambda: self.channel.readyState == "open")
        self.channel.send("ping: 1")
        self.channel.send(
            json.dumps({"type": "signalling", "message": {"type": "trackStatus", "enabled": True}})
        )
        self.send("client-ready", data={"version": "2.1.0", "about": {}})
        await self.hears("bot-ready")


@asynccontextmanager
async def calling(server: Any, **options: Any) -> AsyncIterator[PipecatClient]:
    client = PipecatClient(server.http, **options)
    try:
        yield client
    finally:
        await client.close()
        for session in list(server.service.sessions.values()):
            await session.close("test_over")


async def test_a_client_is_answered_and_told_what_happens(server: Any) -> None:
    async with calling(server) as client:
        answer = (await client.post(requestData={"avatar": None, "unknown": 1})).json()
        assert answer["type"] == "answer"
        patch = {"pc_id": client.pc_id, "candidates": []}
        for candidate in (CANDIDATE, "candidate:nonsense", ""):
            patch["candidates"] = [{"candidate": candidate, "sdp_mid": "0", "sdp_mline_index": 0}]
            assert (await server.http.patch(OFFER, json=patch)).status_code == 200
        await client.ready()
        assert client.said[0] == {
            "label": "rtvi-ai",
            "type": "bot-ready",
            "id": "1",
            "data": {"version": "2.1.0", "about": {"library": "vivavoce"}},
        }
        assert client.said[1]["data"]["type"] == "session.created"
        await client.hears("user-started-speaking")
        await client.hears("bot-started-speaking")
        await until(lambda: all(r.frames for r in client.received.values()))
        await client.hears("user-stopped-speaking")
        await client.hears("bot-stopped-speaking")


async def test_a_message_of_the_application_steers_the_avatar(server: Any) -> None:
    async with calling(server) as client:
        await client.post()
        await until(lambda: client.channel.readyState == "open")
        client.send("client-message", "0", {"t": "session.update"})
        assert (await client.hears("error-response"))["id"] == "0"
        await client.ready()
        client.send(
            "client-message", "7", {"t": "session.update", "d": {"controls": {"gaze": 0.5}}}
        )
        await until(
            lambda: any(
                m["type"] == "server-message" and m["data"]["type"] == "session.updated"
                for m in client.said
            )
        )
        client.send("client-message", "8", {"t": "session.update", "d": {"controls": {"wings": 1}}})
        refusal = await client.hears("error-response", 2)
        assert refusal["id"] == "8"
        assert "wings" in refusal["data"]["error"]
        client.send("send-text", "9", {"content": "hello"})
        assert (await client.hears("error-response", 3))["id"] == "9"
        client.send("disconnect-bot")
        await until(lambda: not server.service.sessions)


async def test_a_lost_connection_is_replaced_and_the_session_goes_on(server: Any) -> None:
    async with calling(server) as client, calling(server) as second:
        await client.post()
        await client.ready()
        session = next(iter(server.service.sessions.values()))
        answer = await second.post(pc_id=client.pc_id, restart_pc=True)
        assert answer.status_code == 200
        assert second.pc_id != client.pc_id
        assert list(server.service.sessions.values()) == [session]
        await second.ready()
        await second.hears("user-started-speaking")
        assert len(session.parties) == 1
        old = {"pc_id": client.pc_id, "candidates": []}
        assert (await server.http.patch(OFFER, json=old)).status_code == 404


async def test_the_same_offer_again_is_answered_as_before(server: Any) -> None:
    async with calling(server) as client:
        first = (await client.post()).json()
        body = {"sdp": client.connection.localDescription.sdp, "type": "offer"}
        again = await server.http.post(OFFER, json=body | {"pc_id": client.pc_id})
        assert again.json() == first
        other = HttpPeer(("audio", "sendrecv"), ("video", "recvonly"))
        async with other:
            body = {"sdp": await other.offer(), "type": "offer", "pc_id": client.pc_id}
            refused = await server.http.post(OFFER, json=body)
        assert refused.status_code == 422
        assert refused.json()["error"]["code"] == "ice_restart"
        await client.ready()


async def test_a_connection_that_is_over_is_opened_anew(server: Any) -> None:
    async with calling(server) as client:
        answer = await client.post(pc_id="gone.gone", restart_pc=True)
        assert answer.status_code == 200
        await client.ready()


async def test_a_line_for_a_shared_screen_is_left_unused(server: Any) -> None:
    async with calling(server, screen=True) as client:
        answer = (await client.post()).json()["sdp"]
        lines = [line.split()[0] for line in answer.splitlines()]
        assert lines.count("m=video") == 2
        assert lines.count("a=inactive") == 1
        await client.ready()
        await until(lambda: bool(client.received["video"].frames))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "offer"}, 400),
        ({"sdp": "v=0", "type": "offer"}, 400),
        ({"sdp": "v=0", "type": "answer"}, 400),
    ],
)
async def test_what_is_no_offer_is_refused(server: Any, body: Any, status: int) -> None:
    response = await server.http.post(OFFER, json=body)
    assert response.status_code == status
    assert response.json()["error"]["message"]


async def test_an_unknown_avatar_is_refused_and_nothing_stays(server: Any) -> None:
    async with calling(server) as client:
        response = await client.post(requestData={"avatar": "nobody"})
        assert response.status_code == 404
        assert not server.service.sessions
