"""How many bits a second the picture may take, from what the receiver reports.

REMB, the receiver's estimate, can only be as high as what it was sent: a face that was quiet at
first would start to speak on a starved encoder. So an estimate below the floor is believed only
once reports show congestion, and for a while after that. Losses lower the cap whatever the
estimate says.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GovernorConfig:
    """Thresholds of congestion and the steps taken."""

    floor: float = 0.6  # of the bitrate to start with
    loss: float = 0.02  # share of packets lost; more is a sign of congestion
    heavy_loss: float = 0.10  # more lowers the cap
    queue_s: float = 0.05  # round-trip time above the least seen
    distrust_s: float = 30.0  # after congestion the floor is not used
    recovery: float = 1.05  # growth of the cap per loss-free report


class BitrateGovernor:
    """Decides the target of one video encoder."""

    def __init__(self, start_bps: int, config: GovernorConfig | None = None) -> None:
        self._config = config or GovernorConfig()
        self._start_bps = start_bps
        self._estimate: int | None = None
        self._cap: float | None = None  # set by heavy loss
        self._least_rtt_s = float("inf")
        self._congested_at = float("-inf")

    def target(self, now: float) -> int:
        """The bitrate to aim at, in bit/s."""
        target = float(self._start_bps)
        if self._estimate is not None:
            target = self._estimate
            if now - self._congested_at > self._config.distrust_s:
                target = max(target, self._config.floor * self._start_bps)
        return round(target if self._cap is None else min(target, self._cap))

    def received_estimate(self, bps: int) -> None:
        """The receiver believes it can take this much (REMB)."""
        self._estimate = bps

    def received_report(self, loss: float, rtt_s: float | None, now: float) -> None:
        """A receiver report: share of packets lost since the last, and the round-trip time."""
        config = self._config
        if rtt_s is not None:
            self._least_rtt_s = min(self._least_rtt_s, rtt_s)
            if rtt_s - self._least_rtt_s > config.queue_s:
                self._congested_at = now
        if loss > config.loss:
            self._congested_at = now
        if loss > config.heavy_loss:
            self._cap = self.target(now) * (1 - 0.5 * loss)
        elif self._cap is not None and loss <= config.loss:
            self._cap *= config.recovery
            if self._cap > max(self._start_bps, self._estimate or 0):
                self._cap = None
