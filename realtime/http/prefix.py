"""A server that a proxy shows under a path."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Prefix:
    """ASGI middleware: tells the application its `root_path`, so that requests are found with the
    prefix and without it (proxies may strip it or not), and puts it before every `Location`."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not self._prefix or scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                where = headers.get("location", "")
                if where.startswith("/") and not where.startswith(f"{self._prefix}/"):
                    headers["location"] = self._prefix + where
            await send(message)

        await self._app({**scope, "root_path": self._prefix}, receive, answer)
