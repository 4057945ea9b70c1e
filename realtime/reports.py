"""What a session tells of itself once a second, and what it adds to the server's metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from prometheus_client import Histogram

from realtime.avatar_stream import AvatarStream
from realtime.engine.handle import StreamHandle
from realtime.media import Size
from realtime.metrics import Metrics
from realtime.protocol import Stats
from realtime.sinks.webrtc.encodings import Encodings
from realtime.sources.microphone.source import Microphone

_RECENT = 250  # pictures: the last ten seconds
FEW_FPS = 20
"""New pictures a second below which everybody sees that it is not fluent."""
MANY_LEFT_OUT = 4
"""Pictures in a second that the machine had no time for: not the network, not the speaker."""
SLOW_AFTER, WELL_AFTER = 3, 5
"""Reports, one a second, in a row."""


class Slowness:
    """Whether the machine is too slow for a stream. A moment changes nothing."""

    def __init__(self) -> None:
        self.slow = False
        self._against = 0  # reports in a row that say otherwise

    def observe(self, new: int, left_out: int) -> bool:
        """Take in the new pictures of a second and those there was no time for; whether it is."""
        speaks_slow = new < FEW_FPS and left_out >= MANY_LEFT_OUT
        self._against = self._against + 1 if speaks_slow != self.slow else 0
        if self._against == (WELL_AFTER if self.slow else SLOW_AFTER):
            self.slow, self._against = not self.slow, 0
        return self.slow


class Reporter:
    """Counts what happened since the last report."""

    def __init__(
        self,
        stream: AvatarStream,
        handle: StreamHandle,
        encodings: Encodings,
        microphone: Microphone,
        metrics: Metrics,
    ) -> None:
        self._stream = stream
        self._handle = handle
        self._encodings = encodings
        self._microphone = microphone
        self._metrics = metrics
        self._delays: deque[float] = deque(maxlen=_RECENT)
        self._skews: deque[float] = deque(maxlen=_RECENT)
        self._slowness = Slowness()
        self._before = self._counts()

    def _counts(self) -> dict[str, int]:
        pictures, missed = self._stream.pictures.stats, self._encodings.dropped
        facts = self._handle.facts()
        return {
            "sent": pictures.shown - missed,
            "repeated": pictures.repeated,
            "dropped": pictures.dropped + pictures.skipped + missed,
            "concealed": self._microphone.stats.concealed_samples,
            "unheard": facts.dropped_hops,
            "left_out": facts.skipped + facts.dropped_hops + missed,
        }

    def report(self) -> Stats:
        """The measurements since the last report, also added to the metrics."""
        counts = self._counts()
        since = {name: max(0, count - self._before[name]) for name, count in counts.items()}
        self._before = counts
        for fate in ("sent", "repeated", "dropped"):
            self._metrics.frames.labels(fate).inc(since[fate])
        self._metrics.concealed_ms.inc(since["concealed"] / 16)
        self._metrics.hops_dropped.inc(since["unheard"])
        _move(self._stream.added_delays, self._delays, self._metrics.added_delay_ms)
        _move(self._stream.skews, self._skews, self._metrics.skew_ms)
        new = max(0, since["sent"] - since["repeated"])
        self._slowness.observe(new, since["left_out"])
        return self.stats(since["sent"], new)

    def stats(self, fps: float = 0, drawn_fps: float = 0) -> Stats:
        """The measurements as they are."""
        facts, heard = self._handle.facts(), self._microphone.stats
        pictures = self._stream.pictures.stats
        return Stats(
            fps=fps,
            drawn_fps=drawn_fps,
            added_delay_ms=_quantile_ms(self._delays, 0.95),
            playout_delay_ms=round(self._stream.playout.delay_s * 1000, 1),
            av_skew_ms=_quantile_ms(self._skews, 0.5),
            late=pictures.late,
            dropped=self._counts()["dropped"],
            repeated=pictures.repeated,
            concealed_ms=heard.concealed_samples / 16,
            jitter_ms=round(heard.jitter_ms, 1),
            step_ms=None if facts.step_s is None else round(facts.step_s * 1000, 1),
            size=max(facts.size),
            rung=facts.rung,
            slow=self._slowness.slow,
        )

    def measurements(self) -> dict[str, Any]:
        """What `GET /v1/sessions/{id}` says of them."""
        return self.stats().model_dump(exclude={"type", "event_id", "fps", "drawn_fps"})


def size_label(size: Size) -> str:
    """For metrics: "512", or "320x180" where it is not square."""
    width, height = size
    return str(width) if width == height else f"{width}x{height}"


def _move(new: deque[float], recent: deque[float], histogram: Histogram) -> None:
    while new:
        seconds = new.popleft()
        recent.append(seconds)
        histogram.observe(seconds * 1000)


def _quantile_ms(seconds: Iterable[float], share: float) -> float | None:
    values = list(seconds)
    return round(float(np.quantile(values, share)) * 1000, 1) if values else None
