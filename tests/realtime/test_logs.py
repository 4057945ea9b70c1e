"""What the log says, and what it does not."""

from __future__ import annotations

import asyncio
import logging

import pytest
import uvicorn
import websockets
from fastapi import FastAPI, WebSocket

from realtime.errors import UnknownSession
from realtime.http.socket import deny
from realtime.logs import RefusedSockets
from tests.support.engines import until


async def test_a_websocket_that_is_refused_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.websocket("/events")
    async def follow(socket: WebSocket) -> None:
        await deny(socket, UnknownSession("there is no such session"))

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"ws://127.0.0.1:{port}/events")
    server.should_exit = True
    await serving
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors, "uvicorn has mended it: RefusedSockets can go"
    assert not list(filter(RefusedSockets().filter, errors))
