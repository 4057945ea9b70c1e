"""Quantiles of what was measured last."""

from __future__ import annotations

from collections import deque


class Quantile:
    """A quantile over the last `capacity` values."""

    def __init__(self, capacity: int = 250) -> None:
        self._values: deque[float] = deque(maxlen=capacity)

    def add(self, value: float) -> None:
        """Take one value in."""
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def at(self, q: float) -> float | None:
        """The quantile `q` in [0, 1], or None while there is no value."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
