"""Where the square canvas of an identity lies in a frame."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.pipeline import Size

Box = tuple[slice, slice]
"""Rows and columns of a frame; unlike slices otherwise, they may begin below 0."""

_CELLS = 64  # of the frame's lattice along the canvas, about


@dataclass(frozen=True)
class Placement:
    """The canvas in pixels of the frame: its corner and its side, all even.

    It need not fill the frame, and may reach beyond it. What it does not cover never moves.

    Raises:
        ValueError: an odd number, or a side below 2.
    """

    left: int
    top: int
    side: int

    def __post_init__(self) -> None:
        if self.left % 2 or self.top % 2 or self.side % 2 or self.side < 2:
            raise ValueError(f"a canvas lies at even pixels and is not empty, got {self}")

    @property
    def step(self) -> int:
        """Pixels between two nodes of the frame's lattice; even, so that they lie between pixels
        and that half of it is whole."""
        return max(2, 2 * round(self.side / (2 * _CELLS)))

    def visible(self, size: Size) -> Box:
        """The part of a frame of `size` that the canvas covers.

        Raises:
            ValueError: there is none.
        """
        width, height = size
        rows = slice(max(0, self.top), min(height, self.top + self.side))
        columns = slice(max(0, self.left), min(width, self.left + self.side))
        if rows.stop <= rows.start or columns.stop <= columns.start:
            raise ValueError(f"{self} lies outside of a frame of {width} x {height}")
        return rows, columns


def filling(size: Size) -> Placement:
    """The canvas that is the whole of a square frame.

    Raises:
        ValueError: it is not square.
    """
    width, height = size
    if width != height:
        raise ValueError(f"portraits are square, not {width} x {height}")
    return Placement(0, 0, width)


def overlap(a: Box, b: Box) -> tuple[Box, Box] | None:
    """The part that `a` and `b` share, relative to each; None if they share nothing."""
    rows, columns = _common(a[0], b[0]), _common(a[1], b[1])
    if rows is None or columns is None:
        return None
    return (rows[0], columns[0]), (rows[1], columns[1])


def _common(a: slice, b: slice) -> tuple[slice, slice] | None:
    """As `overlap`, along one side."""
    start, stop = max(a.start, b.start), min(a.stop, b.stop)
    if stop <= start:
        return None
    return slice(start - a.start, stop - a.start), slice(start - b.start, stop - b.start)
