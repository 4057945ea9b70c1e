"""What draws lower faces: the one place where the stream meets the networks, so that they can be
exchanged. Everything that depends on the template alone is prepared once, at enrolment.

    squares -> encode -> maps          maps, reference's maps -> prepare -> rows by name, kept
    rows of a frame, what is heard -> draw -> the lower half of its square

Of a frame, what is seen around the mouth and not drawn while it rests is kept, and added to
whatever is drawn: so the jaw's edge, skin and hair are the frame's, and only what speech moves is
of codes.

`LatentFaces` is VQGAN and latent lips. Its uncached order, that of the paper, is `uncached`. In
pixels `wav2lip.faces` draws.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pipelines.audio.mel_windows import MelWindows
from pipelines.motion.space import MOTION_DIM
from pipelines.swaptalk.latents import lower, upper
from pipelines.swaptalk.lips import LipSync, Prepared
from pipelines.swaptalk.swap import Swap
from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.quantise import Quantised

_MOUTH = (0.42, 0.33, 0.33)  # half width, middle and half height of an open one, in half squares
_MOUTH_EDGE = 0.35  # of that

ROWS = "rows."
"""Prefix of what was prepared, among the arrays of an identity."""

Rows = dict[str, Tensor]
"""What was prepared, by name: a row for each frame."""


class Drawn(NamedTuple):
    """lower: float32 [B, 3, side / 2, side] in [0, 1]. codes: int64 [B, ...], to hold on to."""

    lower: Tensor
    codes: Tensor


class Faces(Protocol):
    """Lower faces from motion or sound, over prepared templates."""

    side: int
    """Of a square that is seen and drawn, in pixels."""
    tokens: int
    """Frames of what is heard for one, the last being that frame's own."""
    ear: MelWindows | None
    """What hears the sound, in time with the motion; None where motion says all."""
    cells: tuple[int, ...]
    """Shape of the codes of one frame."""

    def encode(self, squares: Tensor) -> Tensor:
        """Squares float32 [B, 3, side, side] in [-1, 1] -> maps [B, ...]."""

    def swap(self, source: Tensor, maps: Tensor) -> Tensor:
        """Maps [B, ...] with the face of a source's, [1, ...].

        Raises:
            ValueError: there is no network for it.
        """

    def whole(self, maps: Tensor) -> Tensor:
        """Whole squares of maps, float32 [B, 3, side, side] in [0, 1]."""

    def prepare(self, maps: Tensor, reference: Tensor, squares: Tensor | None = None) -> Rows:
        """Maps [B, ...] of frames and those of one more, [1, ...], whose mouth is to be moved.

        squares: the frames, float32 [B, 3, side, side] in [-1, 1], if what is drawn may have of
        them what maps do not hold.
        """

    def draw(self, rows: Rows, heard: Tensor, last: Tensor) -> Drawn:
        """Rows of B frames and what is heard for them, float32 [B, tokens, ...]: motion [D], or
        with an ear of its own by how much a mel window [80, 16] is above silence.

        last: codes of the frame before, int64 [B, *cells]; -1 where there is none.
        """


