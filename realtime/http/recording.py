"""`WS /v1/sessions/{id}/recording`: what a session shows, as a WebM. Nothing of it is kept here.

The file comes in binary messages. Whatever text the other end sends ends it, as the session's end
does; last comes `recording.stopped`, whose `front` (base64) belongs in the place of the first
message: it knows how long the file is, and where one can jump to.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from realtime.errors import NotLive, TooManyRequests, VivavoceError
from realtime.http.socket import deny
from realtime.session import Session
from realtime.session_host import SessionHost
from realtime.sinks.webm import Recording

_MOST = 4
"""Of one session at a time: what is not taken yet of each waits in memory, 2 MB at the most."""


def recording_routes(server: SessionHost) -> APIRouter:
    """The call by which a session is recorded."""
    routes = APIRouter()
    running: Counter[str] = Counter()

    def find(session_id: str) -> Session:
        session = server.session(session_id)
        if session.closing:
            raise NotLive("the session is ending")
        if running[session_id] >= _MOST:
            raise TooManyRequests(f"a session is recorded {_MOST} times at once at the most", 5)
        return session

    @routes.websocket("/v1/sessions/{session_id}/recording")
    async def record(websocket: WebSocket, session_id: str) -> None:
        try:
            session = find(session_id)
        except VivavoceError as error:
            await deny(websocket, error)
            return
        running[session_id] += 1
        try:
            await websocket.accept()
            with suppress(WebSocketDisconnect, RuntimeError):  # the latter once it was closed
                await _record(session, websocket)
        finally:
            running[session_id] -= 1
            if not running[session_id]:
                del running[session_id]

    return routes


async def _record(session: Session, socket: WebSocket) -> None:
    recording = Recording(session.media.encodings, socket.send_bytes)
    work = asyncio.create_task(recording.run())
    said = asyncio.create_task(socket.receive())
    try:
        await asyncio.wait({work, said}, return_when=asyncio.FIRST_COMPLETED)
        if said.done() and said.result()["type"] == "websocket.disconnect":
            return
        recording.stop()
        writer = await work
        front = b"" if writer is None else writer.front()
        told = {"type": "recording.stopped", "front": base64.b64encode(front).decode()}
        await socket.send_json(told)
        await socket.close()
    finally:
        for task in (work, said):
            task.cancel()
        await asyncio.gather(work, said, return_exceptions=True)
