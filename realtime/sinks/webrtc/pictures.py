"""One video encoding: its key frames, its bitrate, and which of its viewers cannot follow."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from realtime.cursor import Cursor
from realtime.media import SAMPLE_RATE_HZ, VIDEO_CLOCK_HZ, Picture, Size
from realtime.sinks.webrtc.bitrate import BitrateGovernor
from realtime.sinks.webrtc.codecs import VideoEncoder
from realtime.sinks.webrtc.viewer import Encoded, Encoding, Viewer

PACE = 4
"""Large frames leave at this multiple of the bitrate: a narrow link need not queue or drop them."""
DEPTH = 10
"""Frames that a sender may be behind."""
_SPARE_KEYFRAMES = 3
"""A few key frames are there for the asking; after that there is one a second, however many ask."""
_SLOW, _SLOW_S = 0.6, 2.0
"""A viewer with a congested link that can take less than this share of the bitrate for so long is
left behind."""
_FAST, _FAST_S = 0.9, 8.0
"""And taken back when it could take this share for so long."""
_LOSSES, _LOSSES_S = 5, 12.0
"""So is one that asks for so many key frames in so long: the others would pay for each."""


class KeyframeBudget:
    """How many key frames are to be had, in media time: each takes bits from all who watch."""

    def __init__(self) -> None:
        self._left = float(_SPARE_KEYFRAMES)
        self._at = 0

    def take(self, start: int) -> bool:
        """Whether the picture at sample `start` may become one."""
        self._left += max(0, start - self._at) / SAMPLE_RATE_HZ
        self._left, self._at = min(self._left, _SPARE_KEYFRAMES), start
        if self._left < 1:
            return False
        self._left -= 1
        return True


class VideoViewer(Viewer):
    """Gets whole groups of pictures: whatever cannot be decoded for want of others is left out."""

    rate = VIDEO_CLOCK_HZ

    def __init__(self, encoding: VideoEncoding, depth: int) -> None:
        super().__init__(depth, lambda viewer: self._encoding.leave(viewer))
        self._encoding = encoding
        self._governor: BitrateGovernor | None = None
        self._needs_keyframe = True
        self._fell_behind = False
        self._asked: deque[int] = deque(maxlen=_LOSSES)  # media time of requests for key frames
        self._otherwise_since: float | None = None  # it belongs to another encoding

    @property
    def target_bps(self) -> int:
        """What the encoder aims at."""
        return self._encoding.encoder.target_bps

    @property
    def pace_bps(self) -> int | None:
        return PACE * self.target_bps

    def put(self, item: Encoded) -> None:
        if self.full:
            self.dropped += len(self)
            self._items.clear()
            self._needs_keyframe = self._fell_behind = True
        if self._needs_keyframe and not item.keyframe:
            self.dropped += 1
            return
        self._needs_keyframe = False
        super().put(item)

    def pop(self) -> Encoded | None:
        if self._fell_behind:  # and is back
            self._fell_behind = False
            self._encoding.keyframe_wanted = True
        return super().pop()

    def request_keyframe(self) -> None:
        if not self._needs_keyframe:  # else it was asked for
            self._asked.append(self._encoding.newest)
        self._encoding.keyframe_wanted = True

    def losses(self) -> int:
        """How often it lately asked for a key frame, up to `_LOSSES`."""
        since = self._encoding.newest - _LOSSES_S * SAMPLE_RATE_HZ
        return sum(asked >= since for asked in self._asked)

    def stays(self, otherwise: bool, now: float, patience_s: float) -> bool:
        """False once it has belonged elsewhere for so long."""
        if not otherwise:
            self._otherwise_since = None
        elif self._otherwise_since is None:
            self._otherwise_since = now
        return self._otherwise_since is None or now - self._otherwise_since < patience_s

    def move(self, encoding: VideoEncoding) -> None:
        """Go on with the pictures of another encoding, from its next key frame on."""
        left, self._encoding = self._encoding, encoding
        self._needs_keyframe = True
        self._otherwise_since = None
        self._asked.clear()
        encoding.add(self)
        left.leave(self)

    def asks(self, now: float) -> int:
        """The bitrate this viewer can take."""
        if self._governor is None:
            return self._encoding.start_bps
        return self._governor.target(now)

    def takes(self, bps: int, now: float) -> bool:
        """Whether this much may be sent to it. An estimate that is lower, or none, is no reason
        against it: it only tells of what was sent so far. Reports of congestion are."""
        congested = self._governor is not None and self._governor.congested(now)
        return not congested or self.asks(now) >= bps

    def received_estimate(self, bps: int, now: float) -> None:
        if (governor := self._govern()) is not None:
            governor.received_estimate(bps)
            self._encoding.aim(now)

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        if (governor := self._govern()) is not None:
            governor.received_report(loss, rtt_s, now)
            self._encoding.aim(now)

    def _govern(self) -> BitrateGovernor | None:
        """The governor, from the first frame on: its size says what to start with."""
        if self._governor is None and self._encoding.start_bps:
            self._governor = BitrateGovernor(self._encoding.start_bps)
        return self._governor


class VideoEncoding(Encoding[Picture]):
    """The encoder runs in an executor, one frame at a time; a picture that comes meanwhile waits,
    and gives way to a newer one (`pictures` holds one).

    Args:
        on_encoded: told each picture's size, the CPU seconds it took, and those it was waited for.
        on_report: called when a viewer's link was heard of.
    """

    def __init__(
        self,
        pictures: Cursor[Picture],
        encoder: VideoEncoder,
        *,
        executor: Executor | None,
        on_encoded: Callable[[Size, float, float], None],
        on_report: Callable[[float], None],
        on_empty: Callable[[], None],
    ) -> None:
        super().__init__(pictures, on_empty)
        self.encoder = encoder
        self.keyframe_wanted = True
        self.start_bps = 0
        """What the first frame's size asks for; 0 before it."""
        self.newest = 0
        """Media time of the newest picture, samples."""
        self._budget = KeyframeBudget()
        self._executor = executor
        self._on_encoded = on_encoded
        self._on_report = on_report

    def join(self, depth: int) -> VideoViewer:
        """One more viewer; its first picture is a key frame. depth: frames it may be behind."""
        viewer = VideoViewer(self, depth)
        self.add(viewer)
        return viewer

    def add(self, viewer: VideoViewer) -> None:
        self.viewers = [*self.viewers, viewer]
        self.keyframe_wanted = True

    def aim(self, now: float) -> None:
        """Set the bitrate to the highest that any viewer can take."""
        self.encoder.set_target(max(viewer.asks(now) for viewer in self._watching()))
        self._on_report(now)

    def left_behind(self, now: float) -> list[VideoViewer]:
        """Viewers that cannot follow the others; one of them at least stays."""
        enough = round(_SLOW * self.encoder.target_bps) if len(self.viewers) > 1 else 0
        slow = [
            viewer
            for viewer in self._watching()
            if viewer.losses() == _LOSSES
            or not viewer.stays(not viewer.takes(enough, now), now, _SLOW_S)
        ]
        return slow if len(slow) < len(self.viewers) else []

    def recovered(self, target_bps: int, now: float) -> list[VideoViewer]:
        """Viewers that could take `target_bps` by now."""
        enough = round(_FAST * target_bps)
        return [
            viewer
            for viewer in self._watching()
            if not viewer.stays(viewer.takes(enough, now) and not viewer.losses(), now, _FAST_S)
        ]

    def _watching(self) -> list[VideoViewer]:
        return [viewer for viewer in self.viewers if isinstance(viewer, VideoViewer)]

    async def encode(self, item: Picture) -> list[Encoded]:
        self.newest = item.start
        keyframe = self.keyframe_wanted and self._budget.take(item.start)
        self.keyframe_wanted = self.keyframe_wanted and not keyframe
        loop, begin = asyncio.get_running_loop(), time.monotonic()
        encoded, cpu_s = await loop.run_in_executor(self._executor, self._encode, item, keyframe)
        self.start_bps = self.start_bps or self.encoder.target_bps
        size = item.image.width, item.image.height
        self._on_encoded(size, cpu_s, time.monotonic() - begin)
        return [encoded] if encoded.payloads else []

    def _encode(self, picture: Picture, keyframe: bool) -> tuple[Encoded, float]:
        begin = time.thread_time()
        pts = picture.start * VIDEO_CLOCK_HZ // SAMPLE_RATE_HZ
        payloads, is_key = self.encoder.encode(picture.image, pts=pts, keyframe=keyframe)
        return Encoded(payloads, pts, keyframe=is_key), time.thread_time() - begin
