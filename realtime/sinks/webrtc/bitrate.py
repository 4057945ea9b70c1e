"""How many bits a second the picture may take, from what the receiver reports.

REMB, the receiver's estimate, can only be a little more than what it was sent, and irregular
arrival alone pulls it down: a face that was quiet at first would start to speak on a starved
encoder. So an estimate below the floor is believed only once reports show congestion, and for a
while after that, longer each time. Heavy losses lower the cap whatever the estimate says.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GovernorConfig:
    """Thresholds of congestion and the steps taken."""

    floor: float = 0.6  # of the bitrate to start with
    heavy_loss: float = 0.10  # share of packets lost; more is congestion and lowers the cap
    light_loss: float = 0.02  # less lets the cap rise again
    loss_factor: float = 0.95  # of what was not lost: the new cap
    recovery: float = 1.05  # growth of the cap per report without loss
    pause_s: float = 1.0  # between two steps down: the first must have time to tell
    queue_s: float = 0.08  # round-trip time above the least seen; more is congestion,
    queue_reports: int = 2  # if this many reports in a row say so
    distrust_s: float = 30.0  # after congestion the floor is not used; doubled each time
    max_distrust_s: float = 600.0


class BitrateGovernor:
    """Decides the target of one video encoder."""

    def __init__(self, start_bps: int, config: GovernorConfig | None = None) -> None:
        self._config = config or GovernorConfig()
        self._start_bps = start_bps
        self._estimate: int | None = None
        self._cap: float | None = None  # set by heavy loss
        self._lowered = float("-inf")
        self._least_rtt_s = float("inf")
        self._queued: deque[bool] = deque(maxlen=self._config.queue_reports)
        self._distrust_s = self._config.distrust_s
        self._floor_from = float("-inf")  # the floor is used from then on

    def target(self, now: float) -> int:
        """The bitrate to aim at, in bit/s."""
        target = float(self._start_bps)
        if self._estimate is not None:
            floor = self._config.floor * self._start_bps if now >= self._floor_from else 0.0
            target = max(self._estimate, floor)
        return round(target if self._cap is None else min(target, self._cap))

    def congested(self, now: float) -> bool:
        """Whether reports have shown losses or a queue of late."""
        return now < self._floor_from or self._cap is not None

    def received_estimate(self, bps: int) -> None:
        """The receiver believes it can take this much (REMB)."""
        self._estimate = bps

    def received_report(self, loss: float | None, rtt_s: float | None, now: float) -> None:
        """A receiver report: share of packets lost and round-trip time, as far as known."""
        config = self._config
        if rtt_s is not None:
            self._least_rtt_s = min(self._least_rtt_s, rtt_s)
            self._queued.append(rtt_s - self._least_rtt_s > config.queue_s)
        queued = len(self._queued) == config.queue_reports and all(self._queued)
        heavy = loss is not None and loss > config.heavy_loss
        if queued or heavy:
            self._distrust_floor(now)
        if loss is not None and heavy:
            self._lower(loss, now)
        elif loss is not None and loss <= config.light_loss:
            self._raise()

    def _raise(self) -> None:
        if self._cap is not None:
            self._cap *= self._config.recovery
            if self._cap > max(self._start_bps, self._estimate or 0):
                self._cap = None

    def _lower(self, loss: float, now: float) -> None:
        if now - self._lowered >= self._config.pause_s:
            self._cap = self.target(now) * (1 - loss) * self._config.loss_factor
            self._lowered = now

    def _distrust_floor(self, now: float) -> None:
        if now >= self._floor_from > float("-inf"):  # it failed again
            self._distrust_s = min(2 * self._distrust_s, self._config.max_distrust_s)
        self._floor_from = now + self._distrust_s
