"""Pictures at any times to pictures at the pipelines' rate, by their timestamps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.photo.decode import Image8
from pipelines.photo.video.container import TimedPicture
from pipelines.pipeline import FPS

_ROUNDING_S = 1e-4  # of times in containers


@dataclass(frozen=True)
class SteadyPicture:
    """What is seen at `number` / 25 s: the picture taken nearest to that time.

    fresh: whether it is not the one before, shown again.
    off_s: how far from that time it was taken; positive when later.
    """

    number: int
    pixels: Image8
    fresh: bool
    off_s: float

    @property
    def time_s(self) -> float:
        return self.number / FPS


def steady(pictures: Iterable[TimedPicture]) -> Iterator[SteadyPicture]:
    """25 pictures a second, each the nearest in time. The times of `pictures` rise."""
    rest = iter(pictures)
    earlier = next(rest, None)
    if earlier is None:
        return
    later = next(rest, None)
    number, fresh = 0, True
    while True:
        due_s = number / FPS
        while later is not None and _nearer(earlier, later, due_s):
            earlier, later, fresh = later, next(rest, None), True
        if later is None and due_s > earlier.time_s + 0.5 / FPS - _ROUNDING_S:
            return
        yield SteadyPicture(number, earlier.pixels, fresh, earlier.time_s - due_s)
        number, fresh = number + 1, False


def _nearer(earlier: TimedPicture, later: TimedPicture, due_s: float) -> bool:
    """Whether the later picture is nearer to `due_s`; equally near ones go to the earlier."""
    return abs(later.time_s - due_s) < abs(earlier.time_s - due_s) - _ROUNDING_S
