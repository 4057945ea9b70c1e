"""Events that clients send, typed: by the data channel `events` and by sockets.

See `realtime.protocol`, which has what the server sends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from pipelines.pipeline import Control

MAX_EVENT_BYTES = 64 * 1024
MAX_UNSPOKEN_BYTES = 256 * 1024
"""Of an event that carries no speech, where those that do may be larger."""
_MAX_PARTS = 32
"""Commas in a larger one, which is a type, an id and speech: a list of millions takes seconds to
read, and all others wait for that."""
MAX_ID_LENGTH = 128


class BadEvent(ValueError):
    """A client event that cannot be understood; `event_id` is its own, where it could be read."""

    def __init__(self, message: str, event_id: str | None = None) -> None:
        super().__init__(message)
        self.event_id = event_id


class ClientEvent(BaseModel):
    """Base of what a client sends."""

    model_config = ConfigDict(extra="forbid")

    event_id: str | None = Field(None, max_length=MAX_ID_LENGTH)


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


def read_json(message: str | bytes, max_bytes: int = MAX_EVENT_BYTES) -> dict[str, Any]:
    """An object as a client wrote it: no halves of characters in it that could not be sent back,
    and no deeper than can be written.

    Raises:
        BadEvent: it is none, or too large.
    """
    _check_size(message, max_bytes)
    try:
        said = from_json(message)
    except ValueError as error:
        raise BadEvent(f"the event is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise BadEvent("an event is a JSON object")
    return said


def _check_size(message: str | bytes, max_bytes: int) -> None:
    if len(message) > max_bytes:
        raise BadEvent(f"the event has {len(message)} bytes; at most {max_bytes} are taken")
    if len(message) > MAX_UNSPOKEN_BYTES:
        comma: Any = "," if isinstance(message, str) else b","
        if message.count(comma) > _MAX_PARTS:
            raise BadEvent(
                f"the event has {len(message)} bytes; only speech may have more than "
                f"{MAX_UNSPOKEN_BYTES}"
            )


def parse_client_event(message: str | bytes, max_bytes: int = MAX_EVENT_BYTES) -> AnyClientEvent:
    """Read one client event.

    Raises:
        BadEvent: not JSON, too large, of unknown type or with fields that do not fit.
    """
    _check_size(message, max_bytes)
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
