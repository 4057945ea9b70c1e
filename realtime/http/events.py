"""`WS /v1/sessions/{id}/events`: what happens in a session, for those who only watch it.

What comes from the other end is not read as events: whoever listens here controls nothing.
"""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from realtime.errors import VivavoceError
from realtime.http.socket import Socket, deny
from realtime.session import Session
from realtime.session_host import SessionHost


def event_routes(server: SessionHost) -> APIRouter:
    """The call by which programs follow a session; with `motion=true` its motion too."""
    routes = APIRouter()

    @routes.websocket("/v1/sessions/{session_id}/events")
    async def follow(websocket: WebSocket, session_id: str) -> None:
        try:
            session = server.session(session_id)
        except VivavoceError as error:
            await deny(websocket, error)
            return
        await websocket.accept()
        async with Socket(websocket) as socket:
            await _tell(session, socket, motion=websocket.query_params.get("motion") == "true")

    return routes


async def _tell(session: Session, socket: Socket, *, motion: bool) -> None:
    """Tell the other end everything until it goes, or the session ends."""
    try:
        party = session.attach(socket.send)
    except VivavoceError as error:  # it has just ended
        socket.refuse(error)
        return
    party.on_left = socket.end
    assert party.listener is not None
    party.listener.wants_motion = motion
    try:
        async for _ in socket.messages():
            pass
    finally:
        session.parties.leave(party, "hung_up")
