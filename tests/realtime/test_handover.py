"""What the front passes on to a media process, and how; the process is a socket of the test."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message
from websockets.asyncio.server import ServerConnection, unix_serve

from realtime.config import ServerConfig
from realtime.engine.supervisor import EngineAddress
from realtime.http.app import create_app
from realtime.media_processes.handover import Handover
from realtime.media_processes.host import MediaSettings
from realtime.media_processes.member import MediaProcess
from realtime.server import Server


class Front:
    """A handover to one process, ready at the end of `path`, which has the session `s`."""

    def __init__(self, config: ServerConfig, path: str) -> None:
        server = Server(config)
        assert server.media is not None
        settings = MediaSettings(config, EngineAddress(b"nobody", b""), path)
        self.process = MediaProcess("m1", settings, server.clock, lambda process: {})
        self.process._is_ready()
        server.media._there[0] = self.process
        server.media.sessions.add("s", "", self.process)
        self.sent: list[Message] = []
        self.said: asyncio.Queue[Message] = asyncio.Queue()
        self._handover = Handover(create_app(config), server.media, lambda: None)

    async def ask(self, method: str, path: str, *said: Message, length: int = 0) -> None:
        """A request of a client that says this; `sent` is what it is answered."""
        for message in said:
            self.said.put_nowait(message)
        headers = [(b"host", b"here"), (b"content-length", str(length).encode())]
        await self.serve({"type": "http", "method": method, "path": path, "headers": headers})

    async def serve(self, scope: dict[str, Any]) -> None:
        """Any request."""

        async def send(message: Message) -> None:
            self.sent.append(message)

        rest = {"root_path": "", "query_string": b"", "headers": [(b"host", b"here")]}
        await self._handover(rest | scope, self.said.get, send)


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
            serving = asyncio.create_task(front.serve(scope))
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
