"""`/whip/{avatar}` (RFC 9725): a publisher's microphone opens a session; WHEP is where to watch it.

The publisher is a peer of the session like others: the session goes on as long as anybody is there.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from realtime.errors import BadRequest
from realtime.http.bodies import OfferBody, first_problem
from realtime.http.peers import (
    add_peer_routes,
    answered,
    located,
    nothing_to_see,
    options,
    read_sdp,
)
from realtime.session_host import SessionHost
from realtime.session_request import SessionRequest
from realtime.sinks.webrtc.offer import PUBLISH

VIEWERS = "urn:ietf:params:whip:ext:vivavoce:whep"
"""The relation of a link to where the session can be watched."""
_QUERY = ("pipeline", "size", "frame", "seed")


def whip_routes(server: SessionHost) -> APIRouter:
    """The calls of a WHIP publisher."""
    routes = APIRouter(prefix="/whip")

    @routes.post("/{avatar}", status_code=201)
    async def publish(avatar: str, request: Request) -> Response:
        sdp = await read_sdp(request)
        session, peer = await server.call(_wanted(avatar, sdp, request), sdp, PUBLISH)
        response = answered(request, session.id, peer, server)
        where = located(request, f"/whep/{session.id}")
        response.headers.append("Link", f'<{where}>; rel="{VIEWERS}"')
        return response

    @routes.get("/{avatar}")
    async def look(avatar: str) -> Response:
        server.avatars.get(avatar)
        return nothing_to_see(sdp=False)

    @routes.options("/{avatar}")
    async def ask(avatar: str, request: Request) -> Response:
        return options(request, server, endpoint=True)

    add_peer_routes(routes, server)
    return routes


def _wanted(avatar: str, sdp: str, request: Request) -> SessionRequest:
    query = request.query_params
    fields = {name: query[name] for name in _QUERY if name in query}
    try:
        body = OfferBody(sdp=sdp or "-", type="offer", avatar=avatar, **fields)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BadRequest(first_problem(error.errors(include_url=False))) from error
    return body.request()
