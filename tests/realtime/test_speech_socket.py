"""Speech pushed over the real socket: what is told, what is refused, who keeps a session going."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
import uvicorn
import websockets
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection

from realtime.http.app import create_app
from realtime.http.socket import MAX_MESSAGE_BYTES
from realtime.server import Server
from tests.support.engines import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def hum(seconds: float, rate_hz: int = 24_000) -> NDArray[np.int16]:
    n = np.arange(round(seconds * rate_hz))
    return (8_000 * np.sin(2 * np.pi * 200 * n / rate_hz)).astype(np.int16)


class Talker:
    """A client of the audio socket that keeps all it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            self.events.append(json.loads(message))

    async def say(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def append(self, pcm: NDArray[np.int16], **fields: Any) -> None:
        audio = base64.b64encode(pcm.tobytes()).decode()
        await self.say("input_audio_buffer.append", audio=audio, **fields)

    async def told(self, type: str, count: int = 1) -> dict[str, Any]:
        """Wait for that many events of a type; the last of them."""
        await until(lambda: len(self.of(type)) >= count)
        return self.of(type)[count - 1]

    def of(self, type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == type]

    async def close(self) -> None:
        await self.socket.close()
        await self._reading


class Site:
    """The application on a real port."""

    def __init__(self, service: Server, url: str) -> None:
        self.service = service
        self.http = httpx.AsyncClient(base_url=f"http://{url}")
        self._url = url

    async def open(self, **fields: Any) -> str:
        answer = await self.http.post("/v1/sessions", json={"audio": "push", **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    @asynccontextmanager
    async def talker(self, session: str, query: str = "") -> AsyncIterator[Talker]:
        url = f"ws://{self._url}/v1/sessions/{session}/audio{query}"
        async with websockets.connect(url, max_size=None) as socket:
            talker = Talker(socket)
            try:
                yield talker
            finally:
                await talker.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(config: Any) -> AsyncIterator[Site]:
    service = Server(config)
    app = create_app(config, service)
    serving = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, ws_max_size=MAX_MESSAGE_BYTES)
    )
    task = asyncio.create_task(serving.serve())
    try:
        await until(lambda: serving.started and service._state == "open")
        port = serving.servers[0].sockets[0].getsockname()[1]
        site = Site(service, f"127.0.0.1:{port}")
        yield site
        await site.http.aclose()
    finally:
        serving.should_exit = True
        await task


async def test_an_utterance_is_played_and_told_with_all_that_clients_expect(site: Site) -> None:
    async with site.talker(await site.open(), "?rate=16000") as talker:
        created = await talker.told("session.created")
        assert created["session"]["speech"] == {"rate": 24_000, "max_waiting_ms": 300_000}
        await talker.append(hum(0.3, 16_000))
        await talker.socket.send(hum(0.2, 16_000).tobytes())
        await talker.say("input_audio_buffer.commit")
        committed = await talker.told("input_audio_buffer.committed")
        started = await talker.told("output_audio_buffer.started")
        stopped = await talker.told("output_audio_buffer.stopped")
        assert stopped["played_ms"] == 500
        assert committed["previous_item_id"] is None
        assert committed["item_id"] == started["item_id"] == stopped["item_id"]
        assert started["response_id"] == stopped["response_id"]
        assert started["response_id"] == committed["item_id"].replace("item_", "resp_")
        assert all(event["event_id"] for event in talker.events)
        await talker.append(hum(0.2, 16_000))
        await talker.say("input_audio_buffer.commit")
        again = await talker.told("input_audio_buffer.committed", 2)
        assert again["previous_item_id"] == committed["item_id"]
        assert (await talker.told("output_audio_buffer.stopped", 2))["played_ms"] == 200


async def test_speech_cut_at_any_byte_is_whole(site: Site) -> None:
    async with site.talker(await site.open()) as talker:
        sound = hum(0.4).tobytes()
        for at in range(0, len(sound), 777):
            await talker.socket.send(sound[at : at + 777])
        await talker.say("input_audio_buffer.commit")
        assert (await talker.told("output_audio_buffer.stopped"))["played_ms"] == 400


async def test_barge_in_truncation_and_cancelling(site: Site) -> None:
    async with site.talker(await site.open()) as talker:
        await talker.say("response.cancel", event_id="early")
        error = (await talker.told("error"))["error"]
        assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "early")
        assert error["type"] == "invalid_request_error"
        for n in range(3):
            await talker.append(hum(30.0))
            await talker.say("input_audio_buffer.commit")
            item = (await talker.told("input_audio_buffer.committed", n + 1))["item_id"]
            await talker.told("output_audio_buffer.started", n + 1)
            if n == 0:
                await talker.say("output_audio_buffer.clear")
            elif n == 1:
                await talker.say("response.cancel")
            else:
                end = {"item_id": item, "content_index": 0}
                truncate = "conversation.item.truncate"
                await talker.say(truncate, **end, audio_end_ms=30_001)
                assert (await talker.told("error", 2))["error"]["code"] == "invalid_value"
                await talker.say(truncate, **end, audio_end_ms=100)
                assert (await talker.told(f"{truncate}d"))["audio_end_ms"] == 100
            cleared = await talker.told("output_audio_buffer.cleared", n + 1)
            assert cleared["item_id"] == item
            assert 0 < cleared["played_ms"] < 30_000
        await talker.say("conversation.item.truncate", item_id="item_x", audio_end_ms=0)
        assert (await talker.told("error", 3))["error"]["code"] == "item_not_found"
        await talker.say("output_audio_buffer.clear")  # nothing is left: the last is told again
        assert await talker.told("output_audio_buffer.cleared", 4) == cleared | {
            "event_id": talker.events[-1]["event_id"]
        }
        assert not talker.of("output_audio_buffer.stopped")


