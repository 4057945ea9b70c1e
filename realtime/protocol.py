"""Events of the data channel `events`, typed. `web_client/protocol.js` mirrors this file.

Names follow OpenAI's Realtime API where it has them. Every event carries `type` and `event_id`.
A client event that is not understood is answered with `error`; a client ignores server events that
it does not know.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipelines.motion.space import Behaviour
from pipelines.pipeline import Control

MAX_EVENT_BYTES = 64 * 1024


def new_event_id() -> str:
    """A fresh id for a server event."""
    return f"event_{secrets.token_hex(8)}"


class BadEvent(ValueError):
    """A client event that cannot be understood; `event_id` is its own, where it could be read."""

    def __init__(self, message: str, event_id: str | None = None) -> None:
        super().__init__(message)
        self.event_id = event_id


class ClientEvent(BaseModel):
    """Base of what a client sends."""

    model_config = ConfigDict(extra="forbid")

    event_id: str | None = Field(None, max_length=128)


class SessionUpdate(ClientEvent):
    """Change the face or the behaviour of the running session."""

    type: Literal["session.update"]
    avatar: str | None = Field(None, min_length=1, max_length=128)
    controls: dict[str, Any] | None = None  # by name, as the pipeline says; others stay as they are
    motion_events: bool | None = None  # whether `avatar.motion` is sent


class OutputClear(ClientEvent):
    """Barge-in: drop everything that has not been played."""

    type: Literal["output_audio_buffer.clear"]


class Ping(ClientEvent):
    """A sign of life; a client that pinged once and then falls silent is taken for gone."""

    type: Literal["ping"]


AnyClientEvent = Annotated[
    SessionUpdate | OutputClear | Ping,
    Field(discriminator="type"),
]
_client_events: TypeAdapter[AnyClientEvent] = TypeAdapter(AnyClientEvent)


class ServerEvent(BaseModel):
    """Base of what the server sends."""

    event_id: str = Field(default_factory=new_event_id)


class SessionInfo(BaseModel):
    """What a client may know of its session."""

    id: str
    avatar: str
    pipeline: str
    size: int  # the longer side
    width: int
    height: int
    frame: str
    controls: dict[str, float]
    playout_delay_ms: int


class SessionCreated(ServerEvent):
    """The first event of a session."""

    type: Literal["session.created"] = "session.created"
    session: SessionInfo
    provenance: str = "AI-generated video of a synthetic avatar"


class SessionUpdated(ServerEvent):
    """The answer to `session.update`, once it is in force."""

    type: Literal["session.updated"] = "session.updated"
    session: SessionInfo


class SpeechStarted(ServerEvent):
    """A voice was heard. `audio_ms` is the position on the media timeline."""

    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    audio_ms: int


class SpeechStopped(ServerEvent):
    """The voice fell silent."""

    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    audio_ms: int


class OutputStarted(ServerEvent):
    """The first sound of a pushed utterance left, with its picture."""

    type: Literal["output_audio_buffer.started"] = "output_audio_buffer.started"


class OutputStopped(ServerEvent):
    """A pushed utterance was played to its end, `played_ms` of it."""

    type: Literal["output_audio_buffer.stopped"] = "output_audio_buffer.stopped"
    played_ms: int


class OutputCleared(ServerEvent):
    """Unplayed media was dropped; `played_ms` had been played of the utterance, or, of a
    microphone, which has no utterances, since the session began."""

    type: Literal["output_audio_buffer.cleared"] = "output_audio_buffer.cleared"
    played_ms: int


class AvatarState(ServerEvent):
    """What the avatar is doing now."""

    type: Literal["avatar.state"] = "avatar.state"
    state: Behaviour


class AvatarMotion(ServerEvent):
    """One frame of motion at media time `t` (seconds), names as in ARKit; sent on request."""

    type: Literal["avatar.motion"] = "avatar.motion"
    t: float
    values: dict[str, float]


class Stats(ServerEvent):
    """Measurements of the last interval, once a second."""

    type: Literal["stats"] = "stats"
    fps: float
    drawn_fps: float  # of these, new pictures; the others repeat the one before
    added_delay_ms: float | None
    playout_delay_ms: float
    av_skew_ms: float | None  # at the sender; a receiver measures its own
    late: int  # pictures, in all: finished after their time
    dropped: int  # never shown
    repeated: int  # shown again for want of a new one
    concealed_ms: float
    jitter_ms: float
    step_ms: float | None
    size: int  # the longer side of what is drawn now
    rung: int  # degradation ladder, sizes below the wanted one: 0 is full quality
    slow: bool = False  # the server's machine is too slow: for a while, many pictures were left out


class ErrorDetail(BaseModel):
    """What went wrong, and for which client event."""

    code: str
    message: str
    event_id: str | None = None


class ErrorEvent(ServerEvent):
    """A client event could not be carried out, or the session is about to end."""

    type: Literal["error"] = "error"
    error: ErrorDetail


class Pong(ServerEvent):
    """The answer to `ping`; `client_event_id` is the ping's."""

    type: Literal["pong"] = "pong"
    client_event_id: str | None = None


def check_controls(
    controls: Sequence[Control], values: Mapping[str, Any], event_id: str | None = None
) -> dict[str, float]:
    """The values as numbers.

    Raises:
        BadEvent: a control that the pipeline does not have, or a value outside its range.
    """
    known = {control.name: control for control in controls}
    checked = {}
    for name, value in values.items():
        if name not in known:
            names = ", ".join(known) or "none"
            raise BadEvent(f"controls: there is no {name[:64]!r}; there are: {names}", event_id)
        try:
            checked[name] = known[name].check(value)
        except ValueError as error:
            raise BadEvent(f"controls: {error}", event_id) from error
    return checked


def parse_client_event(message: str | bytes) -> SessionUpdate | OutputClear | Ping:
    """Read one client event.

    Raises:
        BadEvent: not JSON, too large, of unknown type or with fields that do not fit.
    """
    if len(message) > MAX_EVENT_BYTES:
        raise BadEvent(f"the event has {len(message)} bytes; at most {MAX_EVENT_BYTES} are taken")
    try:
        return _client_events.validate_json(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        event = first.get("input")
        event_id = event.get("event_id") if isinstance(event, dict) else None
        raise BadEvent(
            f"{where or 'event'}: {first['msg']}", event_id if isinstance(event_id, str) else None
        ) from error
