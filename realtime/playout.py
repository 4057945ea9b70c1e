"""When media is due, and what waits for that moment. Sans I/O: `now` is an argument.

`PlayoutClock` maps media time to local time, once for voice and pictures. `VoiceQueue` gives sound
out whole and in order; `PictureQueue` gives the best picture there is for each 40 ms.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from realtime.media import (
    HOP_SAMPLES,
    PACKET_SAMPLES,
    SAMPLE_RATE_HZ,
    VOICE_FACTOR,
    VOICE_SAMPLES,
    Frame,
)

logger = logging.getLogger(__name__)

HOPELESS_S = 1.0
"""Sound later than this is given up: the process was held up, and no delay would make up for it."""
_STALL_S = 0.1  # frames late within this are one event: what held them up will pass
_SETTLING = SAMPLE_RATE_HZ  # the first second, while the connection comes up, tells nothing
_QUIET = 300  # peak of 20 ms, int16, in which nobody hears a 10 ms pause
_FADE = 240  # samples at 48 kHz over which cleared sound fades: 5 ms, or it would click


@dataclass(frozen=True, kw_only=True)
class GrowthConfig:
    """When and how the playout delay may grow."""

    step_s: float = 0.010
    max_s: float = 0.060  # in all; beyond that, pictures must become cheaper
    window: int = 50  # frames looked back on: 2 s
    share: float = 0.08  # of them late: sustained lateness
    longest_wait_s: float = 2.0  # wait this long for a pause, then grow anyway


class PlayoutClock:
    """Media position `p` (samples at 16 kHz) is due at `start + p / 16000 + delay_s`."""

    def __init__(self, start: float, delay_s: float, growth: GrowthConfig | None = None) -> None:
        if delay_s < 0:
            raise ValueError(f"the playout delay is {delay_s} s; it cannot be negative")
        self.start = start
        self.settled_delay_s = delay_s
        self.delay_s = delay_s
        self._growth = growth or GrowthConfig()
        self._late: deque[bool] = deque(maxlen=self._growth.window)
        self._last_late = float("-inf")
        self._wanted_since: float | None = None

    def due(self, position: int) -> float:
        """Local time at which `position` leaves."""
        return self.start + position / SAMPLE_RATE_HZ + self.delay_s

    def position(self, now: float) -> int:
        """The position that is due at local time `now`."""
        return int((now - self.start - self.delay_s) * SAMPLE_RATE_HZ // 1)

    @property
    def grown_s(self) -> float:
        """How much the delay grew since it was settled."""
        return self.delay_s - self.settled_delay_s

    def report(self, position: int, ready: float, now: float) -> float:
        """A frame for `position` was ready at local time `ready`; returns how late that was, s."""
        lateness = ready - self.due(position)
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

    def pause(self, now: float, *, quiet: bool) -> None:
        """Between two pieces of audio: grow now if that is wanted and cannot be heard."""
        if self._wanted_since is None:
            return
        if quiet or now - self._wanted_since > self._growth.longest_wait_s:
            self.delay_s += self._growth.step_s
            self._wanted_since = None
            self._late.clear()
            logger.info("playout delay is now %.0f ms", self.delay_s * 1000)


def is_quiet(pcm: NDArray[np.int16]) -> bool:
    """Whether nobody would hear a short pause beside this sound."""
    return int(np.abs(pcm.astype(np.int32)).max()) < _QUIET


class VoiceQueue:
    """Sound waiting for its time, hop by hop in, 20 ms by 20 ms out."""

    def __init__(self) -> None:
        self.played = 0
        """Position up to which sound was given out."""
        self.heard = 0
        """Position up to which sound came in."""
        self._hops: dict[int, NDArray[np.int16]] = {}
        self._shape: tuple[int, ...] = (VOICE_SAMPLES,)

    def put(self, start: int, voice: NDArray[np.int16]) -> None:
        """Add the hop at `start`, int16 [1920] or [1920, C] at 48 kHz."""
        if start % HOP_SAMPLES or len(voice) != VOICE_SAMPLES:
            raise ValueError(
                f"voice starts at a multiple of {HOP_SAMPLES} and has {VOICE_SAMPLES} samples; "
                f"got {len(voice)} samples at {start}"
            )
        self._shape = voice.shape
        self.heard = max(self.heard, start + HOP_SAMPLES)
        if start + HOP_SAMPLES > self.played:
            self._hops[start] = voice

    def take(self) -> NDArray[np.int16] | None:
        """The next 20 ms, int16 [960] or [960, C]; None while they may still come."""
        if self.played >= self.heard:
            return None
        start = self.played // HOP_SAMPLES * HOP_SAMPLES
        voice = self._hops.get(start)
        if voice is None:
            voice = np.zeros(self._shape, np.int16)
        first = VOICE_FACTOR * (self.played - start)
        self.played += PACKET_SAMPLES
        if self.played == start + HOP_SAMPLES:
            self._hops.pop(start, None)
        return voice[first : first + VOICE_FACTOR * PACKET_SAMPLES]

    def skip_to(self, position: int) -> None:
        """Give up all sound before `position`: we were held up for too long."""
        self.played = position
        self.heard = max(self.heard, position)
        for start in [s for s in self._hops if s + HOP_SAMPLES <= position]:
            del self._hops[start]

    def clear(self) -> None:
        """Silence takes the place of all sound that came in and was not given out."""
        start = self.played // HOP_SAMPLES * HOP_SAMPLES
        current = self._hops.get(start)
        self._hops.clear()
        if current is not None:
            first = VOICE_FACTOR * (self.played - start)
            ramp = np.linspace(1, 0, _FADE, dtype=np.float32)
            fading = np.zeros_like(current)
            fading[first : first + _FADE] = (current[first : first + _FADE].T * ramp).T
            self._hops[start] = fading


@dataclass
class PictureStats:
    """Counters since the stream began."""

    shown: int = 0
    """Of all kinds."""
    late: int = 0
    """Finished after their own time; shown a little later, or dropped."""
    dropped: int = 0
    """Never shown: a newer one took their place, or nobody wants them any more."""
    repeated: int = 0
    """Times that a picture was shown again for want of a new one."""
    skipped: int = 0
    """Times for which none was shown, since we were held up."""


class PictureQueue:
    """Frames waiting for their time. Before the first there is the still."""

    def __init__(self, still: av.VideoFrame, capacity: int = 25) -> None:
        self.next = 0
        """Position of the slot to be shown next, a multiple of 640."""
        self.stats = PictureStats()
        self._image = still
        self._capacity = capacity
        self._waiting: deque[Frame] = deque()  # in order of media time, with a picture each
        self._coming: deque[Frame] = deque()  # with a picture or without, until their slot
        self._newest = -HOP_SAMPLES  # start of the newest frame, drawn or not
        self._wanted_from = 0

    def put(self, frame: Frame) -> None:
        """Add a frame; they come in order of media time."""
        if frame.start % HOP_SAMPLES:
            raise ValueError(f"frames start at multiples of {HOP_SAMPLES}, got {frame.start}")
        if frame.start < self._wanted_from:
            self.stats.dropped += frame.picture is not None
            return
        self._newest = max(self._newest, frame.start)
        self._coming.append(frame)
        if frame.picture is None:
            return
        self.stats.late += frame.start < self.next
        self._waiting.append(frame)
        if len(self._waiting) > self._capacity:
            self._waiting.popleft()
            self.stats.dropped += 1

    @property
    def ready(self) -> bool:
        """Whether all that could be shown in the next slot is there."""
        return self._newest >= self.next

    def take(self) -> tuple[av.VideoFrame, Frame | None]:
        """What to show in the next slot: the image, and its frame if it was not shown before.

        The slot's own picture, else the newest from before it: late is better than never.
        """
        frame = None
        while self._waiting and self._waiting[0].start <= self.next:
            self.stats.dropped += frame is not None
            frame = self._waiting.popleft()
        self.next += HOP_SAMPLES
        self.stats.shown += 1
        if frame is None or frame.picture is None:
            self.stats.repeated += 1
            return self._image, None
        self._image = frame.picture
        self._wanted_from = frame.start + HOP_SAMPLES
        return self._image, frame

    def take_passed(self) -> list[Frame]:
        """The frames, drawn or not, whose slot is over since the last call."""
        passed = []
        while self._coming and self._coming[0].start < self.next:
            passed.append(self._coming.popleft())
        return passed

    def skip_to(self, position: int) -> None:
        """Show nothing before `position`."""
        self.stats.skipped += (position - self.next) // HOP_SAMPLES
        self.next = position

    def clear(self, before: int) -> None:
        """Drop all pictures of positions before `before`, also those still being drawn."""
        kept = [frame for frame in self._waiting if frame.start >= before]
        self.stats.dropped += len(self._waiting) - len(kept)
        self._waiting = deque(kept)
        self._coming = deque(frame for frame in self._coming if frame.start >= before)
        self._wanted_from = max(self._wanted_from, before)
        self._newest = max(self._newest, before - HOP_SAMPLES)  # no use waiting for them
