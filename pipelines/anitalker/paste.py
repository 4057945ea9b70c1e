"""The drawn square back into the photo: the head moves, everything else is the photo itself.

    frame = mask * (drawn + correction + alike * moved detail) + (1 - mask) * photo

The mask is 1 over head and neck and 0 well inside the square's edge and over shoulders and
background, so there is no seam to see. Correction and detail are what the renderer, drawing the
photo's own motion, leaves out of the photo: the wide differences in colour, which stay where they
are, and the fine ones, which its small picture cannot hold and which go where it says that the skin
goes. Where it draws something else than what was there (an open mouth, a closed eye), or says that
it shows nothing of the photo, the detail would be wrong; there `alike` is 0. At rest the frame is
the photo. Toward the square's edge what is drawn fades out and the detail is all of the photo;
around the square, where hair may reach, it moves as the edge does. All but the drawn square is
prepared once per identity and frame size.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.i420 import rgb_to_i420, write_i420
from pipelines.anitalker.batched import Squares
from pipelines.anitalker.crop import AROUND, surroundings
from pipelines.baked import BakedCache
from pipelines.identity import IdentityFeatures
from pipelines.photo.crop import Crop
from pipelines.photo.matte import blur
from pipelines.pipeline import Size

_WIDE = 1 / 30  # of the square, standard deviation: differences wider than this are corrected
_UNLIKE = 0.3  # difference of colours in [-1, 1] at which a third of the detail is left
_FADING = 1 / 8  # of the square from its edge
_SHARE = AROUND / (AROUND + 2)  # of the square in the side of its surroundings
_FAINT = 0.05  # a mask below which a pixel counts as showing nothing
_SPREAD = 3  # pixels of the drawn square over which colours are compared


@dataclass(frozen=True)
class Backing:
    """One identity's photo, ready for its square to be pasted in. Never written to.

    The square with its surroundings has `side` pixels in the frame; of these the box of `mask` can
    change. Places in it are x and y in [-1, 1], as in `grid_sample`.
    """

    i420: Tensor  # uint8 [size * 3 / 2, size], the photo
    side: int
    top: int  # of the box in the frame, like `left` even
    left: int
    rows: slice  # of the box in the square
    columns: slice
    mask: Tensor  # [1, 1, h, w]
    fixed: Tensor  # [1, 3, h, w] RGB in [0, 1]: mask * correction + (1 - mask) * photo
    detail: Tensor  # [1, 3, side, side]
    places: Tensor  # [1, 2, h, w] of the box's pixels
    fade: Tensor  # [1, 1, R, R] how much of what is drawn is shown
    rest: Tensor  # [1, 3, R, R] in [-1, 1], the photo's own motion as drawn
    look: Tensor  # [1, 2, R, R], where its pixels look
    shown: Tensor  # [1, 1, R, R], how much they show of what they see there


def back(identity: IdentityFeatures, size: int, device: torch.device) -> Backing:
    """Prepare the backing of an enrolled photo for frames of `size` pixels."""
    names = ("canvas", "mask", "rest", "look", "shown", "seen")
    tensors = {name: identity.tensors[name].to(device) for name in names}
    canvas = tensors["canvas"].permute(2, 0, 1)[None].float() / 255.0
    mask = tensors["mask"][None, None].float() / 255.0
    square = Crop(*(float(v) for v in identity.tensors["square"]))
    left, top, side = (int(v * size / canvas.shape[-1]) for v in astuple(surroundings(square)))
    photo, mask = (F.interpolate(x, (size, size), mode="area") for x in (canvas, mask))
    rest, look, shown, seen = (tensors[name][None].float() for name in names[2:])
    wrong = blur((seen - rest)[0] * 0.5, rest.shape[-1] * _WIDE)[None]
    fade = _fade(rest.shape[-1], device)
    drawn, correction = (enlarged(around(part * fade), side) for part in (rest * 0.5 + 0.5, wrong))
    detail = _square(photo, left, top, side) - drawn - correction
    rows, columns = _span(mask[0, 0].amax(1)), _span(mask[0, 0].amax(0))
    box = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    mask = mask[:, :, rows, columns]
    fixed = photo[:, :, rows, columns] * (1.0 - mask) + correction[:, :, *box] * mask
    return Backing(
        i420=rgb_to_i420(photo)[0],
        side=side,
        top=rows.start,
        left=columns.start,
        rows=box[0],
        columns=box[1],
        mask=mask,
        fixed=fixed,
        detail=detail,
        places=_places(side, device)[:, :, *box].contiguous(),
        fade=fade,
        rest=rest,
        look=look,
        shown=shown,
    )


def _square(photo: Tensor, left: int, top: int, side: int) -> Tensor:
    """Cut a square out of a photo [1, 3, S, S]; its edges are extended if need be."""
    line = torch.arange(side, device=photo.device)
    last = photo.shape[-1] - 1
    return photo[:, :, (line + top).clamp(0, last)][:, :, :, (line + left).clamp(0, last)]


def _span(marked: Tensor) -> slice:
    """The smallest even stretch that holds every value above 0 in [S]."""
    found = marked.nonzero()[:, 0]
    first, last = int(found[0]), int(found[-1])
    return slice(first // 2 * 2, last // 2 * 2 + 2)


def _places(side: int, device: torch.device) -> Tensor:
    """The middles of a square's pixels, [1, 2, side, side], x and y in [-1, 1]."""
    line = (torch.arange(side, device=device) + 0.5) * (2.0 / side) - 1.0
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


