"""The drawn square back into the photo: the head moves, everything else is the photo itself.

    frame = mask * (drawn + correction) + (1 - mask) * photo

The mask is 1 over head and neck and 0 well inside the square's edge and over shoulders and
background, so there is no seam to see; the correction is what the renderer, drawing the photo's own
motion, gets wrong in colour over wide areas. Everything but the drawn square is prepared once per
identity and frame size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.i420 import rgb_to_i420, write_i420
from pipelines.identity import BakedCache, IdentityFeatures


@dataclass(frozen=True)
class Backing:
    """One identity's photo, ready for its square to be pasted in. Never written to."""

    i420: Tensor  # uint8 [size * 3 / 2, size], the photo
    side: int  # of the square in the frame, pixels
    inside: tuple[slice, slice]  # rows and columns of the square that can change
    top: int  # where these begin in the frame, both even
    left: int
    mask: Tensor  # [1, 1, h, w]
    fixed: Tensor  # [1, 3, h, w] the rest of the sum above, RGB in [0, 1]


def back(identity: IdentityFeatures, size: int, device: torch.device) -> Backing:
    """Prepare the backing of an enrolled photo for frames of `size` pixels."""
    tensors = identity.tensors
    canvas = tensors["canvas"].permute(2, 0, 1)[None].float() / 255.0
    mask = tensors["mask"][None, None].float() / 255.0
    left, top, side = (int(v) * size // canvas.shape[-1] for v in tensors["square"])
    photo, mask = (F.interpolate(x, (size, size), mode="area") for x in (canvas, mask))
    rows, columns = _span(mask[0, 0].amax(1)), _span(mask[0, 0].amax(0))
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    correction = enlarged(tensors["correction"][None].float(), side)[:, :, inside[0], inside[1]]
    mask = mask[:, :, rows, columns]
    fixed = photo[:, :, rows, columns] * (1.0 - mask) + correction * mask
    return Backing(
        i420=rgb_to_i420(photo)[0].to(device),
        side=side,
        inside=inside,
        top=rows.start,
        left=columns.start,
        mask=mask.to(device),
        fixed=fixed.to(device),
    )


def _span(marked: Tensor) -> slice:
    """The smallest even stretch that holds every value above 0 in [S]."""
    found = marked.nonzero()[:, 0]
    first, last = int(found[0]), int(found[-1])
    return slice(first // 2 * 2, last // 2 * 2 + 2)


def _make(identity: IdentityFeatures, size: int, device: torch.device) -> Backing:
    with torch.inference_mode():
        return back(identity, size, device)


BACKINGS = BakedCache(_make)


def paste(square: Tensor, backing: Backing, planes: Tensor) -> None:
    """Draw a frame into I420 `planes` (uint8 [1, size * 3 / 2, size]).

    square: float32 [1, 3, R, R] in [-1, 1], as the renderer draws it.
    """
    planes[0] = backing.i420
    write_i420(blended(square, backing), planes, backing.top, backing.left)


def blended(square: Tensor, backing: Backing) -> Tensor:
    """The part of the frame that can change: RGB [1, 3, h, w] in [0, 1]."""
    drawn = enlarged(square, backing.side)[:, :, backing.inside[0], backing.inside[1]]
    return torch.addcmul(backing.fixed, drawn * 0.5 + 0.5, backing.mask).clamp_(0.0, 1.0)


def enlarged(picture: Tensor, side: int) -> Tensor:
    """Resample [N, C, R, R] to `side` pixels, smoothly."""
    return F.interpolate(picture, (side, side), mode="bilinear", align_corners=False)
