"""When media is due, and what is waiting for that moment.

`PlayoutClock` maps media time to local time, once for both tracks. `PlayoutBuffer` holds finished
media until then. Audio is delivered whole and in order; a picture that comes too late is dropped,
a missing one is replaced by the last.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.clock import Clock

logger = logging.getLogger(__name__)

MODEL_RATE_HZ = 16_000
FRAME_SAMPLES = 640
"""Media time of one video frame, in samples at 16 kHz."""
VOICE_SAMPLES = 1_920
"""The same span at 48 kHz."""
HOPELESS_S = 1.0
"""Media later than this is given up: the process was held up, and no delay would make up for it."""
_STALL_S = 0.1  # frames late within this are one event: what held them up will pass
_SETTLING = MODEL_RATE_HZ  # the first second, while the connection comes up, tells nothing


@dataclass(frozen=True, kw_only=True)
class GrowthConfig:
    """When and how the playout delay may grow."""

    step_s: float = 0.010
    max_s: float = 0.060  # in all; beyond that, pictures must become cheaper
    window: int = 50  # frames looked back on: 2 s
    share: float = 0.08  # of them late: sustained lateness
    patience_s: float = 2.0  # wait this long for a pause, then grow anyway


class PlayoutClock:
    """Media position `p` (samples at 16 kHz) is due at `start + p / 16000 + delay_s`."""

    def __init__(
        self,
        clock: Clock,
        delay_s: float,
        *,
        start: float | None = None,
        growth: GrowthConfig | None = None,
    ) -> None:
        if delay_s < 0:
            raise ValueError(f"the playout delay is {delay_s} s; it cannot be negative")
        self.clock = clock
        self.start = clock.now() if start is None else start
        self.settled_delay_s = delay_s
        self.delay_s = delay_s
        self._growth = growth or GrowthConfig()
        self._late: deque[bool] = deque(maxlen=self._growth.window)
        self._last_late = float("-inf")
        self._wanted_since: float | None = None

    def due(self, position: int) -> float:
        """Local time at which `position` leaves."""
        return self.start + position / MODEL_RATE_HZ + self.delay_s

    def position(self, now: float) -> int:
        """The position that is due at local time `now`."""
        return int((now - self.start - self.delay_s) * MODEL_RATE_HZ // 1)

    @property
    def grown_s(self) -> float:
        """How much the delay grew since it was settled."""
        return self.delay_s - self.settled_delay_s

    def report(self, position: int, ready: float) -> float:
        """A frame for `position` was ready at local time `ready`; returns how late that was, s."""
        lateness = ready - self.due(position)
        now = self.clock.now()
        late = 0 < lateness < HOPELESS_S and now - self._last_late >= _STALL_S
        if late:
            self._last_late = now
        if position >= _SETTLING:
            self._late.append(late)
        config = self._growth
        full = len(self._late) == config.window
        room = self.grown_s + config.step_s <= config.max_s + 1e-9
        sustained = full and sum(self._late) > config.share * config.window
        if sustained and room and self._wanted_since is None:
            self._wanted_since = now
        return lateness

    def pause(self, *, quiet: bool) -> None:
        """Between two pieces of audio: grow now if that is wanted and cannot be heard."""
        if self._wanted_since is None:
            return
        if quiet or self.clock.now() - self._wanted_since > self._growth.patience_s:
            self.delay_s += self._growth.step_s
            self._wanted_since = None
            self._late.clear()
            logger.info("playout delay is now %.0f ms", self.delay_s * 1000)


@dataclass(frozen=True)
class PlayFrame:
    """A finished picture."""

    start: int
    """Media position in samples at 16 kHz, a multiple of 640."""
    picture: NDArray[np.uint8] | None
    """I420 planes, [H * 3 // 2, W]; None says that none was drawn: the last is repeated."""
    ready: float
    """Local time at which it was finished."""
    arrived: float
    """Local time at which the last sample it shows came in."""


@dataclass
class PlayoutStats:
    """Counters since the session began."""

    late_pictures: int = 0
    repeated_pictures: int = 0
    skipped_pictures: int = 0
    stale: int = 0
    refused: int = 0
    silent_gaps: int = 0
    skipped_audio_ms: float = 0.0


class PlayoutBuffer:
    """Media of one session waiting for its time. Used from the event loop only.

    Voice and pictures come apart (the voice never waits for a picture) and leave together.
    """

    def __init__(self, playout: PlayoutClock, *, capacity: int = 25) -> None:
        self._playout = playout
        self._capacity = capacity
        self._voices: dict[int, NDArray[np.int16]] = {}
        self._pictures: dict[int, PlayFrame] = {}
        self._last_picture: NDArray[np.uint8] | None = None
        self._newest = -FRAME_SAMPLES  # start of the newest voice
        self._played = 0
        self._shown = -FRAME_SAMPLES
        self._cleared = 0  # what belongs before this position is not wanted any more
        self._waiters: set[asyncio.Future[None]] = set()
        self.closed = False
        self.stats = PlayoutStats()
        self.added_delays: deque[float] = deque(maxlen=256)
        """From the arrival of the last sample a picture shows to its hand-over, seconds."""
        self.skews: deque[float] = deque(maxlen=256)
        """Hand-over of a picture minus that of the voice of the same media time, seconds."""
        self._voice_left: deque[tuple[int, float]] = deque(maxlen=8)

    @property
    def played(self) -> int:
        """Position up to which audio was handed over."""
        return self._played

    def __len__(self) -> int:
        """Voices waiting."""
        return len(self._voices)

    def put_voice(self, start: int, voice: NDArray[np.int16]) -> bool:
        """Add 40 ms of voice, int16 [1920] at 48 kHz; False if it is stale or there is no room."""
        if start % FRAME_SAMPLES or len(voice) != VOICE_SAMPLES:
            raise ValueError(
                f"voice starts at a multiple of {FRAME_SAMPLES} and has {VOICE_SAMPLES} samples; "
                f"got {len(voice)} samples at {start}"
            )
        if self._stale(start) or start + FRAME_SAMPLES <= self._played:
            self.stats.stale += 1
            return False
        if len(self._voices) >= self._capacity and not self._drop_hopeless():
            self.stats.refused += 1
            return False
        self._voices[start] = voice
        self._newest = max(self._newest, start)
        self._wake()
        return True

    def put_picture(self, frame: PlayFrame) -> bool:
        """Add the picture of a frame; False if it is stale or late, or there is no room."""
        if frame.start % FRAME_SAMPLES:
            raise ValueError(f"pictures start at multiples of {FRAME_SAMPLES}, got {frame.start}")
        if self._stale(frame.start):
            self.stats.stale += 1
            return False
        self._playout.report(frame.start, frame.ready)
        if frame.start <= self._shown:
            self._came_late(frame)
            return False
        if len(self._pictures) >= self._capacity:
            self.stats.refused += 1
            return False
        self._pictures[frame.start] = frame
        self._wake()
        return True

    def _came_late(self, frame: PlayFrame) -> None:
        if frame.picture is not None:
            self.stats.late_pictures += 1
            if frame.start == self._shown:  # if one must be repeated, then rather this one
                self._last_picture = frame.picture

    def _drop_hopeless(self) -> bool:
        """Make room by the oldest voice, if that is so late that it would be skipped anyway."""
        oldest = min(self._voices)
        if self._playout.clock.now() - self._playout.due(oldest) < HOPELESS_S:
            return False
        del self._voices[oldest]
        return True

    def _stale(self, start: int) -> bool:
        return self.closed or start < self._cleared

    def clear(self) -> int:
        """Drop all media not yet played (barge-in); returns the played position.

        What belongs to positions up to the newest voice seen so far is refused from now on, so
        pictures still being drawn cannot follow; silence takes the place of the voice.
        """
        self._voices.clear()
        self._pictures.clear()
        self._cleared = self._newest + FRAME_SAMPLES
        self._wake()
        return self._played

    def close(self) -> None:
        """End the session: nothing is taken or given any more."""
        self.closed = True
        self._voices.clear()
        self._pictures.clear()
        self._last_picture = None
        self._wake()

    def take_voice(self, position: int, count: int) -> NDArray[np.int16] | None:
        """Audio from `position` on, int16 [3 * count]; None while it may still come.

        `count` (samples at 16 kHz) must not reach over the end of a frame.
        """
        start = position // FRAME_SAMPLES * FRAME_SAMPLES
        voice = self._voices.get(start)
        if voice is None:
            if start > self._newest and position >= self._cleared:
                return None
            self.stats.silent_gaps += 1
            voice = np.zeros(VOICE_SAMPLES, np.int16)
        if position == start:
            self._voice_left.append((start, self._playout.clock.now()))
        first = 3 * (position - start)
        self._played = position + count
        if self._played >= start + FRAME_SAMPLES:
            self._voices.pop(start, None)
        return voice[first : first + 3 * count]

    def skip_audio(self, position: int) -> None:
        """Give up all audio before `position`: the process was held up for too long."""
        self.stats.skipped_audio_ms += (position - self._played) * 1000 / MODEL_RATE_HZ
        self._played = position
        for start in [s for s in self._voices if s + FRAME_SAMPLES <= position]:
            del self._voices[start]

    def has_picture(self, position: int) -> bool:
        """Whether what to show at exactly this position is known."""
        return position in self._pictures

    def take_picture(self, position: int) -> NDArray[np.uint8] | None:
        """The picture of `position`, else the last one; None before the first."""
        frame = self._pictures.pop(position, None)
        self._shown = max(self._shown, position)
        for start in [s for s in self._pictures if s < position]:
            self.stats.late_pictures += 1
            del self._pictures[start]
        if frame is not None and frame.picture is not None:
            self._last_picture = frame.picture
            now = self._playout.clock.now()
            self.added_delays.append(now - frame.arrived)
            self.skews += [now - left for start, left in self._voice_left if start == position]
        elif self._last_picture is not None:
            self.stats.repeated_pictures += 1
        return self._last_picture

    def changed(self) -> asyncio.Future[None]:
        """Done at the next put, clear or close."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        waiter.add_done_callback(self._waiters.discard)
        return waiter

    def _wake(self) -> None:
        for waiter in list(self._waiters):
            if not waiter.done():
                waiter.set_result(None)
