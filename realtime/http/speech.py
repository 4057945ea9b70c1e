"""`WS /v1/sessions/{id}/audio`: speech is pushed, and what becomes of it is told."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from realtime.control import Listener
from realtime.errors import BadRequest, VivavoceError
from realtime.http.socket import MAX_MESSAGE_BYTES, Socket, deny
from realtime.session import Session
from realtime.session_host import SessionHost
from realtime.sources.pushed import PushedSpeech, check_rate


def speech_routes(server: SessionHost) -> APIRouter:
    """The call by which programs speak."""
    routes = APIRouter()

    @routes.websocket("/v1/sessions/{session_id}/audio")
    async def push_speech(websocket: WebSocket, session_id: str) -> None:
        try:
            session = server.session(session_id)
            rate_hz = _rate(session, websocket.query_params.get("rate"))
        except VivavoceError as error:
            await deny(websocket, error)
            return
        await websocket.accept()
        async with Socket(websocket) as socket:
            await _serve(session, socket, rate_hz)

    return routes


async def _serve(session: Session, socket: Socket, rate_hz: int | None) -> None:
    """Let the other end speak until it goes, or the session ends."""
    try:
        party = session.attach(socket.send)
    except VivavoceError as error:  # it has just ended
        socket.refuse(error)
        return
    party.on_left = socket.end
    assert party.listener is not None
    party.listener.intake.rate_hz = rate_hz
    try:
        async for message in socket.messages():
            _take(party.listener, message)
    finally:
        session.parties.leave(party, "hung_up")


def _take(listener: Listener, message: str | bytes) -> None:
    if isinstance(message, bytes):
        listener.append(message)
    else:
        listener.receive_paced(message, MAX_MESSAGE_BYTES)


def _rate(session: Session, asked: str | None) -> int | None:
    """Of what is appended; None: the session's own.

    Raises:
        BadRequest: the session is not spoken for, or there is no such rate.
    """
    if not isinstance(session.speech, PushedSpeech):
        raise BadRequest("the session says what its microphone hears: open it with audio=push")
    if asked is None:
        return None
    try:
        return check_rate(int(asked))
    except ValueError as error:
        raise BadRequest(f"rate: {error}") from error