def _fade(size: int, device: torch.device) -> Tensor:
    """1 in a drawn square, 0 at its edge: [1, 1, R, R]."""
    near = (torch.arange(size, device=device) + 0.5) / size
    near = (torch.minimum(near, 1.0 - near) / _FADING).clamp_max(1.0)
    line = near * near * (3.0 - 2.0 * near)
    return (line[:, None] * line)[None, None]


def _make(identity: IdentityFeatures, size: Size, device: torch.device) -> Backing:
    width, height = size
    if width != height:
        raise ValueError(f"frames are square, not {width} x {height}")
    with torch.inference_mode():
        return back(identity, width, device)


BACKINGS = BakedCache(_make)


def paste(drawn: Squares, backing: Backing, planes: Tensor) -> None:
    """Draw one frame into I420 `planes` (uint8 [1, size * 3 / 2, size])."""
    planes[0] = backing.i420
    write_i420(blended(drawn, backing), planes, backing.top, backing.left)


def blended(drawn: Squares, backing: Backing) -> Tensor:
    """The box that can change, as RGB [1, 3, h, w] in [0, 1]; one frame is drawn."""
    moved = drawn.looks - backing.look
    shown = (drawn.pictures * 0.5 + 0.5) * backing.fade
    lost = (1.0 - alike(drawn, moved, backing)) * backing.fade
    box = enlarged(around(torch.cat([shown, moved * _SHARE, 1.0 - lost], 1)), backing.side)
    box = box[:, :, backing.rows, backing.columns]
    places = (backing.places + box[:, 3:5]).permute(0, 2, 3, 1)
    detail = F.grid_sample(backing.detail, places, padding_mode="border", align_corners=False)
    whole = torch.addcmul(box[:, :3], detail, box[:, 5:])
    return torch.addcmul(backing.fixed, whole, backing.mask).clamp_(0.0, 1.0)


def alike(drawn: Squares, moved: Tensor, backing: Backing) -> Tensor:
    """How much a frame shows what was there at rest, [1, 1, R, R] in [0, 1].

    moved: [1, 2, R, R], by how much its pixels look elsewhere than at rest.
    """
    places = (_places(moved.shape[-1], moved.device) + moved).permute(0, 2, 3, 1)
    rest = torch.cat([backing.rest, backing.shown], 1)
    before = F.grid_sample(rest, places, padding_mode="border", align_corners=False)
    unlike = (drawn.pictures - before[:, :3]).abs().mean(1, keepdim=True)
    unlike = F.avg_pool2d(unlike, _SPREAD, 1, _SPREAD // 2, count_include_pad=False)
    kept = (drawn.masks / before[:, 3:].clamp_min(_FAINT)).clamp_max(1.0)
    return torch.exp(-((unlike / _UNLIKE) ** 2)) * kept


def around(square: Tensor) -> Tensor:
    """Continue [N, C, R, R] into its surroundings, [N, C, R + 2 R / 8, ...]."""
    reach = square.shape[-1] // AROUND
    return F.pad(square, (reach,) * 4, mode="replicate")


def enlarged(picture: Tensor, side: int) -> Tensor:
    """Resample [N, C, R, R] to `side` pixels, smoothly."""
    return F.interpolate(picture, (side, side), mode="bilinear", align_corners=False)
