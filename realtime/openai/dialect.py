"""Between a session and a client of OpenAI's Realtime API.

The client is one of an assistant; here it is the assistant's voice: what it appends is said by the
avatar, and an utterance is a response while it is played.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from realtime.client_events import (
    MAX_EVENT_BYTES,
    MAX_ID_LENGTH,
    MAX_UNSPOKEN_BYTES,
    AnyClientEvent,
    BadEvent,
    InputAppend,
    InputClear,
    InputCommit,
    ItemTruncate,
    OutputClear,
    Ping,
    ResponseCancel,
    SessionUpdate,
    TurnDetection,
    read_json,
)
from realtime.control import Listener
from realtime.cursor import Cursor
from realtime.media import VOICE_RATE_HZ, Voice
from realtime.openai.shapes import PCM, RATE_HZ, Object, Response, dig, merged, session_object
from realtime.protocol import new_event_id
from realtime.sources.pushed import HIGHEST_RATE_HZ, LOWEST_RATE_HZ

_PASSED: dict[str, type[AnyClientEvent]] = {
    "input_audio_buffer.append": InputAppend,
    "input_audio_buffer.commit": InputCommit,
    "input_audio_buffer.clear": InputClear,
    "output_audio_buffer.clear": OutputClear,
    "response.cancel": ResponseCancel,
    "conversation.item.truncate": ItemTruncate,
    "ping": Ping,
}
"""Events that mean the same here."""


class SessionWish(BaseModel):
    """What is read of a client's `session`; all else is kept and told back."""

    rate: int = RATE_HZ
    out_rate: int = RATE_HZ
    turn_detection: TurnDetection | None = None

    @classmethod
    def of(cls, session: Any) -> SessionWish:
        """Raises BadEvent where it cannot be."""
        formats = [dig(session, "audio", way, "format") for way in ("input", "output")]
        for asked in formats:
            if isinstance(asked, dict) and asked.get("type", PCM) != PCM:
                raise BadEvent(f"sound is {PCM} here, not {str(asked['type'])[:64]}")
        rates = [dig(asked, "rate") or RATE_HZ for asked in formats]
        for rate in rates:
            if not isinstance(rate, int) or not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
                raise BadEvent(
                    f"rates are {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, not {str(rate)[:64]}"
                )
        turns = dig(session, "audio", "input", "turn_detection")
        try:
            return cls(rate=rates[0], out_rate=rates[1], turn_detection=turns)
        except ValidationError as error:
            raise BadEvent(f"turn_detection: {error.errors()[0]['msg']}") from error