async def test_what_was_appended_can_be_taken_back(site: Site) -> None:
    async with site.talker(await site.open()) as talker:
        await talker.append(hum(0.2))
        await talker.say("input_audio_buffer.commit")
        await talker.append(hum(5.0))
        await talker.say("input_audio_buffer.clear")
        await talker.told("input_audio_buffer.cleared")
        assert (await talker.told("output_audio_buffer.stopped"))["played_ms"] == 200
        await talker.say("input_audio_buffer.commit")
        code = (await talker.told("error"))["error"]["code"]
        assert code == "input_audio_buffer_commit_empty"
        assert len(talker.of("output_audio_buffer.started")) == 1


async def test_a_full_buffer_says_where_to_go_on(site: Site) -> None:
    async with site.talker(await site.open(), "?rate=8000") as talker:
        minute = np.ones(60 * 8_000, np.int16)
        for _ in range(5):
            await talker.append(minute)
        await talker.append(minute, event_id="sixth")
        error = (await talker.told("error"))["error"]
        assert (error["code"], error["event_id"]) == ("buffer_full", "sixth")
        assert error["taken_samples"] == 5 * len(minute)
        assert 290_000 < error["waiting_ms"] <= 300_000
        assert 50_000 < error["retry_after_ms"] <= 61_000
        await talker.append(minute[:8])  # it was on its way already: no gap may be left before it
        await talker.say("input_audio_buffer.commit", event_id="end")
        assert (await talker.told("error", 2))["error"]["taken_samples"] == 5 * len(minute)
        assert (await talker.told("error", 3))["error"]["event_id"] == "end"
        assert not talker.of("input_audio_buffer.committed")


async def test_a_flood_of_small_chunks_is_taken_and_one_of_wishes_is_not(site: Site) -> None:
    async with site.talker(await site.open()) as talker:
        for chunk in np.split(hum(4.0), 400):
            await talker.append(chunk)
        await talker.say("input_audio_buffer.commit")
        await talker.told("input_audio_buffer.committed")
        assert not talker.of("error")
        for _ in range(100):
            await talker.say("session.update")
        assert (await talker.told("error"))["error"]["code"] == "rate_limited"
        await talker.say("output_audio_buffer.clear")


async def test_nonsense_is_refused_in_words_and_the_socket_stays(site: Site) -> None:
    async with site.talker(await site.open()) as talker:
        await talker.socket.send("{")
        await talker.say("input_audio_buffer.append", audio="***")
        await talker.say("session.update", rate=4_000)
        await talker.say("session.update", turn_detection={"type": "server_vad"})
        updated = await talker.told("session.updated")
        assert updated["session"]["turn_detection"]["interrupt_response"] is True
        await talker.say("session.update", turn_detection=None)
        assert (await talker.told("session.updated", 2))["session"]["turn_detection"] is None
        codes = [event["error"]["code"] for event in talker.of("error")]
        assert codes == ["bad_event", "invalid_value", "bad_event"]


async def test_who_pushes_keeps_the_session_going_and_ends_it_by_leaving(site: Site) -> None:
    session = await site.open()
    async with site.talker(session) as talker:
        await talker.told("session.created")
        async with site.talker(session) as other:
            await other.told("session.created")
            assert site.service.session(session).describe()["parties"] == 2
        await until(lambda: len(site.service.session(session).parties) == 1)
        await talker.append(hum(0.1))
        await talker.told("output_audio_buffer.stopped")
    await until(lambda: session not in site.service.sessions)


async def test_the_end_of_a_session_closes_its_sockets(site: Site) -> None:
    session = await site.open()
    async with site.talker(session) as talker:
        await talker.told("session.created")
        assert (await site.http.delete(f"/v1/sessions/{session}")).status_code == 204
        await talker.socket.wait_closed()
        assert talker.socket.close_code == 1000


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nobody/audio", 404, "unknown_session"),
        ("{session}/audio?rate=4000", 400, "bad_request"),
        ("{session}/audio?rate=fast", 400, "bad_request"),
    ],
)
async def test_sockets_are_refused_before_they_open(
    site: Site, path: str, status: int, code: str
) -> None:
    session = await site.open()
    url = f"ws://{site.http.base_url.netloc.decode()}"
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{url}/v1/sessions/{path.format(session=session)}")
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["error"]["code"] == code
    await site.http.delete(f"/v1/sessions/{session}")


async def test_a_session_without_an_offer_needs_somebody_who_pushes(site: Site) -> None:
    for body in ({}, {"audio": "microphone"}, {"audio": "push", "type": "offer"}):
        answer = await site.http.post("/v1/sessions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
