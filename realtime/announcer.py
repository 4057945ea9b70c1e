"""What happens in a stream, told to those who listen to its session."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from pipelines.audio.vad import SpeechEdge
from pipelines.motion.space import Behaviour
from realtime.avatar_stream import AvatarStream
from realtime.control import ControlHub
from realtime.media import SAMPLE_RATE_HZ, Frame
from realtime.protocol import (
    AvatarMotion,
    AvatarState,
    OutputCleared,
    OutputStarted,
    OutputStopped,
    ServerEvent,
    SpeechStarted,
    SpeechStopped,
    item_id,
    response_id,
)
from realtime.sources.source import Playback


class Announcer:
    """Turns what a stream tells into events.

    Args:
        motion_names: of the numbers in a frame's motion; empty where they are a code.
        listens: the user's voice is not the avatar's: while it is heard, an idle avatar listens.
        on_user: called when the user begins to speak.
    """

    def __init__(
        self,
        stream: AvatarStream,
        hub: ControlHub,
        motion_names: tuple[str, ...],
        listens: bool,
        on_user: Callable[[], None],
    ) -> None:
        self.behaviour: Behaviour = "idle"
        self._hub = hub
        self._motion_names = motion_names
        self._listens = listens
        self._on_user = on_user
        self._user_speaks = False
        self._turn = ""
        self._last = "", 0
        stream.on_edge, stream.on_frame = self._edge, self._frame
        stream.on_playback = self._playback

    def _edge(self, edge: SpeechEdge) -> None:
        self._user_speaks = edge.kind == "started"
        at = edge.position * 1000 // SAMPLE_RATE_HZ
        if self._user_speaks:
            self._turn = item_id(f"user{secrets.token_hex(6)}")
            self._hub.send(SpeechStarted(audio_ms=at, audio_start_ms=at, item_id=self._turn))
            self._on_user()
        else:
            self._hub.send(SpeechStopped(audio_ms=at, audio_end_ms=at, item_id=self._turn))

    def _frame(self, frame: Frame) -> None:
        behaviour = frame.behaviour
        if self._listens and self._user_speaks and behaviour == "idle":
            behaviour = "listening"
        if behaviour != self.behaviour:
            self.behaviour = behaviour
            self._hub.send(AvatarState(state=behaviour))
        if self._hub.wants_motion:
            names = self._motion_names or [f"code{n}" for n in range(len(frame.motion))]
            values = dict(zip(names, [round(float(v), 4) for v in frame.motion], strict=True))
            self._hub.send(AvatarMotion(t=frame.start / SAMPLE_RATE_HZ, values=values))

    def _playback(self, playback: Playback) -> None:
        utterance, played_ms = playback.utterance, playback.played_ms
        if utterance:
            self._last = utterance, played_ms
        elif self._last[0]:  # nothing was left to clear: say again what became of the last
            utterance, played_ms = self._last
        response = item = ""  # of a microphone, or before anything was said, there is none
        if utterance:
            response, item = response_id(utterance), item_id(utterance)
        event: ServerEvent = OutputStarted(response_id=response, item_id=item)
        if playback.kind == "stopped":
            event = OutputStopped(response_id=response, item_id=item, played_ms=played_ms)
        elif playback.kind == "cleared":
            event = OutputCleared(response_id=response, item_id=item, played_ms=played_ms)
        self._hub.send(event)