class RealtimeDialect:
    """Translates for one client: `tell` is for the session, `take` for the client.

    Args:
        send: to the client.
        model: what the client called.
        wanted: of the session, before the client says more.
        voice: what is played, to be sent as `response.output_audio.delta`.
    """

    def __init__(
        self,
        send: Callable[[str], object],
        model: str,
        wanted: Object,
        voice: Cursor[Voice] | None = None,
    ) -> None:
        self.listener: Listener
        """Set by whoever attaches it to the session."""
        self._send = send
        self._model = model
        self._wanted = wanted
        self._voice = voice
        self._out_rate = RATE_HZ
        self._resampler: av.AudioResampler | None = None
        self._response: Response | None = None
        self._items: dict[str, Object] = {}
        self._last_item: str | None = None

    # From the session

    def tell(self, text: str) -> None:
        """One event of ours."""
        event = json.loads(text)
        kind = event["type"]
        if kind in ("session.created", "session.updated"):
            about = event["session"]
            event["session"] = session_object(about["id"], self._model, self._wanted)
            event["session"]["avatar"] = about
        elif kind == "output_audio_buffer.started":
            self._begin(event["response_id"], event["item_id"])
        elif kind in ("output_audio_buffer.stopped", "output_audio_buffer.cleared"):
            self._end(whole=kind.endswith("stopped"))
        self._send(json.dumps(event))

    def _begin(self, response_id: str, item_id: str) -> None:
        self._response = Response(response_id, item_id, self._last_item)
        self._last_item = item_id
        self._remember("in_progress")
        self._say(*self._response.begins())

    def _end(self, *, whole: bool) -> None:
        if self._response is None:
            return
        self.drain()
        self._say(*self._voice_left())
        self._remember("completed" if whole else "incomplete")
        self._say(*self._response.ends(whole=whole))
        self._response = None

    def _remember(self, status: str) -> None:
        assert self._response is not None
        self._items[self._response.item_id] = self._response.item(status)
        while len(self._items) > 200:
            del self._items[next(iter(self._items))]

    def _say(self, *events: Object) -> None:
        for event in events:
            self._send(json.dumps({"event_id": new_event_id(), **event}))

    # The voice

    async def speak(self) -> None:
        """Send the voice as it leaves, until it ends."""
        assert self._voice is not None
        async for voice in self._voice:
            self._hear(voice)

    def drain(self) -> None:
        """Send what left already: the end of a response must not overtake it."""
        while self._voice is not None and (voice := self._voice.pop()) is not None:
            self._hear(voice)

    def _hear(self, voice: Voice) -> None:
        if self._response is not None:
            self._say(*self._deltas(_mono(voice.pcm)))

    def _deltas(self, pcm: NDArray[np.int16] | None) -> list[Object]:
        """PCM at 48 kHz, None at the end -> events that carry it at the client's rate."""
        assert self._response is not None
        if self._resampler is None:
            self._resampler = av.AudioResampler("s16", "mono", self._out_rate)
        frame = None
        if pcm is not None:
            frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
            frame.sample_rate = VOICE_RATE_HZ
        parts = [part.to_ndarray().reshape(-1) for part in self._resampler.resample(frame)]
        return [
            {
                "type": "response.output_audio.delta",
                **self._response.part,
                "delta": base64.b64encode(part.astype("<i2").tobytes()).decode(),
            }
            for part in parts
            if len(part)
        ]

    def _voice_left(self) -> list[Object]:
        if self._voice is None or self._resampler is None:
            return []
        left = self._deltas(None)
        self._resampler = None
        return left

    # From the client

    def take(self, message: str | bytes, max_bytes: int = MAX_EVENT_BYTES) -> None:
        """One event of the client's."""
        try:
            event = read_json(message, max_bytes)
        except BadEvent as error:
            self.listener.refuse("bad_event", str(error))
            return
        event_id = event.get("event_id")
        known = isinstance(event_id, str) and len(event_id) <= MAX_ID_LENGTH
        event_id = event_id if known else None
        try:
            self._carry_out(event, event_id)
        except BadEvent as error:
            self.listener.refuse("invalid_value", str(error), event_id)

    def _carry_out(self, event: Object, event_id: str | None) -> None:
        kind = event.get("type")
        if kind != "input_audio_buffer.append" and not self.listener.may_say():
            return
        if isinstance(kind, str) and kind in _PASSED:
            self.listener.take(_typed(_PASSED[kind], event))
        elif kind == "session.update":
            self._update(event, event_id)
        elif kind == "response.create":
            self._create(event_id)
        elif kind == "conversation.item.retrieve":
            self._retrieve(event.get("item_id"), event_id)
        else:
            message = f"there is no assistant here that knows the event {str(kind)[:64]!r}"
            self.listener.refuse("unknown_event", message, event_id)

    def _update(self, event: Object, event_id: str | None) -> None:
        session = event.get("session")
        if not isinstance(session, dict):
            raise BadEvent("session: an object is needed")
        wanted = merged(self._wanted, session)
        self.listener.take(self.update(wanted, event_id))

    def update(self, wanted: Object, event_id: str | None = None) -> SessionUpdate:
        """A client's wishes as an event of ours.

        Raises:
            BadEvent: they cannot be met.
        """
        wish = SessionWish.of(wanted)
        if len(json.dumps(wanted)) > MAX_UNSPOKEN_BYTES:
            raise BadEvent(f"session: at most {MAX_UNSPOKEN_BYTES} bytes of it are kept")
        self._wanted, self._out_rate = wanted, wish.out_rate
        return SessionUpdate.model_validate(
            {
                "type": "session.update",
                "event_id": event_id,
                "rate": wish.rate,
                "turn_detection": wish.turn_detection,
            }
        )

    def _create(self, event_id: str | None) -> None:
        """Nobody answers here: what was appended is to be said."""
        if self.listener.intake.uncommitted:
            self.listener.take(InputCommit(type="input_audio_buffer.commit", event_id=event_id))
        elif not self.listener.intake.speaks:
            self.listener.refuse("nothing_to_say", "append what is to be said first", event_id)

    def _retrieve(self, item_id: Any, event_id: str | None) -> None:
        item = self._items.get(item_id) if isinstance(item_id, str) else None
        if item is None:
            self.listener.refuse(
                "item_not_found", f"there is no item {str(item_id)[:64]}", event_id
            )
        else:
            self._say({"type": "conversation.item.retrieved", "item": item})


def _typed(kind: type[AnyClientEvent], event: Object) -> AnyClientEvent:
    """The fields that we know, checked."""
    known = {name: value for name, value in event.items() if name in kind.model_fields}
    try:
        return kind.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadEvent(f"{where}: {first['msg']}") from error


def _mono(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    return pcm if pcm.ndim == 1 else np.ascontiguousarray(pcm[:, 0])
