"""What the front passes on to a media process, and how; the process is a socket of the test."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve

from realtime.config import ServerConfig
from tests.support.fronts import Front


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(data_dir=tmp_path, media_processes=2)


@asynccontextmanager
async def answering(
    config: ServerConfig, answer: bytes
) -> AsyncIterator[tuple[Front, list[bytes]]]:
    """A process that answers each request with these bytes; the heads of the requests."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    with tempfile.TemporaryDirectory() as folder:  # one whose name is short enough
        path = f"{folder}/m1"
        async with await asyncio.start_unix_server(serve, path):
            yield Front(config, path), asked


WHOLE = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


async def test_answers_without_a_body_are_passed_on_without_a_length(config: ServerConfig) -> None:
    answer = b'HTTP/1.1 304 Not Modified\r\nETag: "t"\r\nConnection: close\r\n\r\n'
    async with answering(config, answer) as (front, asked):
        await front.ask("GET", "/v1/sessions/s/matte", WHOLE)
    assert len(asked) == 1
    start, body = front.sent
    assert (start["status"], start["headers"]) == (304, [(b"etag", b'"t"')])
    assert body["body"] == b""


async def test_no_authorities_are_read_for_a_unix_socket(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*paths: Any, **more: Any) -> None:
        raise AssertionError("the event loop waits for a file of a megabyte")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", read)
    async with answering(config, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (front, _):
        await front.ask("GET", "/v1/sessions/s", WHOLE)
    assert (front.sent[0]["status"], front.sent[0]["headers"]) == (200, [(b"content-length", b"2")])
    assert front.sent[1]["body"] == b"{}"


async def test_half_a_body_is_not_passed_on(config: ServerConfig) -> None:
    half = {"type": "http.request", "body": b"v=0\r\n", "more_body": True}
    async with answering(config, b"HTTP/1.1 201 Created\r\n\r\n") as (front, asked):
        await front.ask("POST", "/v1/sessions", half, GONE, length=100)
        await front.ask("POST", "/v1/sessions", GONE, length=100)
    assert not asked
    assert not front.sent
    assert front.process.opening == 0


async def test_whoever_hangs_up_need_not_wait_for_the_answer(config: ServerConfig) -> None:
    async with answering(config, b"HTTP/1.1 204 No Content\r\n\r\n") as (front, asked):
        await front.ask("DELETE", "/v1/sessions/s", GONE)
    assert asked[0].startswith(b"DELETE /v1/sessions/s ")


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("asks", ["GET", "WS"])
async def test_who_cannot_be_asked_is_gone_only_if_its_process_is(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch, asks: str, ends: bool
) -> None:
    patience_s = 120.0 if ends else 0.05
    monkeypatch.setattr("realtime.media_processes.member.NOTICE_S", patience_s)
    front = Front(config, "/nowhere/m1")  # no connection can be had
    if asks == "WS":
        front.said.put_nowait({"type": "websocket.connect"})
        asking = front.request({"type": "websocket", "path": "/v1/sessions/s/events"})
    else:
        asking = front.ask(asks, "/v1/sessions/s", WHOLE)
    if ends:
        asyncio.get_running_loop().call_later(0.05, front.process._over)
    await asking
    start, body = front.sent
    wanted = (410, "session_lost") if ends else (503, "engine_unavailable")
    assert (start["status"], json.loads(body["body"])["error"]["code"]) == wanted
    assert (b"retry-after" in dict(start["headers"])) is not ends


async def test_who_is_refused_because_the_server_ends_is_counted(config: ServerConfig) -> None:
    front = Front(config, "/nowhere/m1")
    front.server.announce_end()
    await front.ask("POST", "/v1/sessions", WHOLE)
    front.said.put_nowait({"type": "websocket.connect"})
    await front.request({"type": "websocket", "path": "/v1/realtime"})
    for start, body in (front.sent[:2], front.sent[2:]):
        assert (start["status"], json.loads(body["body"])["error"]["code"]) == (503, "draining")
    refused = "vivavoce_sessions_refused_total"
    value = front.server.metrics.registry.get_sample_value
    assert value(refused, {"reason": "draining"}) == 2
    await front.ask("GET", "/whip/anna", WHOLE)  # opens none
    assert value(refused, {"reason": "draining"}) == 2


async def test_a_socket_that_has_opened_its_session_is_not_counted_twice(
    config: ServerConfig,
) -> None:
    counted: list[int] = []

    async def serve(socket: ServerConnection) -> None:
        await socket.send("hello")
        async for _ in socket:
            pass

    with tempfile.TemporaryDirectory() as folder:
        front = Front(config, f"{folder}/m1")

        def process_request(*about: Any) -> None:
            counted.append(front.process.opening)  # nobody has answered yet

        options: dict[str, Any] = {"subprotocols": ["realtime"], "process_request": process_request}
        async with unix_serve(serve, front.process.path, **options):
            front.said.put_nowait({"type": "websocket.connect"})
            protocols = ["realtime", "openai-insecure-api-key.sk-vv-secret"]
            scope = {"type": "websocket", "path": "/v1/realtime", "subprotocols": protocols}
            serving = asyncio.create_task(front.request(scope))
            async with asyncio.timeout(60):
                while len(front.sent) < 2:
                    await asyncio.sleep(0.01)
            assert counted == [1]
            assert front.process.opening == 0
            assert front.sent[0]["type"] == "websocket.accept"
            assert front.sent[0]["subprotocol"] == "realtime"
            assert front.sent[1]["text"] == "hello"
            front.said.put_nowait({"type": "websocket.disconnect", "code": 1001})
            await serving
    assert front.process.opening == 0


@pytest.mark.parametrize("ends", [False, True])
async def test_a_socket_that_breaks_off_has_lost_its_session_only_with_the_process(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    patience_s = 120.0 if ends else 0.05
    monkeypatch.setattr("realtime.media_processes.member.NOTICE_S", patience_s)

    async def serve(socket: ServerConnection) -> None:
        socket.transport.abort()
        if ends:
            front.process._over()

    with tempfile.TemporaryDirectory() as folder:
        front = Front(config, f"{folder}/m1")
        async with unix_serve(serve, front.process.path):
            front.said.put_nowait({"type": "websocket.connect"})
            await front.request({"type": "websocket", "path": "/v1/sessions/s/events"})
    told = [message["type"] for message in front.sent]
    if ends:
        assert told == ["websocket.accept", "websocket.send", "websocket.close"]
        assert json.loads(front.sent[1]["text"])["error"]["code"] == "session_lost"
    else:
        assert told == ["websocket.accept", "websocket.close"]
    assert front.sent[-1]["code"] == (1012 if ends else 1011)
