"""`/whep/{session}` (draft-ietf-wish-whep-03): one more viewer of a session."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from realtime.errors import NotLive
from realtime.http.peers import add_peer_routes, answered, nothing_to_see, options, read_sdp
from realtime.session import Session
from realtime.session_host import SessionHost
from realtime.sinks.webrtc.offer import WATCH, parse_offer


def whep_routes(server: SessionHost) -> APIRouter:
    """The calls of a WHEP player."""
    routes = APIRouter(prefix="/whep")

    def live(session_id: str) -> Session:
        session = server.session(session_id)
        if session.closing:
            raise NotLive("the session is ending")
        return session

    @routes.post("/{session_id}", status_code=201)
    async def watch(session_id: str, request: Request) -> Response:
        sdp = await read_sdp(request)
        session = live(session_id)
        offer = parse_offer(sdp, WATCH, max_bytes=server.config.max_sdp_bytes)
        peer = await session.connect(offer)
        return answered(request, session.id, peer, server)

    @routes.get("/{session_id}")
    async def look(session_id: str) -> Response:
        live(session_id)
        return nothing_to_see(sdp=True)

    @routes.options("/{session_id}")
    async def ask(session_id: str, request: Request) -> Response:
        return options(request, server, endpoint=True)

    add_peer_routes(routes, server)
    return routes
