"""Speech pushed over the real socket: what is told, what is refused, who keeps a session going; and
the same in the dialect of OpenAI's Realtime clients."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import websockets
from fastapi import FastAPI
from numpy.typing import NDArray
from starlette.types import Message

from realtime.errors import UnknownSession
from realtime.http.openai import realtime_routes
from realtime.session import Session
from tests.support.engines import until
from tests.support.sockets import Site, served

pytestmark = pytest.mark.asyncio(loop_scope="module")


def hum(seconds: float, rate_hz: int = 24_000) -> NDArray[np.int16]:
    n = np.arange(round(seconds * rate_hz))
    return (8_000 * np.sin(2 * np.pi * 200 * n / rate_hz)).astype(np.int16)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(config: Any) -> AsyncIterator[Site]:
    async with served(config) as site:
        yield site


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


async def test_a_cancelling_that_comes_too_late_stops_nothing_else(site: Site) -> None:
    async with site.talker(await site.open()) as talker:
        await talker.append(hum(0.2))
        await talker.say("input_audio_buffer.commit")
        over = await talker.told("output_audio_buffer.stopped")
        await talker.append(hum(0.4))
        await talker.say("input_audio_buffer.commit")
        await talker.told("output_audio_buffer.started", 2)
        await talker.say("response.cancel", response_id=over["response_id"], event_id="late")
        error = (await talker.told("error"))["error"]
        assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "late")
        assert (await talker.told("output_audio_buffer.stopped", 2))["played_ms"] == 400
        assert not talker.of("output_audio_buffer.cleared")


async def test_before_the_first_utterance_a_clear_names_none(site: Site) -> None:
    async with site.talker(await site.open()) as talker:
        await talker.say("output_audio_buffer.clear")
        cleared = await talker.told("output_audio_buffer.cleared")
        ids = cleared["response_id"], cleared["item_id"]
        assert (ids, cleared["played_ms"]) == (("", ""), 0)


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
        await talker.say("output_audio_buffer.clear")  # which makes room at once
        await talker.append(minute[:800])
        await talker.say("input_audio_buffer.commit")
        assert (await talker.told("output_audio_buffer.stopped"))["played_ms"] == 100


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


async def test_a_session_that_is_opened_as_the_server_begins_to_end_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Session.open

    async def late(self: Session) -> None:
        await opened(self)
        monkeypatch.setattr(site.service, "_state", "draining")

    there = site.service.count
    monkeypatch.setattr(Session, "open", late)
    answer = await site.http.post("/v1/sessions", json={"audio": "push"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
    assert site.service.count == there
    assert site.service.metrics.sessions_ended.labels("drained")._value.get() == 1


@pytest.mark.parametrize("kind", ["audio", "events"])
async def test_a_socket_that_comes_as_its_session_ends_is_told_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def attach(self: Session, send: object) -> None:
        raise UnknownSession(f"the session {self.id} has ended")

    session = await site.open()
    monkeypatch.setattr(Session, "attach", attach)
    async with site.socket(f"/v1/sessions/{session}/{kind}") as talker:
        told = await talker.told("error")
        assert told["error"]["code"] == "unknown_session"
        await talker._reading  # until it is closed
        assert talker.socket.close_code == 1000
    await site.http.delete(f"/v1/sessions/{session}")


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
    url = f"ws://{site.address}"
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{url}/v1/sessions/{path.format(session=session)}")
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["error"]["code"] == code
    await site.http.delete(f"/v1/sessions/{session}")


async def test_a_session_without_an_offer_needs_somebody_who_pushes(site: Site) -> None:
    for body in ({}, {"audio": "microphone"}, {"audio": "push", "type": "offer"}):
        answer = await site.http.post("/v1/sessions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


# The dialect of OpenAI's Realtime clients


def decoded(deltas: list[dict[str, Any]]) -> NDArray[np.int16]:
    return np.frombuffer(b"".join(base64.b64decode(e["delta"]) for e in deltas), "<i2")


async def test_an_utterance_is_a_response_whose_voice_comes_back(site: Site) -> None:
    avatar = site.service.avatars.default("portrait").id
    async with site.socket(f"/v1/realtime?model={avatar}", subprotocols=["realtime"]) as talker:
        assert talker.socket.subprotocol == "realtime"
        created = await talker.told("session.created")
        assert created["session"]["model"] == created["session"]["avatar"]["avatar"] == avatar
        await talker.say(
            "session.update",
            session={
                "type": "realtime",
                "instructions": "be kind",
                "tools": [],
                "audio": {
                    "input": {"format": {"type": "audio/pcm", "rate": 16_000}},
                    "output": {"voice": "marin"},
                },
            },
        )
        session = (await talker.told("session.updated"))["session"]
        assert session["instructions"] == "be kind"
        assert session["audio"]["input"]["format"]["rate"] == 16_000
        assert session["audio"]["output"] == {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "voice": "marin",
            "speed": 1.0,
        }
        await talker.append(hum(0.5, 16_000))
        await talker.say("input_audio_buffer.commit")
        await talker.say("response.create")
        done = await talker.told("response.done")
        stopped = await talker.told("output_audio_buffer.stopped")
        kinds = list(dict.fromkeys(event["type"] for event in talker.events))
        first, last = kinds.index("response.created"), kinds.index("output_audio_buffer.stopped")
        assert [kind for kind in kinds[first : last + 1] if not kind.startswith("avatar")] == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "output_audio_buffer.started",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
            "output_audio_buffer.stopped",
        ]
        deltas = talker.of("response.output_audio.delta")
        ids = {
            (e["response_id"], e["item_id"], e["output_index"], e["content_index"]) for e in deltas
        }
        assert ids == {(stopped["response_id"], stopped["item_id"], 0, 0)}
        assert len(decoded(deltas)) == pytest.approx(0.5 * 24_000, abs=0.041 * 24_000)
        assert np.abs(decoded(deltas)).max() == pytest.approx(8_000, rel=0.05)
        assert done["response"]["status"] == "completed"
        assert stopped["played_ms"] == 500
        assert not talker.of("error")
        await talker.say("conversation.item.retrieve", item_id=stopped["item_id"])
        item = (await talker.told("conversation.item.retrieved"))["item"]
        assert (item["role"], item["status"]) == ("assistant", "completed")


async def test_an_interrupted_response_is_cancelled(site: Site) -> None:
    async with site.socket("/v1/realtime?model=gpt-realtime") as talker:
        await talker.append(hum(20.0))
        await talker.say("response.create")  # nobody committed: it does
        started = await talker.told("output_audio_buffer.started")
        await talker.told("response.output_audio.delta", 5)
        item = started["item_id"]
        await talker.say(
            "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=80
        )
        assert (await talker.told("conversation.item.truncated"))["item_id"] == item
        response = (await talker.told("response.done"))["response"]
        assert (response["id"], response["status"]) == (started["response_id"], "cancelled")
        cleared = await talker.told("output_audio_buffer.cleared")
        sent = len(decoded(talker.of("response.output_audio.delta"))) / 24
        assert sent == pytest.approx(cleared["played_ms"], abs=40)
        deltas = len(talker.of("response.output_audio.delta"))
        await talker.append(hum(0.1))
        await talker.say("input_audio_buffer.commit")
        await talker.told("response.done", 2)
        after = talker.of("response.output_audio.delta")[deltas:]
        assert {event["item_id"] for event in after}.isdisjoint({item})


async def test_what_the_dialect_does_not_know_is_refused_in_words(site: Site) -> None:
    async with site.socket("/v1/realtime?model=gpt-realtime") as talker:
        await talker.socket.send("[]")
        await talker.say("conversation.item.retrieve", item_id="item_9", event_id="a")
        await talker.say("conversation.item.create", item={}, event_id="b")
        await talker.say("response.create", event_id="c")
        for n, asked in enumerate(({"type": "audio/pcmu"}, {"type": "audio/pcm", "rate": 4_000})):
            audio = {"input": {"format": asked}}
            await talker.say("session.update", session={"audio": audio}, event_id=f"d{n}")
        await talker.say("response.cancel", event_id="e")
        await talker.told("error", 7)
        assert [(e["error"]["code"], e["error"]["event_id"]) for e in talker.of("error")] == [
            ("bad_event", None),
            ("item_not_found", "a"),
            ("unknown_event", "b"),
            ("nothing_to_say", "c"),
            ("invalid_value", "d0"),
            ("invalid_value", "d1"),
            ("response_cancel_not_active", "e"),
        ]


async def test_whoever_reads_nothing_is_cut_off_and_holds_no_session(site: Site) -> None:
    """Its connection stays open all the while."""
    session = await site.open()
    held = site.service.session(session)
    url = f"ws://{site.address}/v1/sessions/{session}/events"
    silent: dict[str, Any] = {
        "max_queue": 1,
        "ping_interval": None,
        "close_timeout": 1,
        "compression": None,
    }
    async with websockets.connect(url, **silent):
        await until(lambda: len(held.parties) == 1)
        for _ in range(200):  # 80 MB: more than all buffers between here and there
            for _ in range(20):
                held.hub.warn("flood", "." * 20_000)
            await asyncio.sleep(0)
        await until(lambda: held.closing)


async def test_a_realtime_client_that_goes_too_early_leaves_no_session(site: Site) -> None:
    app = FastAPI()
    app.include_router(realtime_routes(site.service))
    opened: list[int] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        opened.append(site.service.count)
        raise OSError("the client has gone")

    before = site.service.count
    scope = {"type": "websocket", "path": "/v1/realtime", "query_string": b"", "headers": []}
    with pytest.raises(OSError, match="has gone"):
        await app(scope | {"root_path": "", "subprotocols": []}, receive, send)
    assert opened[0] == before + 1
    assert site.service.count == before
