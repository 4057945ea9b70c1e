"""Events of the data channel `events` and of the audio socket, typed; mirrored by
`web_client/client/protocol.js`.

Names follow OpenAI's Realtime API where it has them. Every event carries `type` and `event_id`.
A client event that is not understood is answered with `error`; a client ignores server events that
it does not know.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, TypeAdapter, ValidationError

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


class TurnDetection(BaseModel):
    """Whose turn it is, where the user is heard beside pushed speech."""

    model_config = ConfigDict(extra="ignore")  # OpenAI's have thresholds that are ours to choose

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    interrupt_response: bool = True  # the user's voice stops the avatar's


class SessionUpdate(ClientEvent):
    """Change the face or the behaviour of the running session."""

    type: Literal["session.update"]
    avatar: str | None = Field(None, min_length=1, max_length=128)
    controls: dict[str, Any] | None = None  # by name, as the pipeline says; others stay as they are
    motion_events: bool | None = None  # whether `avatar.motion` is sent
    rate: int | None = None  # of the speech that this client appends, from the next utterance on
    turn_detection: TurnDetection | None = None  # null switches it off


class OutputClear(ClientEvent):
    """Barge-in: drop everything that has not been played."""

    type: Literal["output_audio_buffer.clear"]


class InputAppend(ClientEvent):
    """Speech for the avatar to say."""

    type: Literal["input_audio_buffer.append"]
    audio: str  # base64 of PCM16, little endian, mono


class InputCommit(ClientEvent):
    """What was appended is a whole utterance."""

    type: Literal["input_audio_buffer.commit"]


class InputClear(ClientEvent):
    """Forget what was appended, not committed and not on its way to be played."""

    type: Literal["input_audio_buffer.clear"]


class ResponseCancel(ClientEvent):
    """As `OutputClear`; an error where nothing is said."""

    type: Literal["response.cancel"]
    response_id: str | None = Field(None, max_length=128)


class ItemTruncate(ClientEvent):
    """The user heard no more of an utterance than that: it is not spoken on."""

    type: Literal["conversation.item.truncate"]
    item_id: str = Field(max_length=128)
    content_index: int = 0
    audio_end_ms: int = Field(ge=0)


class Ping(ClientEvent):
    """A sign of life; a client that pinged once and then falls silent is taken for gone."""

    type: Literal["ping"]


SpeechEvent = InputAppend | InputCommit | InputClear | OutputClear | ResponseCancel | ItemTruncate
AnyClientEvent = SessionUpdate | Ping | SpeechEvent
_client_events: TypeAdapter[AnyClientEvent] = TypeAdapter(
    Annotated[AnyClientEvent, Field(discriminator="type")]
)


class ServerEvent(BaseModel):
    """Base of what the server sends."""

    event_id: str = Field(default_factory=new_event_id)


class SpeechInfo(BaseModel):
    """How speech is pushed into a session."""

    rate: int  # of what is appended by those who say nothing else, Hz
    max_waiting_ms: int


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
    speech: SpeechInfo | None = None  # None: the avatar says what its microphone hears
    turn_detection: TurnDetection | None = None


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
    """A user's voice was heard. `audio_start_ms` is the position on the media timeline."""

    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    audio_ms: int
    audio_start_ms: int = 0
    item_id: str = ""


class SpeechStopped(ServerEvent):
    """The voice fell silent."""

    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    audio_ms: int
    audio_end_ms: int = 0
    item_id: str = ""


class InputCommitted(ServerEvent):
    """A pushed utterance is whole."""

    type: Literal["input_audio_buffer.committed"] = "input_audio_buffer.committed"
    item_id: str
    previous_item_id: str | None


class InputCleared(ServerEvent):
    """What was appended and not committed is forgotten."""

    type: Literal["input_audio_buffer.cleared"] = "input_audio_buffer.cleared"


class OutputStarted(ServerEvent):
    """The first sound of a pushed utterance left, with its picture."""

    type: Literal["output_audio_buffer.started"] = "output_audio_buffer.started"
    response_id: str = ""
    item_id: str = ""


class OutputStopped(ServerEvent):
    """A pushed utterance was played to its end, `played_ms` of it."""

    type: Literal["output_audio_buffer.stopped"] = "output_audio_buffer.stopped"
    response_id: str = ""
    item_id: str = ""
    played_ms: int


class OutputCleared(ServerEvent):
    """Unplayed media was dropped; `played_ms` had been played of the utterance, or, of a
    microphone, which has no utterances, since the session began."""

    type: Literal["output_audio_buffer.cleared"] = "output_audio_buffer.cleared"
    response_id: str = ""
    item_id: str = ""
    played_ms: int


class ItemTruncated(ServerEvent):
    """The answer to `conversation.item.truncate`; `played_ms` had left of the utterance."""

    type: Literal["conversation.item.truncated"] = "conversation.item.truncated"
    item_id: str
    content_index: int
    audio_end_ms: int
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

    type: Literal["invalid_request_error", "server_error"] = "invalid_request_error"
    code: str
    message: str
    param: str | None = None
    event_id: str | None = None


class BufferFullDetail(ErrorDetail):
    """More speech than may wait: nothing of it was taken, nor will be before `retry_after_ms`."""

    waiting_ms: int
    retry_after_ms: int
    taken_samples: int  # by this client since it came: where it goes on


class ErrorEvent(ServerEvent):
    """A client event could not be carried out, or the session is about to end."""

    type: Literal["error"] = "error"
    error: SerializeAsAny[ErrorDetail]


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


def item_id(utterance: str) -> str:
    """The id of an utterance as an item of a conversation; `utterance_of` is the way back."""
    return f"item_{utterance}"


def response_id(utterance: str) -> str:
    """The id of an utterance as a response."""
    return f"resp_{utterance}"


def utterance_of(item: str) -> str:
    """The utterance of an item or a response."""
    return item.partition("_")[2]


def parse_client_event(message: str | bytes, max_bytes: int = MAX_EVENT_BYTES) -> AnyClientEvent:
    """Read one client event.

    Raises:
        BadEvent: not JSON, too large, of unknown type or with fields that do not fit.
    """
    if len(message) > max_bytes:
        raise BadEvent(f"the event has {len(message)} bytes; at most {max_bytes} are taken")
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
