"""What hands requests over to media processes, alone: the one process is a socket of the test."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message

from realtime.config import ServerConfig
from realtime.engine.supervisor import EngineAddress
from realtime.http.app import create_app
from realtime.http.seats_first import SeatsFirst
from realtime.media_processes.handover import Handover
from realtime.media_processes.host import MediaSettings
from realtime.media_processes.member import MediaProcess
from realtime.server import Server


class Front:
    """A handover to one process, ready at the end of `path`, which has the session `s`."""

    def __init__(self, config: ServerConfig, path: str) -> None:
        self.server = server = Server(config)
        server._state = "open"
        assert server.media is not None
        settings = MediaSettings(config, EngineAddress(b"nobody", b""), path)
        self.process = MediaProcess("m1", settings, server.clock, lambda process: {})
        self.process._is_ready()
        server.media._there[0] = self.process
        server.media.sessions.add("s", self.process)
        self.sent: list[Message] = []
        self.said: asyncio.Queue[Message] = asyncio.Queue()
        handover = Handover(create_app(config), server.media, server.check_seat)
        self.serve: ASGIApp = SeatsFirst(handover, server.check_seat)

    async def ask(self, method: str, path: str, *said: Message, length: int = 0) -> None:
        """A request of a client that says this; `sent` is what it is answered."""
        for message in said:
            self.said.put_nowait(message)
        headers = [(b"host", b"here"), (b"content-length", str(length).encode())]
        await self.request({"type": "http", "method": method, "path": path, "headers": headers})

    async def request(self, scope: dict[str, Any]) -> None:
        """Any request."""

        async def send(message: Message) -> None:
            self.sent.append(message)

        rest = {"root_path": "", "query_string": b"", "headers": [(b"host", b"here")]}
        await self.serve(rest | scope, self.said.get, send)
