"""How large pictures are drawn while time is short: down fast, up slowly. Sans I/O."""

from __future__ import annotations

from collections.abc import Callable


class Ladder:
    """Chooses the rung, how many sizes below the wanted one pictures are drawn, from how many of
    them miss their time. All times are arguments.

    When more than `down_share` of a window miss, pictures become smaller by one size, and after
    `urgent_s` already where most do. When fewer than `up_share` miss for `calm_windows` in a row,
    and the next size would fit by what is measured, they grow again; each relapse within
    `relapse_s` doubles that number, so that a slow machine does not flap.
    """

    window_s = 3.0
    urgent_s = 0.8
    urgent_share = 0.5
    down_share = 0.12
    up_share = 0.04
    calm_windows = 2
    most_windows = 32
    relapse_s = 60.0

    def __init__(self) -> None:
        self.rung = 0
        self._since: float | None = None
        self._pictures = 0
        self._misses = 0
        self._busy_s = 0.0
        self._calm = 0
        self._needed = self.calm_windows
        self._rose_at = float("-inf")

    def start_at(self, rung: int) -> None:
        """Begin there: measured costs say that the rungs above it cannot hold."""
        self.rung = max(self.rung, rung)

    def worked(self, seconds: float) -> None:
        """A step took so long."""
        self._busy_s += seconds

    def observe(
        self, now: float, *, missed: bool, deepest: int, fits: Callable[[int, float], bool]
    ) -> None:
        """Count one picture that was due at local time `now`; the rung becomes `deepest` at most.

        fits: whether the pictures of a rung could be drawn in time, where steps of the present one
            took so large a share of the window.
        """
        if self._since is None:
            self._since = now
        self._pictures += 1
        self._misses += missed
        elapsed_s, share = now - self._since, self._misses / self._pictures
        urgent = elapsed_s >= self.urgent_s and share > self.urgent_share
        if elapsed_s < self.window_s and not urgent:
            return
        busy = self._busy_s / elapsed_s
        self._begin_window(now)
        if share > self.down_share:
            self.fall(now, min(self.rung + 1, deepest))
            return
        self._calm = self._calm + 1 if share <= self.up_share else 0
        if self.rung > 0 and self._calm >= self._needed and fits(self.rung - 1, busy):
            self.rung -= 1
            self._calm, self._rose_at = 0, now

    def fall(self, now: float, rung: int) -> None:
        """Draw as small as on `rung` from now on, unless it is smaller already."""
        self._calm = 0
        if rung <= self.rung:
            return
        relapse = now - self._rose_at < self.relapse_s
        self._needed = min(self._needed * 2, self.most_windows) if relapse else self.calm_windows
        self.rung = rung
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._since, self._pictures, self._misses, self._busy_s = now, 0, 0, 0.0
