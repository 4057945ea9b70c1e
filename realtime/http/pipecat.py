"""`/api/offer`: Pipecat's SmallWebRTC clients, as they are.

`pc_id` is the session's id and the peer's, so there is no second table of connections. A client
whose connection was lost offers again with `restart_pc`: its new peer takes the old one's place in
the same session, or, where that has ended, opens another.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from realtime.errors import BadRequest, IceRestart, UnknownSession
from realtime.http.bodies import OfferBody, first_problem, parse_json
from realtime.parties import Dialects, Party
from realtime.rtvi import CHANNEL, Rtvi
from realtime.session import Session
from realtime.session_host import SessionHost
from realtime.session_request import SessionRequest
from realtime.sinks.webrtc.offer import CALL_WITH_SCREEN, Offer, parse_offer
from realtime.sinks.webrtc.peer import Peer

PATH = "/api/offer"
_FIELDS = ("avatar", "pipeline", "audio", "rate", "frame", "size", "seed")


class PipecatOffer(BaseModel):
    """What their clients post."""

    model_config = ConfigDict(extra="ignore")

    sdp: str = Field(min_length=1)
    type: Literal["offer"]
    pc_id: str | None = Field(None, max_length=128)
    restart_pc: bool | None = False
    requestData: dict[str, Any] | None = None
    """What the application adds: here, further fields of `POST /v1/sessions`."""


class Candidate(BaseModel):
    """One of a peer's addresses. They are passed over, as `parse_offer` says."""

    model_config = ConfigDict(extra="ignore")

    candidate: str = Field(max_length=1024)
    sdp_mid: str | None = Field(None, max_length=64)
    sdp_mline_index: int | None = None


class Candidates(BaseModel):
    """What their clients send after the offer."""

    model_config = ConfigDict(extra="ignore")

    pc_id: str = Field(max_length=128)
    candidates: list[Candidate] = Field(max_length=64)


def pipecat_routes(server: SessionHost) -> APIRouter:
    """The calls of a SmallWebRTC client."""
    routes = APIRouter()

    @routes.post(PATH)
    async def answer_offer(request: Request) -> dict[str, str]:
        body = parse_json(PipecatOffer, await request.body())
        there = _find(server, body.pc_id)
        if there is None:
            wanted = _wanted(request, body)
            called = await server.call(wanted, body.sdp, CALL_WITH_SCREEN, dialects=_dialects)
            return _answer(*called)
        offer = parse_offer(body.sdp, CALL_WITH_SCREEN, max_bytes=server.config.max_sdp_bytes)
        if body.restart_pc:
            return _answer(there[0], await _replace(*there, offer))
        return _answer(there[0], _same(there[1], offer))

    @routes.patch(PATH)
    async def take_candidates(request: Request) -> dict[str, str]:
        body = parse_json(Candidates, await request.body())
        if _find(server, body.pc_id) is None:
            raise UnknownSession("no such connection: it has ended or never was")
        return {"status": "success"}

    return routes


def _answer(session: Session, peer: Peer) -> dict[str, str]:
    return {"sdp": peer.answer_sdp, "type": "answer", "pc_id": f"{session.id}.{peer.id}"}


def _find(server: SessionHost, pc_id: str | None) -> tuple[Session, Party] | None:
    """The connection of this id, if there is one."""
    session_id, _, peer_id = (pc_id or "").partition(".")
    session = server.sessions.get(session_id)
    if session is None or session.closing:
        return None
    for party in session.parties:
        if party.peer is not None and party.peer.id == peer_id:
            return session, party
    return None


async def _replace(session: Session, old: Party, offer: Offer) -> Peer:
    """A new peer in place of one that is lost; the session goes on, and hears the new one."""
    old.has_microphone = False
    peer = await session.connect(offer, _dialects(session))
    session.parties.leave(old, "replaced")
    return peer


def _dialects(session: Session) -> Dialects:
    def hang_up(client: Rtvi) -> None:
        for party in session.parties:
            if party.listener is client.listener:
                session.parties.leave(party, "hung_up")

    return {CHANNEL: lambda send: Rtvi(send, hang_up)}


def _same(party: Party, offer: Offer) -> Peer:
    """Nothing has changed but candidates: the answer is the same.

    Raises:
        IceRestart: a connection that is to be made anew needs `restart_pc`.
    """
    assert party.peer is not None
    if not party.peer.shares(offer.credentials):
        raise IceRestart("ICE cannot be restarted here: offer anew, with restart_pc")
    return party.peer


def _wanted(request: Request, body: PipecatOffer) -> SessionRequest:
    """By the query or, before it, by `requestData`."""
    said = {**request.query_params, **(body.requestData or {})}
    fields = {name: said[name] for name in _FIELDS if name in said}
    try:
        wanted = OfferBody.model_validate({**fields, "sdp": body.sdp, "type": "offer"})
    except ValidationError as error:
        raise BadRequest(first_problem(error.errors(include_url=False))) from error
    return wanted.request()
