"""`/v1/realtime`: OpenAI's Realtime clients, by WebSocket and by WebRTC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.datastructures import UploadFile

from realtime.client_events import MAX_UNSPOKEN_BYTES, BadEvent, read_json
from realtime.errors import BadOffer, BadRequest, UnknownAvatar, UnsupportedType, VivavoceError
from realtime.http.bodies import content_type
from realtime.http.socket import MAX_MESSAGE_BYTES, Socket, deny
from realtime.media import Voice
from realtime.openai.dialect import RealtimeDialect, SessionWish
from realtime.openai.shapes import Object, dig
from realtime.session import Session
from realtime.session_host import SessionHost
from realtime.session_request import SessionRequest

CHANNEL = "oai-events"
PROTOCOL = "realtime"
"""WebSocket subprotocol that browsers offer, beside those that carry a key."""


def realtime_routes(server: SessionHost) -> APIRouter:
    """The calls of OpenAI's Realtime API."""
    routes = APIRouter(prefix="/v1/realtime")

    @routes.websocket("")
    async def connect(websocket: WebSocket) -> None:
        model = websocket.query_params.get("model", "")
        try:
            session = await server.open_session(_request(server, model, "push", 24_000))
        except VivavoceError as error:
            await deny(websocket, error)
            return
        offered = websocket.scope.get("subprotocols", [])
        try:
            await websocket.accept(PROTOCOL if PROTOCOL in offered else None)
        except BaseException:  # the client went while a place was made: it would stay taken
            await session.close("failed")
            raise
        async with Socket(websocket) as socket:
            await _serve(session, socket, model)

    @routes.post("/calls", status_code=201)
    async def call(request: Request) -> Response:
        sdp, wanted = await _read_call(request)
        query = request.query_params
        model = query.get("model") or str(wanted.get("model") or "")
        audio = query.get("audio", "microphone")
        if audio not in ("microphone", "push"):
            raise BadRequest("audio: it is microphone or push")
        try:
            wish = SessionWish.of(wanted)
        except BadEvent as error:
            raise BadRequest(f"session: {error}") from error

        def dialect(send: Callable[[str], object]) -> RealtimeDialect:
            return RealtimeDialect(send, model, wanted)

        asked = _request(server, model, "push" if audio == "push" else "microphone", wish.rate)
        session, peer = await server.call(asked, sdp, dialects=lambda session: {CHANNEL: dialect})
        session.turn_detection = wish.turn_detection
        headers = {"Location": f"/v1/realtime/calls/{session.id}"}
        return Response(peer.answer_sdp, 201, headers=headers, media_type="application/sdp")

    @routes.delete("/calls/{session_id}")
    @routes.post("/calls/{session_id}/hangup")
    async def hang_up(session_id: str) -> Response:
        await server.session(session_id).close("deleted")
        return Response(status_code=200)

    return routes


async def _serve(session: Session, socket: Socket, model: str) -> None:
    """Let the other end speak until it goes, or the session ends."""
    voice = session.stream.subscribe(Voice, depth=250)
    dialect = RealtimeDialect(socket.send, model, {}, voice)
    try:
        party = session.attach(dialect)
    except VivavoceError as error:  # it has just ended
        voice.close()
        socket.refuse(error)
        return
    party.on_left = socket.end
    speaking = asyncio.create_task(dialect.speak())
    try:
        async for message in socket.messages():
            dialect.take(message, MAX_MESSAGE_BYTES)
    finally:
        session.parties.leave(party, "hung_up")
        voice.close()
        await speaking


def _request(
    server: SessionHost, model: str, audio: Literal["microphone", "push"], rate_hz: int
) -> SessionRequest:
    """`model` is an avatar, or a pipeline; clients send names of models of others, too."""
    asked: dict[str, Any] = {"audio": audio, "rate_hz": rate_hz}
    try:
        server.avatars.get(model)
        asked["avatar"] = model
    except UnknownAvatar:
        if model in server.config.loaded:
            asked["pipeline"] = model
    return SessionRequest(**asked)


async def _read_call(request: Request) -> tuple[str, Object]:
    """The offer, and what the client wants of the session.

    Raises:
        BadOffer, BadRequest, UnsupportedType.
    """
    kind = content_type(request)
    try:
        if kind == "application/sdp":
            return (await request.body()).decode(), {}
        if kind != "multipart/form-data":
            raise UnsupportedType(
                f"send the offer as application/sdp or multipart/form-data, not {kind or 'untyped'}"
            )
        async with request.form(max_files=2, max_fields=4) as form:
            sdp, session = [await _text(form.get(name)) for name in ("sdp", "session")]
    except UnicodeDecodeError as error:
        raise BadOffer("the offer is not UTF-8 text") from error
    try:
        wanted = read_json(session or "{}", MAX_UNSPOKEN_BYTES)
    except BadEvent as error:
        raise BadRequest(f"session: {error}") from error
    inner = dig(wanted, "session")  # as client secrets wrap it
    return sdp, inner if isinstance(inner, dict) else wanted


async def _text(field: UploadFile | str | None) -> str:
    if isinstance(field, UploadFile):
        return (await field.read()).decode()
    return field or ""
