"""Clients that ask and then neither read nor close: nothing is kept for them for ever, neither in
the front nor in the media process that it asks. Real sockets, and the kernel's own patience."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed

from realtime.config import ServerConfig
from realtime.http import run
from tests.support.engines import until
from tests.support.fronts import Front

MUCH = b"x" * 1_000_000
MORE_THAN_FITS = 64  # times as much: into no two buffers of a kernel
UPGRADE = (
    b"GET /v1/sessions/s/events HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@asynccontextmanager
async def serving(front: Front, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[uvicorn.Server]:
    """The front as it is served, but that it waits for no reader longer than a second."""
    monkeypatch.setattr(run, "UNREAD_S", 1.0)
    config = uvicorn.Config(front.serve, log_config=None, lifespan="off", ws_ping_interval=None)
    server = uvicorn.Server(config)
    with run.listen("127.0.0.1", 0) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        try:
            yield server
        finally:
            server.should_exit = server.force_exit = True
            await task


def ask(server: uvicorn.Server, request: bytes) -> socket.socket:
    """A client that sends this, and does nothing more."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(server.servers[0].sockets[0].getsockname())
    client.sendall(request)
    return client


async def test_a_silent_socket_is_let_go_of_in_both_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def talk(socket: ServerConnection) -> None:
        try:
            while True:
                await socket.send(MUCH)
        except ConnectionClosed:
            ended.set()

    with tempfile.TemporaryDirectory() as folder:
        front = Front(ServerConfig(data_dir=tmp_path, media_processes=2), f"{folder}/m1")
        options: dict[str, Any] = {"ping_interval": None, "close_timeout": 0.1}
        async with (
            unix_serve(talk, front.process.path, **options),
            serving(front, monkeypatch) as server,
        ):
            with ask(server, UPGRADE):
                await until(lambda: server.server_state.connections)
                await until(ended.is_set)
                await until(lambda: not server.server_state.connections)
                await until(lambda: not server.server_state.tasks)


async def test_an_answer_that_nobody_reads_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        size = MORE_THAN_FITS * len(MUCH)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(MORE_THAN_FITS):
            writer.write(MUCH)
        await writer.drain()
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        front = Front(ServerConfig(data_dir=tmp_path, media_processes=2), f"{folder}/m1")
        process = await asyncio.start_unix_server(answer, front.process.path)
        async with process, serving(front, monkeypatch) as server:
            request = b"GET /v1/sessions/s/matte HTTP/1.1\r\nHost: here\r\n\r\n"
            with ask(server, request + request):  # the second waits for the first to be read
                await until(lambda: server.server_state.connections)
                await until(lambda: not server.server_state.connections)
                await until(lambda: not server.server_state.tasks)
