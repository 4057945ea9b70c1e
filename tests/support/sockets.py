"""The application on a real port, and clients of its WebSockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import uvicorn
import websockets
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection

from realtime.config import ServerConfig
from realtime.http.app import create_app
from realtime.http.socket import MAX_MESSAGE_BYTES
from realtime.server import Server
from tests.support.engines import until


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
        self.address = url

    async def open(self, **fields: Any) -> str:
        answer = await self.http.post("/v1/sessions", json={"audio": "push", **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    @asynccontextmanager
    async def talker(self, session: str, query: str = "") -> AsyncIterator[Talker]:
        """Somebody who pushes speech into a session."""
        async with self.socket(f"/v1/sessions/{session}/audio{query}") as talker:
            yield talker

    @asynccontextmanager
    async def socket(self, path: str, **options: Any) -> AsyncIterator[Talker]:
        """Somebody at a WebSocket."""
        url = f"ws://{self.address}{path}"
        async with websockets.connect(url, max_size=None, **options) as socket:
            talker = Talker(socket)
            try:
                yield talker
            finally:
                await talker.close()


@asynccontextmanager
async def served(config: ServerConfig) -> AsyncIterator[Site]:
    """A started server, stopped at the end."""
    service = Server(config)
    app = create_app(config, service)
    serving = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, ws_max_size=MAX_MESSAGE_BYTES)
    )
    task = asyncio.create_task(serving.serve())
    try:
        await until(lambda: task.done() or (serving.started and service._state == "open"))
        port = serving.servers[0].sockets[0].getsockname()[1]
        site = Site(service, f"127.0.0.1:{port}")
        yield site
        await site.http.aclose()
    finally:
        serving.should_exit = True
        await task
