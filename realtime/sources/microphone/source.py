"""A microphone as the source of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from realtime.media import HOP_S, SAMPLE_RATE_HZ, Hop
from realtime.sources.microphone.config import IngestConfig, IngestStats
from realtime.sources.microphone.ingest import Ingest
from realtime.sources.source import Playback


class Microphone:
    """`Ingest` with a beginning: packets that come before `start` are not heard."""

    live = True
    end: int | None = None

    def __init__(self, config: IngestConfig | None = None) -> None:
        self.on_ready: Callable[[], None] = lambda: None
        self._ingest = Ingest(config or IngestConfig(align=True))
        self._started = False
        self._played = 0

    @property
    def latency_s(self) -> float:
        """A hop is there when it is over, or after the patience for a late packet."""
        return HOP_S + self._ingest.config.wait_s

    @property
    def patience_s(self) -> float:
        """See `realtime.sources.source.Patient`."""
        return self._ingest.config.wait_s

    @property
    def stats(self) -> IngestStats:
        """What became of the packets."""
        return self._ingest.stats

    @property
    def t0(self) -> float:
        return self._ingest.t0

    @property
    def speech(self) -> bool:
        """Someone was speaking at the end of the last hop pulled."""
        return self._ingest.speech

    def start(self, now: float) -> None:
        self._ingest.start(now)
        self._started = True

    def push(
        self,
        rtp_timestamp: int,
        sequence: int,
        payload: bytes,
        now: float,
        *,
        ssrc: int = 0,
    ) -> None:
        """Take one packet (`PacketSink`)."""
        if self._started:
            self._ingest.push(rtp_timestamp, sequence, payload, now, ssrc=ssrc)
            self.on_ready()

    def pull(self, now: float) -> Sequence[Hop]:
        return self._ingest.pull(now)

    def next_deadline(self) -> float:
        return self._ingest.next_deadline()

    def played(self, position: int) -> Sequence[Playback]:
        self._played = position
        return ()

    def clear(self) -> Playback:
        """What was spoken since is new speech: there is nothing to forget."""
        return Playback("cleared", self._played * 1000 // SAMPLE_RATE_HZ)
