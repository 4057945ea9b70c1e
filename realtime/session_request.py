"""What a client asks for when it opens a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from realtime.errors import BadRequest
from realtime.sources.pushed import PushedSpeech


@dataclass(frozen=True)
class SessionRequest:
    """What a client asks for. None takes the server's default."""

    avatar: str | None = None
    pipeline: str | None = None
    size: int | str | None = None
    seed: int | None = None
    frame: str | None = None
    audio: Literal["microphone", "push"] = "microphone"
    """Where what the avatar says comes from: the first peer's microphone, or `Session.speech`."""
    rate_hz: int = 24_000
    """Of the PCM that is pushed."""

    def speech(self) -> PushedSpeech | None:
        """What the session says, where it is pushed.

        Raises:
            BadRequest: there is no such rate.
        """
        if self.audio == "microphone":
            return None
        try:
            return PushedSpeech(self.rate_hz)
        except ValueError as error:
            raise BadRequest(str(error)) from error
