"""What trembles in the lower half: of a VQGAN alone, and of lips that are looked up in it.

The error is what is drawn less the truth; where it stays the same, nothing flickers, however much
the face moves. Jitter is how far the error of a frame is from the mean of its neighbours' errors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.swaptalk.latents import lower
from pipelines.swaptalk.vqgan.crop import HALF, SEAM
from pipelines.swaptalk.vqgan.network import Vqgan

_MOUTH = (0.0, (1.0 - SEAM) / HALF + 0.05)  # of its middle in a square, from -1 to 1
_REACH = (0.40, 0.28)  # half axes: corners, and a chin's length below


def mouth_area(side: int) -> Tensor:
    """Where a mouth is in the lower half of a square, bool [side / 2, side]."""
    line = (torch.arange(side) + 0.5) * (2.0 / side) - 1.0
    across, down = (line - _MOUTH[0]) / _REACH[0], (line - _MOUTH[1]) / _REACH[1]
    inside: Tensor = (across**2 + down[:, None] ** 2) < 1.0
    return inside[side // 2 :]


def jitter(made: Tensor, truth: Tensor) -> dict[str, float]:
    """Of lower halves [n, 3, S / 2, S] in [0, 1], in grey levels of 255: `mouth` and `outside`.

    Raises:
        ValueError: fewer than three frames.
    """
    if len(made) < 3:
        raise ValueError(f"jitter needs three frames, got {len(made)}")
    error = 255.0 * (made - truth).mean(1)
    trembles = (error[1:-1] - 0.5 * (error[:-2] + error[2:])).abs().mean(0)
    inside = mouth_area(made.shape[3])
    return {
        "mouth": float(trembles[inside].mean()),
        "outside": float(trembles[~inside].mean()),
    }


def recoded(vqgan: Vqgan, maps: Tensor, margin: float) -> Tensor:
    """Maps [n, D, h, w] of a clip through the codes: lower halves [n, 3, S / 2, S] in [0, 1].

    margin: share by which another code must be nearer before a cell changes.
    """
    halves, last = [], None
    for each in maps:
        found = vqgan.quantise(each[None], last, margin)
        last = found.indices
        halves.append((vqgan.decode_lower(found.values) * 0.5 + 0.5).clamp(0.0, 1.0))
    return torch.cat(halves)


def truth_of(squares: Tensor) -> Tensor:
    """Their lower halves in [0, 1]."""
    return lower(squares) * 0.5 + 0.5