class LatentFaces:
    """See `Faces`.

    margin: share by which another code must be nearer before a cell changes; against flicker.

    Raises:
        ValueError: networks that do not fit together, or lips that hear what is not there.
    """

    def __init__(
        self, vqgan: Vqgan, lips: LipSync, margin: float, swap: Swap | None = None
    ) -> None:
        latent, ear, code = lips.config.latent, lips.config.ear, vqgan.config
        if (latent.dim, latent.rows, latent.columns) != (code.code_dim, code.grid, code.grid):
            raise ValueError(
                f"the lips work on maps of {latent.dim} x {latent.rows} x {latent.columns}, the "
                f"VQGAN's are {code.code_dim} x {code.grid} x {code.grid}"
            )
        if ear.hears != "motion" or ear.ahead:
            raise ValueError(
                f"lips that hear {ear.hears}, {ear.ahead} frames ahead, cannot be streamed; train "
                "them on motion up to the frame that is drawn"
            )
        if swap is not None and swap.config.latent != latent:
            raise ValueError(f"the swap works on {swap.config.latent}, the lips on {latent}")
        self._vqgan, self._lips, self._margin, self._swap = vqgan, lips, margin, swap
        self.side, self.tokens = code.size, ear.tokens
        self.ear: MelWindows | None = None
        self._around = _around_the_mouth(code.size).to(next(vqgan.parameters()).device)
        self.cells: tuple[int, ...] = (code.grid // 2, *code.code_shape[1:])

    def encode(self, squares: Tensor) -> Tensor:
        return self._vqgan.encode_halves(squares)

    def swap(self, source: Tensor, maps: Tensor) -> Tensor:
        if self._swap is None:
            raise ValueError("no weights were given for the swap of faces")
        made = self._swap(source.expand_as(maps), maps)
        return self._vqgan.quantise(made).values

    def whole(self, maps: Tensor) -> Tensor:
        return _pictures(self._vqgan.decode(maps))

    def prepare(self, maps: Tensor, reference: Tensor, squares: Tensor | None = None) -> Rows:
        kept = upper(maps)
        warped = self._lips.warp_reference(kept, reference.expand_as(maps))
        ready = self._lips.prepare(warped)
        above = self._vqgan.upper_book(kept).values
        rows = {"upper": above, "warped": ready.warped, "begun": ready.begun}
        if squares is not None:
            rows["detail"] = self._detail(ready, above, squares)
        return rows

    def _detail(self, ready: Prepared, above: Tensor, squares: Tensor) -> Tensor:
        """What is seen around a mouth at rest, and not drawn: int8, 1 / 255 of full scale."""
        rest = squares.new_zeros(len(squares), self.tokens, MOTION_DIM)
        said = self._lips.speak(ready, self._lips.listen(rest))
        z = torch.cat([above, self._vqgan.lower_book(said).values], 2)
        drawn = _pictures(self._vqgan.decode_lower(z))
        wrong = (lower(squares) * 0.5 + 0.5 - drawn) * self._around
        return (wrong * 255.0).round().clamp(-127.0, 127.0).to(torch.int8)

    def draw(self, rows: Rows, heard: Tensor, last: Tensor) -> Drawn:
        ready = Prepared(rows["warped"], rows["begun"])
        said = self._lips.speak(ready, self._lips.listen(heard))
        found = self._look_up(said, last)
        z = torch.cat([rows["upper"], found.values], 2)
        drawn = _pictures(self._vqgan.decode_lower(z))
        if "detail" in rows:
            drawn = (drawn + rows["detail"] / 255.0).clamp(0.0, 1.0)
        return Drawn(drawn, found.indices)

    def uncached(
        self, squares: Tensor, reference: Tensor, motion: Tensor, last: Tensor,
        source: Tensor | None = None,
    ) -> Drawn:  # fmt: skip
        """The same in the paper's order, nothing kept: squares of the frames, of the reference and,
        for a swap, of the source in, the whole face decoded."""
        target, other = self.encode(squares), self.encode(reference)
        if source is not None:
            key = self.encode(source)
            target, other = self.swap(key, target), self.swap(key, other)
        made = self._lips(target, other.expand_as(target), motion)
        found = self._look_up(lower(made), last)
        above = self._vqgan.upper_book(upper(made)).values
        whole = self._vqgan.decode(torch.cat([above, found.values], 2))
        return Drawn(_pictures(lower(whole)), found.indices)

    def _look_up(self, said: Tensor, last: Tensor) -> Quantised:
        return self._vqgan.lower_book(said, last, self._margin)  # type: ignore[no-any-return]


def _around_the_mouth(side: int) -> Tensor:
    """Of lower halves [side / 2, side]: 1 where speech moves only skin, 0 where lips may be."""
    across = (torch.arange(side) + 0.5) * (2.0 / side) - 1.0
    down = (torch.arange(side // 2) + 0.5)[:, None] * (2.0 / side)
    apart = ((across / _MOUTH[0]).square() + ((down - _MOUTH[1]) / _MOUTH[2]).square()).sqrt()
    return ((apart - 1.0) / _MOUTH_EDGE).clamp(0.0, 1.0)


def _pictures(decoded: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (decoded * 0.5 + 0.5).clamp(0.0, 1.0)
