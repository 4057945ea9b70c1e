"""Clients whose events mean harm, or are written by chance: what they cost, and that all go on."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
from fastapi import WebSocket
from starlette.types import Message

from realtime.client_events import MAX_UNSPOKEN_BYTES, BadEvent, parse_client_event, read_json
from realtime.control import BURST_EVENTS
from realtime.http import socket as http_socket
from realtime.http.socket import MAX_MESSAGE_BYTES, Socket
from tests.support.sockets import Site, served

pytestmark = pytest.mark.asyncio(loop_scope="module")
MANY = '{"type": "ping", "x": [' + "{}," * (MAX_MESSAGE_BYTES // 4) + "1]}"
"""As large as it may be: five million objects take half a gigabyte and seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(config: Any) -> AsyncIterator[Site]:
    async with served(config) as site:
        yield site


def nested(depth: int, opening: str, closing: str) -> str:
    whole = opening * depth + "1" + closing * depth
    return f'{{"type": "session.update", "session": {{"x": {whole}}}}}'


@pytest.mark.parametrize(
    "event",
    [
        '{"type": []}',
        '{"type": {"type": 1}}',
        '{"type": "input_audio_buffer.commit", "event_id": "\\ud800"}',
        '{"type": "conversation.item.retrieve", "item_id": "\\udfff"}',
        '{"type": "\\ud800"}',
        '{"type": "' + "x" * 200_000 + '", "event_id": "' + "y" * 1_000 + '"}',
        '{"type": "session.update", "session": {"audio": {"input": {"format": {"rate": "'
        + "9" * 100_000
        + '"}}}}}',
        *(nested(depth, "[", "]") for depth in range(900, 1_000, 5)),
        *(nested(depth, '{"a": ', "}") for depth in range(900, 1_000, 5)),
    ],
    ids=lambda event: f"{event[:60]} ({len(event)})",
)
async def test_no_event_ends_its_session_and_refusals_are_short(site: Site, event: str) -> None:
    """Some of these depths could be read but not written."""
    async with site.socket("/v1/realtime") as talker:
        await talker.socket.send(event)
        refusal = await talker.told("error")
        assert len(json.dumps(refusal)) < 2_000
        await talker.say("ping")
        await talker.told("pong")


async def test_a_session_keeps_only_so_much_of_what_a_client_wishes(site: Site) -> None:
    async with site.socket("/v1/realtime") as talker:
        wish = {f"tool{n}": "x" * 1_000 for n in range(100)}
        await talker.say("session.update", session=wish, event_id="first")
        assert (await talker.told("session.updated"))["session"]["tool99"]
        for n in range(4):
            more = {f"more{n}.{name}": value for name, value in wish.items()}
            await talker.say("session.update", session=more, event_id=f"{n}")
        error = (await talker.told("error"))["error"]
        assert error["code"] == "invalid_value"
        assert str(MAX_UNSPOKEN_BYTES) in error["message"]
        await talker.say("session.update", session={"tool99": "y"})
        told = len(talker.of("session.updated"))
        await talker.told("session.updated", told + 1)
        assert all(
            len(json.dumps(e)) < 2 * MAX_UNSPOKEN_BYTES for e in talker.of("session.updated")
        )


@pytest.mark.parametrize("kind", ["response.create", "conversation.item.retrieve", "anything"])
async def test_events_that_cost_an_answer_are_limited_whatever_they_ask(
    site: Site, kind: str
) -> None:
    async with site.socket("/v1/realtime") as talker:
        for _ in range(round(3 * BURST_EVENTS)):
            await talker.say(kind)
        limited = "rate_limited"
        await talker.told("error", round(BURST_EVENTS))
        codes = [event["error"]["code"] for event in talker.of("error")]
        while limited not in codes:
            await talker.told("error", len(codes) + 1)
            codes = [event["error"]["code"] for event in talker.of("error")]


async def test_only_speech_may_be_large() -> None:
    events: tuple[str | bytes, ...] = (MANY, MANY.encode())
    tracemalloc.start()
    try:
        for read in (read_json, parse_client_event):
            for event in events:
                with pytest.raises(BadEvent, match="only speech"):
                    read(event, MAX_MESSAGE_BYTES)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MAX_MESSAGE_BYTES / 4
    speech = '{"type": "input_audio_buffer.append", "event_id": "1,2", "audio": "%s"}'
    speech %= "A" * (MAX_MESSAGE_BYTES - 100)
    assert parse_client_event(speech, MAX_MESSAGE_BYTES).type == "input_audio_buffer.append"
    assert read_json(speech, MAX_MESSAGE_BYTES)["event_id"] == "1,2"


class Connection:
    """A WebSocket whose other end says all at once, and reads nothing."""

    def __init__(self, said: list[bytes]) -> None:
        self._said = iter(said)
        self.sent = 0

    async def receive(self) -> Message:
        said = next(self._said, None)
        if said is None:
            await asyncio.get_running_loop().create_future()
        return {"type": "websocket.receive", "bytes": said}

    async def send_text(self, text: str) -> None:
        self.sent += 1
        await asyncio.get_running_loop().create_future()

    async def close(self, code: int) -> None: ...


async def test_a_client_of_many_bytes_is_read_no_faster_than_others_can_bear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, waits, wait = asyncio.get_running_loop(), [], asyncio.wait
    monkeypatch.setattr(loop, "time", lambda: 0.0)  # nothing is given back meanwhile

    async def note(ends: Any, *, timeout: float | None = None, **how: Any) -> Any:
        if timeout is None:
            return await wait(ends, **how)
        waits.append(timeout)
        return set(), ends

    monkeypatch.setattr(asyncio, "wait", note)
    at_once = http_socket.BURST_BYTES >> 20
    async with Socket(cast(WebSocket, Connection([bytes(1 << 20)] * (at_once + 10)))) as socket:
        heard = 0
        async for _ in socket.messages():
            heard += 1
            assert len(waits) == max(0, heard - 1 - at_once)
            if heard == at_once + 10:
                break
    assert waits == sorted(waits)
    assert waits[0] == (1 << 20) / http_socket.BYTES_PER_S


async def test_a_client_of_too_many_messages_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    most = int(http_socket.BURST_MESSAGES)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 0.0)
    async with Socket(cast(WebSocket, Connection([b""] * (2 * most)))) as socket:
        heard = [said async for said in socket.messages()]
        assert len(heard) == most + 1
        assert not socket.send("anything")


async def test_what_waits_for_a_client_has_a_size_too() -> None:
    connection = Connection([])
    async with Socket(cast(WebSocket, connection)) as socket:
        sent = 0
        while socket.send("x" * (1 << 20)):
            sent += 1
        assert sent <= 20
        assert [said async for said in socket.messages()] == []
