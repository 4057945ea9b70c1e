"""Squares of many slots back into their photos at once, out of tables of fixed sizes.

What it shows is what `paste` shows of each slot alone, but for rounding: masks, and the photo where
they are soft, are bytes here, and details have 11 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.paste_back import Behind, paste_back
from kernels.shown_squares import shown_squares
from pipelines.anitalker.batched import Squares
from pipelines.anitalker.crop import AROUND
from pipelines.anitalker.paste import BACKINGS, SHARE, Backing, fading
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Size
from pipelines.rungs import Rungs

CPU = torch.device("cpu")
"""Where faces are prepared, on the way into tables."""
_MOST = 1.8  # a square with its surroundings, of the picture's height: faces that fill the canvas;
# of larger ones, whose head leaves the photo, the detail is kept with fewer pixels


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

    def make(self, size: Size) -> Behind:
        """The tables of the rung that has pictures of `size`, made now if they are not there."""
        rung = self._rungs.find(size)
        if rung not in self._behind:
            pixels, edge = self._rungs.pixels(rung), round(_MOST * self._rungs.lines(rung))
            with torch.inference_mode(False):  # they outlive the step that names the size first
                self._behind[rung] = _empty(self._slots, pixels, edge, self._device)
        return self._behind[rung]

    def set(self, slot: int, identity: IdentityFeatures, sizes: Sequence[Size]) -> None:
        """Give a slot a face that may be drawn at `sizes`."""
        for size in sizes:
            backing = BACKINGS.get(identity, size, CPU)
            _write(self.make(size), slot, backing, size)
            self._resting[slot] = backing.resting[0]

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


def _write(behind: Behind, slot: int, backing: Backing, size: Size) -> None:
    width, height = size
    rows, columns = backing.mask.shape[2:]
    box = slice(backing.top, backing.top + rows), slice(backing.left, backing.left + columns)
    pixels = width * height
    behind.planes[slot, : pixels * 3 // 2] = backing.i420.flatten()
    mask = behind.mask[slot, :pixels].zero_().view(height, width)
    mask[box] = _bytes(backing.mask[0, 0]).to(mask.device)
    fixed = behind.fixed[slot, : 3 * pixels].zero_().view(3, height, width)
    fixed[:, *box] = _bytes(backing.fixed[0]).to(fixed.device)
    edge = behind.detail.shape[-1]
    kept = min(backing.side, edge)
    detail = backing.detail
    if kept < backing.side:
        detail = F.interpolate(detail, (kept, kept), mode="area")
    behind.detail[slot, :, :kept, :kept] = detail[0].to(behind.detail.device)
    left, top = backing.left - backing.columns.start, backing.top - backing.rows.start
    behind.places[slot] = torch.tensor([left, top, backing.side, kept], dtype=torch.int32)


def _bytes(values: Tensor) -> Tensor:
    """[0, 1] as bytes."""
    return (values * 255.0).round().clamp(0.0, 255.0).byte()
