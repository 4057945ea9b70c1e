"""`/v1/sessions`: offers in, answers out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from pipelines.photo.framing import SQUARE
from realtime.errors import UnknownMatte, UnsupportedType
from realtime.http.bodies import SessionPatch, content_type, parse_json, read_offer
from realtime.http.cached import cached
from realtime.http.peers import trickle
from realtime.session_host import SessionHost
from realtime.sinks.webrtc import fragments


def session_routes(server: SessionHost) -> APIRouter:
    """The calls that open, inspect, change and end sessions."""
    routes = APIRouter(prefix="/v1/sessions")

    @routes.post("", status_code=201)
    async def create_session(request: Request) -> Response:
        body = await read_offer(request)
        answer: dict[str, Any] = {}
        if body.sdp is None:
            session = await server.open_session(body.request())
        else:
            session, peer = await server.call(body.request(), body.sdp)
            answer = {"sdp": peer.answer_sdp, "type": "answer"}
        headers = {"Location": f"/v1/sessions/{session.id}"}
        if content_type(request) == "application/sdp":
            return Response(answer["sdp"], 201, headers=headers, media_type="application/sdp")
        answer |= {
            "id": session.id,
            "ice_servers": server.ice_servers(),
            "playout_delay_ms": session.playout_delay_ms,
        }
        return JSONResponse(answer, 201, headers)

    @routes.get("/{session_id}")
    async def get_session(session_id: str) -> dict[str, Any]:
        return server.session(session_id).describe()

    @routes.patch("/{session_id}")
    async def patch_session(session_id: str, request: Request) -> Response:
        session = server.session(session_id)
        kind = content_type(request)
        if kind == fragments.MEDIA_TYPE:
            return await trickle(request, [p.peer for p in session.parties if p.peer is not None])
        if kind != "application/json":
            raise UnsupportedType(
                f"send a change as application/json or candidates as {fragments.MEDIA_TYPE}, "
                f"not {kind or 'untyped'}"
            )
        patch = parse_json(SessionPatch, await request.body())
        await session.set_avatar(patch.avatar)
        return JSONResponse(session.describe())

    @routes.delete("/{session_id}", status_code=204)
    async def delete_session(session_id: str) -> Response:
        await server.session(session_id).close("deleted")
        return Response(status_code=204)

    @routes.get("/{session_id}/matte")
    async def session_matte(session_id: str, request: Request) -> Response:
        session = server.session(session_id)
        if session.frame != SQUARE:
            raise UnknownMatte("only of square pictures it is known what is behind the face")
        return cached(request, await server.matte(session), "image/png")

    return routes
