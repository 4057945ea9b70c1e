"""What a session tells of itself once a second, and what it adds to the server's metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

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
        self._before = self._counts()

    def _counts(self) -> dict[str, int]:
        pictures, missed = self._stream.pictures.stats, self._encodings.dropped
        return {
            "sent": pictures.shown - missed,
            "repeated": pictures.repeated,
            "dropped": pictures.dropped + pictures.skipped + missed,
            "concealed": self._microphone.stats.concealed_samples,
            "unheard": self._handle.facts().dropped_hops,
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
        return self.stats(since["sent"], max(0, since["sent"] - since["repeated"]))

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
        )


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
