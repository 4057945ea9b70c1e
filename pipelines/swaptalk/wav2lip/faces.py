"""Wav2Lip as lips over a template: drawn in pixels from sound, in the place of the latent lips.

    square of the face, side 144 -> crop as a face detector's, 96 x 96 -> generator <- mel window
    what it draws -> back into the lower half of the square, softly at the crop's edges

As in the published inference the reference is the frame itself. Where a detector's box would be
follows from the square: about its middle, so that what the generator draws anew, the crop's lower
half, begins where the square's does. What the face encoder gives could be kept, but is a mebibyte
a frame for an eighth of the work.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.audio.mel_windows import SILENCE, MelWindows
from pipelines.swaptalk.faces import Drawn, Rows
from pipelines.swaptalk.latents import lower
from pipelines.swaptalk.wav2lip.generator import CROP, Wav2Lip, face_input

LEAD = 1
"""Video frames that a mel window begins early, as in the generator's training: 160 ms ahead."""
_SIDE = 144  # of a square, so that a crop's pixel is about one of it
# Half the crop in the square, whose half is 1.5 times the distance from eyes to mouth: detectors'
# boxes reach from the forehead to a little below the chin, and from ear to ear.
_ACROSS, _DOWN = 0.66, 0.85
_SOFT = 0.1  # of half the crop, over which it fades at its edges


class Wav2LipFaces:
    """See `pipelines.swaptalk.faces.Faces`. Its maps are the squares."""

    side = _SIDE
    tokens = 1
    cells: tuple[int, ...] = ()

    def __init__(self, generator: Wav2Lip) -> None:
        self._generator = generator
        device = next(generator.parameters()).device
        self.ear: MelWindows | None = MelWindows(LEAD).to(device)
        crop = torch.tensor([[_ACROSS, 0.0, 0.0], [0.0, _DOWN, 0.0]], device=device)
        back = torch.tensor([[1.0 / _ACROSS, 0.0, 0.0], [0.0, 1.0 / _DOWN, 0.0]], device=device)
        self._crop = F.affine_grid(crop[None], [1, 3, CROP, CROP], align_corners=False)
        self._back = F.affine_grid(back[None], [1, 3, _SIDE, _SIDE], align_corners=False)
        self._back = self._back[:, _SIDE // 2 :]
        aside, down = self._back[0].abs().unbind(-1)
        self._share = ((1.0 - torch.maximum(aside, down)) / _SOFT).clamp(0.0, 1.0)

    def encode(self, squares: Tensor) -> Tensor:
        return squares

    def swap(self, source: Tensor, maps: Tensor) -> Tensor:
        raise ValueError("Wav2Lip draws lips, and cannot put in another face")

    def whole(self, maps: Tensor) -> Tensor:
        return maps * 0.5 + 0.5

    def prepare(self, maps: Tensor, reference: Tensor, squares: Tensor | None = None) -> Rows:
        return {"square": (maps * 127.5 + 127.5).round().clamp(0.0, 255.0).byte()}

    def draw(self, rows: Rows, heard: Tensor, last: Tensor) -> Drawn:
        squares = rows["square"].float() / 255.0
        crop = _sampled(squares, self._crop).flip(1)  # to BGR
        made = self._generator(heard + SILENCE, face_input(crop)).flip(1)
        own = lower(squares)
        return Drawn(torch.lerp(own, _sampled(made, self._back), self._share), last)


def _sampled(pictures: Tensor, grid: Tensor) -> Tensor:
    rows = grid.expand(len(pictures), -1, -1, -1)
    return F.grid_sample(pictures, rows, padding_mode="border", align_corners=False)
