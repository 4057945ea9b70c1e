"""Requests to a bare ASGI application, WebSockets among them, without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp


@dataclass
class Answer:
    """What came back: an HTTP answer, or 101 for a WebSocket that was accepted."""

    status: int = 0
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def error(self) -> dict[str, str]:
        error: dict[str, str] = json.loads(self.body)["error"]
        return error


async def knock(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    bearer: str | None = None,
    query: str = "",
    headers: dict[str, str] | None = None,
    subprotocols: tuple[str, ...] = (),
    client: str = "192.0.2.1",
) -> Answer:
    """One request; the method WS opens a WebSocket and leaves again."""
    sent = {"host": "127.0.0.1"} | (headers or {})
    if bearer is not None:
        sent["authorization"] = f"Bearer {bearer}"
    scope: dict[str, Any] = {
        "type": "websocket" if method == "WS" else "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "ws" if method == "WS" else "http",
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
        "client": (client, 1234),
        "server": ("127.0.0.1", 80),
        "http_version": "1.1",
        "extensions": {"websocket.http.response": {}},
        "state": {},
    }
    scope |= {"subprotocols": list(subprotocols)} if method == "WS" else {"method": method}
    answer = Answer()
    waiting = iter(
        [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
        if method == "WS"
        else [{"type": "http.request", "body": b"", "more_body": False}]
    )

    async def receive() -> Any:
        return next(waiting, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        if message["type"].endswith("http.response.start"):
            answer.status, answer.headers = message["status"], Headers(raw=message["headers"])
        elif message["type"].endswith("http.response.body"):
            answer.body += message.get("body", b"")
        elif message["type"] == "websocket.accept":
            answer.status = 101

    await app(scope, receive, send)
    return answer
