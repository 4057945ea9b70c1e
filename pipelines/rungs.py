"""Tables that hold a slot's pictures whatever their size: one for each rung of the ladder.

An identity may be drawn at a few sizes, smallest first, and photos have sizes of their own. A table
for each size of each photo would fill any card; so the first sizes of all frames share a table, the
second ones another, and so on. Which it is follows from the size alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.photo.framing import FRAMES
from pipelines.pipeline import Size


@dataclass(frozen=True)
class Rungs:
    """boxes: of each rung those that its pictures fit into, smallest rung first.

    A picture belongs to the first rung that has a box for it; one that touches a box of its rung,
    as photos in `framing` do, fits into no box of a rung below.
    """

    boxes: tuple[tuple[Size, ...], ...]

    @classmethod
    def of(cls, frames: Iterable[Sequence[Size]]) -> Rungs:
        """Of frames that have as many sizes each, smallest first."""
        return cls(tuple(zip(*frames, strict=True)))

    def find(self, size: Size) -> int:
        """Which rung holds pictures of `size`.

        Raises:
            ValueError: they are larger than all.
        """
        for rung, boxes in enumerate(self.boxes):
            if any(size[0] <= width and size[1] <= height for width, height in boxes):
                return rung
        raise ValueError(f"pictures of {size[0]} x {size[1]} fit into none of {self.boxes[-1]}")

    def pixels(self, rung: int) -> int:
        """Of its largest picture."""
        return max(width * height for width, height in self.boxes[rung])

    def lines(self, rung: int) -> int:
        """Of its highest picture."""
        return max(height for _, height in self.boxes[rung])


PHOTO_RUNGS = Rungs.of(frame.sizes for frame in FRAMES.values())
"""Of enrolled photos in all their frames."""
