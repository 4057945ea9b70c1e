"""What requests carry: types, and complaints in one line."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from realtime.errors import BadOffer, BadRequest, UnsupportedType
from realtime.session_request import SessionRequest

Body = TypeVar("Body", bound=BaseModel)
_QUERY = ("avatar", "pipeline", "audio", "rate", "frame", "size", "seed")


class OfferBody(BaseModel):
    """`POST /v1/sessions` as JSON. Without an offer, whoever pushes and watches comes later."""

    model_config = ConfigDict(extra="ignore")

    sdp: str | None = Field(None, min_length=1)
    type: Literal["offer"] | None = None
    avatar: str | None = Field(None, max_length=128)
    pipeline: str | None = Field(None, max_length=64)
    audio: Literal["microphone", "push"] = "microphone"
    rate: int = 24_000
    frame: str | None = Field(None, min_length=1, max_length=16)
    size: int | str | None = None
    seed: int | None = Field(None, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.sdp is None and (self.type is not None or self.audio == "microphone"):
            raise ValueError("an offer is missing; only with audio=push can it come later")
        if self.sdp is not None and self.type is None:
            raise ValueError("type: an offer has the type offer")
        return self

    def request(self) -> SessionRequest:
        """What it asks for, besides the offer."""
        return SessionRequest(**self.model_dump(exclude={"sdp", "type", "rate"}), rate_hz=self.rate)


class SessionPatch(BaseModel):
    """`PATCH /v1/sessions/{id}` as JSON."""

    model_config = ConfigDict(extra="forbid")

    avatar: str = Field(min_length=1, max_length=128)


def parse_json(kind: type[Body], body: bytes) -> Body:
    """Read a JSON body, or raise BadRequest."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(first_problem(error.errors(include_url=False))) from error


async def read_offer(request: Request) -> OfferBody:
    """The offer of `POST /v1/sessions`, in either form.

    Raises:
        BadOffer, BadRequest, UnsupportedType.
    """
    kind, raw = content_type(request), await request.body()
    if kind == "application/json":
        return parse_json(OfferBody, raw)
    if kind != "application/sdp":
        raise UnsupportedType(
            f"send the offer as application/sdp or application/json, not {kind or 'untyped'}"
        )
    try:
        fields: dict[str, Any] = {"sdp": raw.decode(), "type": "offer"}
    except UnicodeDecodeError as error:
        raise BadOffer("the offer is not UTF-8 text") from error
    query = request.query_params
    try:
        return OfferBody.model_validate(fields | {k: query[k] for k in _QUERY if k in query})
    except ValidationError as error:
        raise BadRequest(first_problem(error.errors(include_url=False))) from error


def content_type(request: Request) -> str:
    """The media type alone, lower case; empty where there is none."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def first_problem(errors: Any) -> str:
    """One of pydantic's complaints in words."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where or 'body'}: {first['msg']}"
