"""The rows of the table: what each order of swap and lips draws of one target.

Pictures are squares float32 [n, 3, S, S] in [0, 1]: the upper half of the target, swapped or not,
above a drawn lower half. Nothing is pasted into frames, so masks and colours flatter nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from pipelines.swaptalk.faces import Drawn, LatentFaces, Rows
from pipelines.swaptalk.latents import upper
from pipelines.swaptalk.lips import Prepared
from training.swaptalk.pixels.network import PixelLips

NONE, PIXELS, LATENT = "no lip sync", "pixel module", "latent lips"
SWAP, SYNC_SWAP, SWAP_SYNC = "swap alone", "sync, then swap, in RGB", "swap, then sync, in RGB"
OURS = "swap and lips in latent space"
SWAPPED = (SWAP, SYNC_SWAP, SWAP_SYNC, OURS)
"""Those that show the source's face."""

_BATCH = 10

Pictures = dict[str, Tensor]


class Draws(Protocol):
    """What `play` needs of `pipelines.swaptalk.faces.Faces`."""

    tokens: int
    cells: tuple[int, ...]

    def prepare(self, maps: Tensor, reference: Tensor) -> Rows: ...

    def draw(self, rows: Rows, motion: Tensor, last: Tensor) -> Drawn: ...


class PixelFaces:
    """The pixel module as `Draws`: its maps are squares [B, 3, S, S] in [-1, 1]."""

    def __init__(self, network: PixelLips) -> None:
        self._network = network
        self.tokens = network.config.ear.tokens
        self.cells: tuple[int, ...] = ()

    def prepare(self, maps: Tensor, reference: Tensor) -> Rows:
        warped = self._network.warp_reference(upper(maps), reference.expand_as(maps))
        ready = self._network.prepare(warped)
        return {"warped": ready.warped, "begun": ready.begun}

    def draw(self, rows: Rows, motion: Tensor, last: Tensor) -> Drawn:
        ready = Prepared(rows["warped"], rows["begun"])
        said = self._network.speak(ready, self._network.listen(motion))
        return Drawn(_unit(said), last)


class Template:
    """One clip of one person, with another one's face beside, as far as no speech matters.

    Args:
        latent, pixels: what draws; without pixels, or without a swap in `latent`, their rows are
            left out.
        target: squares of the clip, [n, 3, S, S] in [-1, 1].
        reference: which of its frames has the mouth that is moved.
        source: square of the other face, [1, 3, S, S] in [-1, 1]; None for no swap.
    """

    def __init__(
        self, latent: LatentFaces, pixels: PixelFaces | None, target: Tensor, reference: int,
        source: Tensor | None,
    ) -> None:  # fmt: skip
        self._latent, self._pixels, self._target = latent, pixels, target
        key = slice(reference, reference + 1)
        maps = batched(latent.encode, target)
        self._rows = latent.prepare(maps, maps[key])
        self._pixel_rows = None if pixels is None else pixels.prepare(target, target[key])
        self._source = None if source is None else latent.encode(source)
        if self._source is None:
            return
        swapped = self._swapped(maps)
        self._shown = batched(latent.whole, swapped)
        self._swapped_rows = latent.prepare(swapped, swapped[key])
        if pixels is not None:
            squares = self._shown * 2.0 - 1.0
            self._swapped_pixel_rows = pixels.prepare(squares, squares[key])

    def draw(self, motion: Tensor) -> Pictures:
        """What each method shows of motion [n, MOTION_DIM], by its name."""
        seen = _unit(self._target)
        found = {NONE: seen, LATENT: _under(seen, play(self._latent, self._rows, motion))}
        if self._pixels is not None and self._pixel_rows is not None:
            found[PIXELS] = _under(seen, play(self._pixels, self._pixel_rows, motion))
        if self._source is None:
            return found
        found[SWAP] = self._shown
        found[OURS] = _under(self._shown, play(self._latent, self._swapped_rows, motion))
        if self._pixels is not None:
            lower = play(self._pixels, self._swapped_pixel_rows, motion)
            found[SWAP_SYNC] = _under(self._shown, lower)
            maps = batched(self._latent.encode, found[PIXELS] * 2.0 - 1.0)
            found[SYNC_SWAP] = batched(self._latent.whole, self._swapped(maps))
        return found

    def _swapped(self, maps: Tensor) -> Tensor:
        source = self._source
        assert source is not None
        return batched(lambda part: self._latent.swap(source, part), maps)


def play(faces: Draws, rows: Rows, motion: Tensor) -> Tensor:
    """Lower halves of all frames in order, [n, 3, S / 2, S] in [0, 1], each with the codes of the
    one before; before the first the face was at rest."""
    before = motion.new_zeros(faces.tokens - 1, motion.shape[1])
    heard = torch.cat([before, motion]).unfold(0, faces.tokens, 1).mT  # [n, tokens, D]
    last = torch.full((1, *faces.cells), -1)
    halves = []
    for n in range(len(motion)):
        row = {name: held[n : n + 1] for name, held in rows.items()}
        drawn = faces.draw(row, heard[n : n + 1], last)
        halves.append(drawn.lower)
        last = drawn.codes
    return torch.cat(halves)


def batched(work: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`work` on a few rows at a time."""
    return torch.cat([work(part) for part in torch.split(rows, _BATCH)])


def _under(squares: Tensor, lower: Tensor) -> Tensor:
    return torch.cat([upper(squares), lower], 2)


def _unit(squares: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (squares * 0.5 + 0.5).clamp(0.0, 1.0)
