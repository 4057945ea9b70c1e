"""What encoding took a media process, until the inference process is told."""

from __future__ import annotations

from realtime.engine.link import Link
from realtime.engine.wire import EncodingTimes
from realtime.media import Size


class EncodingTally:
    """Adds up by size."""

    def __init__(self) -> None:
        self._taken: dict[Size, tuple[int, float, float]] = {}

    def add(self, size: Size, cpu_s: float, wall_s: float) -> None:
        """What encoding one picture of `size` took, and how long it was waited for."""
        count, cpu, wall = self._taken.get(size, (0, 0.0, 0.0))
        self._taken[size] = count + 1, cpu + cpu_s, wall + wall_s

    def tell(self, link: Link) -> None:
        """Tell the means, and begin anew."""
        times = [
            EncodingTimes(size, n, cpu / n, wall / n)
            for size, (n, cpu, wall) in self._taken.items()
        ]
        self._taken.clear()
        if times:
            link.tell("encoded", times)
