"""`/v1/tokens` and tickets: what a key's owner gives to those who have none."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from realtime.access.caller import Scope, caller
from realtime.access.gate import Gate
from realtime.access.tokens import OF_ONE_SESSION
from realtime.errors import BadRequest
from realtime.http.bodies import parse_json
from realtime.server import Server

_PURPOSE = "no key is asked for here, so there is nothing to mint tokens from"


class TokenBody(BaseModel):
    """`POST /v1/tokens`."""

    model_config = ConfigDict(extra="forbid")

    scopes: list[Scope] | None = Field(None, min_length=1, max_length=5)
    session: str | None = Field(None, max_length=64)
    expires_s: int = 3600


def token_routes(server: Server, gate: Gate) -> APIRouter:
    """The calls that mint and take back tokens and tickets."""
    routes = APIRouter()

    @routes.post("/v1/tokens", status_code=201)
    async def mint(request: Request) -> dict[str, Any]:
        if caller().kind == "local":
            raise BadRequest(_PURPOSE)
        body = parse_json(TokenBody, await request.body())
        if body.session is not None:
            server.find_session(body.session)
        scopes = caller().scopes if body.scopes is None else frozenset(body.scopes)
        if body.scopes is None and body.session is not None:
            scopes &= OF_ONE_SESSION
        made = gate.tokens.mint(caller(), scopes, body.expires_s, body.session)
        return {"token": made.secret, "expires_at": made.expires_at}

    @routes.delete("/v1/tokens", status_code=204)
    async def revoke(request: Request) -> Response:
        """A token takes itself back; a key all that it has minted."""
        if caller().kind == "key":
            gate.tokens.revoke_all(caller().key)
        else:
            gate.tokens.revoke(request.headers.get("authorization", "").partition(" ")[2].strip())
        return Response(status_code=204)

    @routes.post("/v1/sessions/{session_id}/tickets", status_code=201)
    async def ticket(session_id: str) -> dict[str, Any]:
        server.find_session(session_id)
        made = gate.tokens.mint_ticket(caller(), session_id)
        return {"ticket": made.secret, "expires_at": made.expires_at}

    return routes
