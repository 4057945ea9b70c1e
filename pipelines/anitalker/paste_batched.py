"""Squares of many slots back into their photos at once, out of tables of fixed sizes.

What it shows is what `paste` shows of each slot alone, but for rounding: masks, and the photo where
they are soft, are bytes here, and details have 11 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.paste_back import Behind, paste_back
from kernels.shown_squares import shown_squares
from pipelines.anitalker.batched import Squares
from pipelines.anitalker.crop import AROUND
from pipelines.anitalker.paste import SHARE, Backing, back, fading
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Size
from pipelines.rungs import Rungs
from pipelines.uploads import Brought

CPU = torch.device("cpu")
"""Where faces are prepared, on the way into tables."""
_MOST = 1.8  # a square with its surroundings, of the picture's height: faces that fill the canvas;
# of larger ones, whose head leaves the photo, the detail is kept with fewer pixels


class _Row(NamedTuple):
    """What a slot's rows are to hold: values that come first in them. resting: [9, R, R]."""

    behind: Behind
    resting: Tensor


class PasteTables:
    """What all slots of one renderer paste into, on one device.

    side: of the squares that its network draws. A rung's tables are made when one of its sizes is
    first named, and stay where they are. All three of a photo take 27 MB for each slot, and what
    its square needs another 2.4 MB with 256 px.
    """

    def __init__(self, slots: int, side: int, rungs: Rungs, device: torch.device) -> None:
        self._slots, self._rungs, self._device = slots, rungs, device
        self._reach = side // AROUND
        self._resting = torch.zeros(slots, 9, side, side, device=device)
        self._fade = fading(side, device)
        self._behind: dict[int, Behind] = {}
        self._prepared = Brought(device, self._row, sizes=len(rungs.boxes))

    def make(self, size: Size) -> Behind:
        """The tables of the rung that has pictures of `size`, made now if they are not there."""
        rung = self._rungs.find(size)
        if rung not in self._behind:
            pixels = self._rungs.pixels(rung)
            with torch.inference_mode(False):  # they outlive the step that names the size first
                self._behind[rung] = _empty(self._slots, pixels, self._edge(size), self._device)
        return self._behind[rung]

    def _edge(self, size: Size) -> int:
        """Pixels along a side of the details that are kept."""
        return round(_MOST * self._rungs.lines(self._rungs.find(size)))

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        """Make its rows now, from any thread, so that `set` is quick."""
        self._prepared.prepare(identity, size)

    def set(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        """Give a slot a face that may be drawn at `sizes`."""
        for size in sizes:
            row, behind = self._prepared.of(identity, size), self.make(size)
            for held, new in zip(behind, row.behind, strict=True):
                part = held[slot]
                for axis, length in enumerate(new.shape):
                    part = part.narrow(axis, 0, length)
                part.copy_(new)
            self._resting[slot] = row.resting

    def _row(self, identity: IdentityFeatures, size: Size) -> _Row:
        with torch.inference_mode(False), torch.no_grad():
            return _row_of(back(identity, size, CPU), size, self._edge(size))

    def paste(self, drawn: Squares, rows: Tensor, size: Size, planes: Tensor) -> None:
        """Draw the slots `rows` (int64 [n]), whose squares these are, into `planes` uint8
        [n, bytes], all at `size`."""
        shown = shown_squares(*drawn, self._resting, rows, self._fade, SHARE)
        paste_back(shown, rows, self.make(size), size, self._reach, planes)


def _empty(slots: int, pixels: int, edge: int, device: torch.device) -> Behind:
    """Tables of slots that show nothing."""

    def values(*shape: int, kind: torch.dtype = torch.uint8) -> Tensor:
        return torch.zeros(slots, *shape, dtype=kind, device=device)

    places = values(4, kind=torch.int32)
    places[:] = torch.tensor([0, 0, 2, 1], dtype=torch.int32)  # of a square that is not empty
    return Behind(
        planes=values(pixels * 3 // 2),
        mask=values(pixels),
        fixed=values(3 * pixels),
        detail=values(3, edge, edge, kind=torch.float16),
        places=places,
    )


def _row_of(backing: Backing, size: Size, edge: int) -> _Row:
    width, height = size
    rows, columns = backing.mask.shape[2:]
    box = slice(backing.top, backing.top + rows), slice(backing.left, backing.left + columns)
    mask = torch.zeros(height, width, dtype=torch.uint8)
    mask[box] = _bytes(backing.mask[0, 0])
    fixed = torch.zeros(3, height, width, dtype=torch.uint8)
    fixed[:, *box] = _bytes(backing.fixed[0])
    kept, detail = min(backing.side, edge), backing.detail
    if kept < backing.side:
        detail = F.interpolate(detail, (kept, kept), mode="area")
    left, top = backing.left - backing.columns.start, backing.top - backing.rows.start
    behind = Behind(
        planes=backing.i420.flatten(),
        mask=mask.flatten(),
        fixed=fixed.flatten(),
        detail=detail[0].half(),
        places=torch.tensor([left, top, backing.side, kept], dtype=torch.int32),
    )
    return _Row(behind, backing.resting[0])


def _bytes(values: Tensor) -> Tensor:
    """[0, 1] as bytes."""
    return (values * 255.0).round().clamp(0.0, 255.0).byte()
