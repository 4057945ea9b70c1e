"""What WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03) have in common: an offer in; an answer
and the address of the new peer out.

There are no ETags: an ICE connection cannot be restarted here, and without restarts they are
optional. Players and publishers that never send `If-Match` are served like those that do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request, Response

from realtime.errors import BadOffer, IceRestart, UnknownSession, UnsupportedType
from realtime.http.bodies import content_type
from realtime.parties import Parties
from realtime.session_host import SessionHost
from realtime.sinks.webrtc import fragments
from realtime.sinks.webrtc.peer import Peer

SDP = "application/sdp"
_ENDPOINT_METHODS = "OPTIONS, GET, HEAD, POST"
_RESOURCE_METHODS = "OPTIONS, GET, HEAD, PATCH, DELETE"
_EXPOSED = "Location, Link, Accept-Post, Accept-Patch, Retry-After"
_SENT = "Authorization, Content-Type, If-Match, ETag"
"""Eyevinn's publisher names the tag of a connection in a header ETag."""


async def read_sdp(request: Request) -> str:
    """The offer in a request.

    Raises:
        BadOffer, UnsupportedType.
    """
    if (kind := content_type(request)) != SDP:
        raise UnsupportedType(f"send the offer as {SDP}, not {kind or 'untyped'}")
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise BadOffer("the offer is not UTF-8 text") from error


def answered(request: Request, session_id: str, peer: Peer, server: SessionHost) -> Response:
    """201, with the answer. The address is a path and has no query: OBS would lose it."""
    protocol = request.url.path.removeprefix(request.scope.get("root_path", "")).split("/")[1]
    response = Response(peer.answer_sdp, 201, media_type=SDP)
    response.headers["Location"] = located(request, f"/{protocol}/{session_id}/{peer.id}")
    response.headers["Accept-Patch"] = fragments.MEDIA_TYPE
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    add_links(response, server.ice_servers())
    return response


def located(request: Request, path: str) -> str:
    """`path` as seen from outside, where a proxy puts the server under a prefix."""
    return f"{request.scope.get('root_path', '').rstrip('/')}{path}"


def nothing_to_see(*, sdp: bool) -> Response:
    """The answer to GET and HEAD: whoever asks learns that it is there."""
    response = Response(b"", 200, media_type=SDP if sdp else None)
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    return response


def options(request: Request, server: SessionHost, *, endpoint: bool) -> Response:
    """What can be done here. Which origins may, the guard before the routes says."""
    methods = _ENDPOINT_METHODS if endpoint else _RESOURCE_METHODS
    response = Response(b"", 200)
    response.headers["Allow"] = methods
    response.headers["Accept-Post" if endpoint else "Accept-Patch"] = (
        SDP if endpoint else fragments.MEDIA_TYPE
    )
    # Eyevinn's publisher trickles only where PATCH is named at the endpoint.
    response.headers["Access-Control-Allow-Methods"] = f"{_ENDPOINT_METHODS}, PATCH, DELETE"
    response.headers["Access-Control-Allow-Headers"] = _SENT
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    if "access-control-request-method" not in request.headers:  # a preflight has no token
        add_links(response, server.ice_servers())
    return response


def add_links(response: Response, servers: Iterable[dict[str, Any]]) -> None:
    """A `Link` of its own for each URL of each STUN and TURN server."""
    for server in servers:
        urls = server["urls"]
        for url in [urls] if isinstance(urls, str) else urls:
            link = f'<{url}>; rel="ice-server"'
            if "username" in server:
                link += f'; username="{server["username"]}"; credential="{server["credential"]}"'
                link += '; credential-type="password"'
            response.headers.append("Link", link)


def add_peer_routes(routes: APIRouter, server: SessionHost) -> None:
    """What can be done with a peer at the address that its POST was answered with."""

    def find(session_id: str, peer_id: str) -> Peer:
        return find_peer(server.session(session_id).parties, peer_id)

    @routes.get("/{session_id}/{peer_id}")
    async def look(session_id: str, peer_id: str) -> Response:
        find(session_id, peer_id)
        return nothing_to_see(sdp=True)

    @routes.patch("/{session_id}/{peer_id}")
    async def patch(session_id: str, peer_id: str, request: Request) -> Response:
        return await trickle(request, [find(session_id, peer_id)])

    @routes.delete("/{session_id}/{peer_id}")
    async def end(session_id: str, peer_id: str) -> Response:
        await find(session_id, peer_id).close()
        return Response(status_code=200)  # OBS takes anything else for a failure

    @routes.options("/{session_id}/{peer_id}")
    async def ask(session_id: str, peer_id: str, request: Request) -> Response:
        return options(request, server, endpoint=False)


def find_peer(parties: Parties, peer_id: str) -> Peer:
    """The peer of this id.

    Raises:
        UnknownSession: it has gone, or never was.
    """
    for party in parties:
        if party.peer is not None and party.peer.id == peer_id:
            return party.peer
    raise UnknownSession("no such connection: it has ended or never was")


async def trickle(request: Request, peers: Iterable[Peer]) -> Response:
    """PATCH: 204, if the candidates are of one of these connections.

    Raises:
        BadRequest, IceRestart, UnsupportedType.
    """
    if (kind := content_type(request)) != fragments.MEDIA_TYPE:
        raise UnsupportedType(f"send candidates as {fragments.MEDIA_TYPE}, not {kind or 'untyped'}")
    credentials = fragments.read_fragment(await request.body())
    if not any(peer.shares(credentials) for peer in peers):
        raise IceRestart("ICE cannot be restarted here: end this connection and make another offer")
    return Response(status_code=204)
