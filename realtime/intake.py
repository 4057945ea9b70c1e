"""What one listener may do with the speech that is pushed into its session."""

from __future__ import annotations

import base64
import binascii
from math import ceil, inf
from typing import Protocol

import numpy as np

from realtime.client_events import (
    InputAppend,
    InputClear,
    InputCommit,
    ItemTruncate,
    OutputClear,
    ResponseCancel,
    SpeechEvent,
)
from realtime.clock import Clock
from realtime.protocol import (
    BufferFullDetail,
    ErrorDetail,
    InputCleared,
    InputCommitted,
    ItemTruncated,
    ServerEvent,
    item_id,
    utterance_of,
)
from realtime.sources.pushed import PAUSE_S, PushedSpeech, TooMuchSpeech
from realtime.sources.source import Source

_SHORTEST_REFUSAL_S = 1.0
"""Once the buffer is full, nothing is taken for so long: what was sent before the refusal could be
read must not slip in behind a gap."""


class Refused(Exception):
    """Something that a client asked for was not done."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.detail = ErrorDetail(code=code, message=message)


class Speaks(Protocol):
    """A session, as those see it who let it speak."""

    speech: Source | None
    """What it says; None: what its microphone hears."""

    def speech_came(self) -> None:
        """There is something to say: media time begins, unless a peer is on its way."""

    def clear(self) -> object:
        """Stop speaking; everybody is told by an event."""

    def tell(self, event: ServerEvent) -> None:
        """Tell everybody who listens."""


class Intake:
    """Carries out the speech events of one listener.

    Args:
        speaker: the session.
        clock: the session's.
    """

    def __init__(self, speaker: Speaks, clock: Clock) -> None:
        self.rate_hz: int | None = None
        """Of what this listener appends; None: the source's own."""
        self.taken = 0
        """Samples, since it came."""
        self._speaker = speaker
        self._clock = clock
        self._odd = b""  # half a sample
        self._appended = -inf  # when something was
        self._resume = -inf
        self._clears = 0  # when it was full

    @property
    def _speech(self) -> PushedSpeech:
        if isinstance(self._speaker.speech, PushedSpeech):
            return self._speaker.speech
        raise Refused(
            "not_pushed",
            "this session says what its microphone hears: open it with audio=push to push speech",
        )

    @property
    def uncommitted(self) -> bool:
        """Something was appended that is no whole utterance yet."""
        speech = self._speaker.speech
        return isinstance(speech, PushedSpeech) and speech.under_way

    @property
    def speaks(self) -> bool:
        """Something is said or waits to be."""
        speech = self._speaker.speech
        return isinstance(speech, PushedSpeech) and speech.active is not None

    def carry_out(self, event: SpeechEvent) -> None:
        """Do what a client asked for.

        Raises:
            Refused: it was not done.
        """
        stops = isinstance(event, OutputClear | ResponseCancel | ItemTruncate)
        clears = self._speech.clears if self.taken and stops else None
        if clears is not None:
            self._speech.heed()  # whoever pushes will not go on with what it stops itself
        self._do(event)
        if clears not in (None, self._speech.clears):
            self._odd = b""

    def _do(self, event: SpeechEvent) -> None:
        match event:
            case InputAppend():
                self._check_room(self._speech)  # decoding 15 MB takes 40 ms
                self.append(_decoded(event.audio))
            case InputCommit():
                self.commit()
            case InputClear():
                self._odd = b""
                self._speech.retract()
                self._speaker.tell(InputCleared())
            case OutputClear():
                self._speaker.clear()
            case ResponseCancel():
                self._cancel(event)
            case ItemTruncate():
                self._truncate(event)

    def append(self, pcm: bytes) -> None:
        """Speech to say, PCM16 little endian.

        Raises:
            Refused: nothing of it was taken.
        """
        speech, now = self._speech, self._clock.now()
        self._check_room(speech)
        if now - self._appended > PAUSE_S and not speech.under_way:
            self._odd = b""  # of another utterance: this one would be noise
        self._appended = now
        pcm = self._odd + pcm
        whole = len(pcm) // 2 * 2
        try:
            speech.push(np.frombuffer(pcm[:whole], "<i2"), now, self.rate_hz)
        except TooMuchSpeech as error:
            self._resume = now + max(_SHORTEST_REFUSAL_S, error.over_s)
            self._clears = speech.clears
            raise self._full(speech) from error
        except ValueError as error:
            raise Refused("invalid_value", str(error)) from error
        self._odd = pcm[whole:]
        self.taken += whole // 2
        self._speaker.speech_came()

    def commit(self) -> None:
        """What was appended is a whole utterance.

        Raises:
            Refused: there is nothing, or not all of it was taken.
        """
        speech = self._speech
        self._check_room(speech)
        self._odd = b""
        before = speech.last_committed
        utterance = speech.commit()
        if utterance is None:
            raise Refused("input_audio_buffer_commit_empty", "nothing was appended since")
        self._speaker.tell(
            InputCommitted(
                item_id=item_id(utterance.id),
                previous_item_id=None if before is None else item_id(before.id),
            )
        )

    def _check_room(self, speech: PushedSpeech) -> None:
        """Raise where it was full, time has not passed, and nobody made room by an interruption."""
        if self._clock.now() < self._resume and self._clears == speech.clears:
            raise self._full(speech)

    def _full(self, speech: PushedSpeech) -> Refused:
        self._odd = b""  # it goes on from a whole sample
        wait_s = max(0.0, self._resume - self._clock.now())
        refused = Refused("buffer_full", "")
        refused.detail = BufferFullDetail(
            code="buffer_full",
            message=f"{speech.waiting_s:.0f} s of speech wait to be spoken: nothing was taken; "
            f"go on after {wait_s:.1f} s from sample {self.taken}",
            waiting_ms=round(speech.waiting_s * 1000),
            retry_after_ms=ceil(wait_s * 1000),
            taken_samples=self.taken,
        )
        return refused

    def _cancel(self, event: ResponseCancel) -> None:
        speech, asked = self._speech, event.response_id
        if speech.active is None:
            raise Refused("response_cancel_not_active", "nothing is being said")
        if asked is not None:
            utterance = speech.find(utterance_of(asked))
            if utterance is None or not speech.waits(utterance):  # it is another that is being said
                raise Refused(
                    "response_cancel_not_active", f"{asked} is not said, nor does it wait"
                )
        self._speaker.clear()

    def _truncate(self, event: ItemTruncate) -> None:
        utterance = self._speech.find(utterance_of(event.item_id))
        if utterance is None:
            raise Refused("item_not_found", f"there is no item {event.item_id!r}")
        if event.audio_end_ms > utterance.pushed_ms:
            raise Refused(
                "invalid_value",
                f"audio_end_ms: the item has {utterance.pushed_ms} ms, not {event.audio_end_ms}",
            )
        if self._speech.waits(utterance):
            self._speaker.clear()
        self._speaker.tell(
            ItemTruncated(
                item_id=event.item_id,
                content_index=event.content_index,
                audio_end_ms=event.audio_end_ms,
                played_ms=utterance.spoken_ms,
            )
        )


def _decoded(audio: str) -> bytes:
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("invalid_value", f"audio is not base64: {error}") from error
