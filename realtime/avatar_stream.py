"""An avatar that speaks: one source of sound in, its voice and pictures out, on one clock.

    source --hops--> voice ------------------------> VoiceQueue --\\
        \\--> engine (StreamHandle) --> frames --> PictureQueue --+--> a cursor per sink

Voice never waits for a picture; they meet again when both are due. Of a live source, a picture
that is not there in time is replaced by the one before; of any other, time waits for pictures and
for sinks, and on a `VirtualClock` the same loop goes as fast as the machine.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from pipelines.audio.vad import SpeechEdge
from realtime.clock import Alarm, Clock
from realtime.cursor import Cursor, Cursors
from realtime.engine.handle import StreamHandle
from realtime.engine_time import EngineTime
from realtime.listening import Listening
from realtime.media import (
    HOP_SAMPLES,
    PACKET_SAMPLES,
    SAMPLE_RATE_HZ,
    Frame,
    Picture,
    Voice,
)
from realtime.playout import HOPELESS_S, PictureQueue, PlayoutClock, VoiceQueue, is_quiet
from realtime.sources.source import Foresees, Patient, Playback, Source

logger = logging.getLogger(__name__)

Media = TypeVar("Media", Voice, Picture, Voice | Picture)

MARGIN_S = 0.020
"""Of the playout delay, for what no measurement foresees."""
GRACE_S = 0.015
"""A picture may leave this much late rather than be replaced."""
_AHEAD = 4
"""Hops that a source that is not live may be ahead of what the look-ahead asks for, so that the
engine has work while sinks encode."""
_RECENT = 250  # pictures whose delays are kept: ten seconds


class AvatarStream:
    """Plays one source through one slot of the engine. `start`, then `run` until the source ends or
    `close` is called.

    Args:
        source: what the avatar says.
        handle: its slot of the engine; this stream becomes its listener.
        clock: for everything that waits here.
        listening: what the avatar hears meanwhile, the user's microphone beside pushed speech. It
            is neither played nor drawn: only edges of the user's speech are told, not those of the
            avatar's echo in it.
    """

    def __init__(
        self,
        source: Source,
        handle: StreamHandle,
        clock: Clock,
        *,
        listening: Source | None = None,
    ) -> None:
        self.on_edge: Callable[[SpeechEdge], None] = lambda edge: None
        """Hears when the user starts and stops speaking."""
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        """Hears of each frame when its picture, or the one in its place, is handed over: for its
        motion and behaviour, which are then what viewers see."""
        self.on_playback: Callable[[Playback], None] = lambda playback: None
        """Hears when utterances begin and end for those who watch."""
        self.added_delays: deque[float] = deque(maxlen=_RECENT)
        """From the arrival of the last sample a picture shows to its hand-over, seconds."""
        self.skews: deque[float] = deque(maxlen=_RECENT)
        """Hand-over of a picture minus that of the voice of the same media time, seconds."""
        self.skipped_audio_s = 0.0
        self.said = -math.inf
        """Local time when anything was said last, by the avatar or to it."""
        self.clock = clock
        self.playout = PlayoutClock(clock.now(), self._settle(source, handle))
        self.pictures = PictureQueue(handle.still)
        self._source = source
        self._foresees = source if isinstance(source, Foresees) else None
        self._listening = None if listening is None else Listening(listening, self.playout)
        self._handle = handle
        self._engine_time = EngineTime(handle.look_ahead)
        self._voice = VoiceQueue()
        self._left: deque[tuple[int, float]] = deque(maxlen=50)  # hops of voice, and when they left
        self._alarm = Alarm(clock)
        # Whoever reads a live source does not hold it up.
        self._cursors = Cursors((lambda: None) if source.live else self._alarm.ring)
        self._ended = False
        source.on_ready = self._alarm.ring
        handle.on_frame = self._take_frame

    @staticmethod
    def _settle(source: Source, handle: StreamHandle) -> float:
        """The playout delay: what a hop waits for at the source and in the engine, and a margin.

        Networks and engines are not late at the same time but by chance, so what is kept for the
        one and for the other adds up as independent errors do: 22 ms, not 10 + 20.
        """
        if not source.live:
            return 0.0
        patience_s = source.patience_s if isinstance(source, Patient) else 0.0
        always_s = source.latency_s - patience_s + handle.look_ahead / SAMPLE_RATE_HZ
        return always_s + handle.expected_latency_s + math.hypot(patience_s, MARGIN_S)

    # Who watches

    def subscribe(self, *kinds: type[Media], depth: int = 25) -> Cursor[Media]:
        """A reader's own place from now on: of `Voice`, of `Picture`, or of both in order.

        Of a live source a slow reader misses items; any other waits for the slowest.
        """
        return self._cursors.add(kinds, depth)

    # Time

    def start(self) -> None:
        """Media time begins now."""
        now = self.clock.now()
        self._source.start(now)
        if self._listening is not None:
            self._listening.start(now)
        self.playout.start = self._source.t0

    async def run(self) -> None:
        """Keep everything at its time until the source ends or the stream is closed."""
        try:
            while not self._ended:
                self.advance(self.clock.now())
                if not self._ended:
                    await self._alarm.wait(self.next_deadline())
        finally:
            self.close()

    def advance(self, now: float) -> None:
        """Do all that is due at local time `now`."""
        self._hear(now)
        self._catch_up(now)
        self._give_out(now)
        if self._source.end is not None and self._voice.played >= self._source.end:
            self.close()

    def next_deadline(self) -> float:
        """Local time at which `advance` must be called again, unless the alarm rings before."""
        deadlines = [float("inf")]
        if self._listening is not None:
            deadlines.append(self._listening.next_deadline())
        if self._wants_hops():
            deadlines.append(self._source.next_deadline())
        if self._source.live:
            if self._voice.played < self._voice.heard:
                deadlines.append(self.playout.due(self._voice.played))
            deadlines.append(self._picture_deadline())
        return min(deadlines)

    def close(self) -> None:
        """End every cursor and the loop. The engine's handle is its owner's to close."""
        self._ended = True
        self._cursors.end()
        self._alarm.ring()

    # Sound in

    def _hear(self, now: float) -> None:
        if self._listening is not None:
            self._tell(self._listening.hear(now))
            if self._listening.speech:
                self.said = now
        self._speak_soon(now)
        while self._wants_hops() and (hops := self._source.pull(now)):
            for hop in hops:
                # Of what is pushed every sound; of a microphone, which is never silent, voices.
                if hop.speech or (self._listening is not None and hop.voice.any()):
                    self.said = now
                self._voice.put(hop.start, hop.voice)
                if self._listening is not None and self._listening.speech:
                    hop = replace(hop, listens=True)
                self._handle.submit(self._engine_time.hop(hop))
                if self._listening is None:
                    self._tell(hop.edges)
        self.playout.start = self._source.t0

    def _speak_soon(self, now: float) -> None:
        """Sound that is there already need not wait for what the engine looks ahead: it takes the
        place of the silence before it."""
        if self._foresees is not None:
            most = self._handle.look_ahead
            self._engine_time.repeat(self._foresees.take_back(self._voice.played, most, now))

    def _wants_hops(self) -> bool:
        """Always, of a live source; else as many as keep the engine busy."""
        if self._source.live:
            return True
        needed = self._voice.played + _AHEAD * HOP_SAMPLES
        if self._source.end is not None:
            needed = min(needed, self._source.end)
        return self._voice.heard < needed + self._handle.look_ahead

    def _tell(self, edges: Iterable[SpeechEdge]) -> None:
        for edge in edges:
            self.on_edge(edge)

    def _take_frame(self, frame: Frame) -> None:
        shown = None if self._ended else self._engine_time.frame(frame)
        if shown is None:
            return
        if self._source.live:
            self.playout.report(shown.start, shown.ready, self.clock.now())
        self.pictures.put(shown)
        self._alarm.ring()

    # Voice and pictures out

    def _catch_up(self, now: float) -> None:
        """Leave out what cannot be made up for: nothing of a source that is not live."""
        if not self._source.live:
            return
        due = self.playout.position(now)
        if now - self.playout.due(self._voice.played) > HOPELESS_S:
            position = due // PACKET_SAMPLES * PACKET_SAMPLES
            skipped_s = (position - self._voice.played) / SAMPLE_RATE_HZ
            logger.warning("audio was %.1f s behind and skipped that much", skipped_s)
            self.skipped_audio_s += skipped_s
            self._voice.skip_to(position)
        slot = due // HOP_SAMPLES * HOP_SAMPLES
        if slot > self.pictures.next:
            self.pictures.skip_to(slot)

    def _give_out(self, now: float) -> None:
        """Hand over what is due; of the same media time, voice first."""
        while True:
            voice, picture = self._voice_is_due(now), self._picture_is_due(now)
            if voice and (self._voice.played <= self.pictures.next or not picture):
                self._give_voice(now)
            elif picture:
                self._give_picture(now)
            else:
                return

    def _voice_is_due(self, now: float) -> bool:
        if self._voice.played >= self._voice.heard:
            return False
        if self._source.live:
            return self.playout.due(self._voice.played) <= now
        pictured = self.pictures.ready or self._voice.played < self.pictures.next
        return pictured and self._cursors.room

    def _picture_is_due(self, now: float) -> bool:
        if self._source.live:
            return self._picture_deadline() <= now
        return self._cursors.room and self.pictures.ready

    def _picture_deadline(self) -> float:
        due = self.playout.due(self.pictures.next)
        return due if self.pictures.ready else due + GRACE_S

    def _give_voice(self, now: float) -> None:
        start = self._voice.played
        pcm = self._voice.take()
        assert pcm is not None
        if start % HOP_SAMPLES == 0:
            self._left.append((start, now))
        self._cursors.put(Voice(start, pcm))
        if self._listening is not None:
            self._listening.played(start, pcm)
        if self._source.live:
            self.playout.pause(now, quiet=is_quiet(pcm))
        for playback in self._source.played(self._voice.played):
            self.on_playback(playback)

    def _give_picture(self, now: float) -> None:
        start = self.pictures.next
        image, frame = self.pictures.take()
        if frame is not None:
            self.added_delays.append(now - frame.arrived)
            self.skews += [now - left for position, left in self._left if position == frame.start]
        self._cursors.put(Picture(start, image, fresh=frame is not None))
        for passed in self.pictures.take_passed():
            self.on_frame(passed)

    # Barge-in

    def clear(self) -> Playback:
        """Forget everything not played yet: silence follows, and the mouth closes.

        Frames drawn before this are not shown; the first drawn after it show the lips closing.
        """
        playback = self._source.clear()
        self._handle.clear()
        self._voice.clear()
        self.pictures.clear(self._voice.heard - self._handle.look_ahead)
        self.on_playback(playback)
        self._alarm.ring()
        return playback
