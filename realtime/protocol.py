"""Events that the server sends by the data channel `events` and by sockets, typed; mirrored, with
those of `realtime.client_events`, by `web_client/client/protocol.js`.

Names follow OpenAI's Realtime API where it has them. Every event carries `type` and `event_id`.
A client event that is not understood is answered with `error`; a client ignores server events that
it does not know.
"""

from __future__ import annotations

import secrets
from typing import Literal

from pydantic import BaseModel, Field, SerializeAsAny

from pipelines.motion.space import Behaviour
from realtime.client_events import TurnDetection


def new_event_id() -> str:
    """A fresh id for a server event."""
    return f"event_{secrets.token_hex(8)}"


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


def item_id(utterance: str) -> str:
    """The id of an utterance as an item of a conversation; `utterance_of` is the way back."""
    return f"item_{utterance}"


def response_id(utterance: str) -> str:
    """The id of an utterance as a response."""
    return f"resp_{utterance}"


def utterance_of(item: str) -> str:
    """The utterance of an item or a response."""
    return item.partition("_")[2]
