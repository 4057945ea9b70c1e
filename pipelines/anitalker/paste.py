"""The drawn square back into the photo: the head moves, everything else is the photo itself.

    frame = mask * (drawn + moved correction + sure * moved detail) + (1 - mask) * photo

The mask is 1 over head and neck and 0 well inside the square's edge and over shoulders and
background, so there is no seam to see. Correction and detail are what the renderer, drawing the
photo's own motion, leaves out of the photo: the wide differences in colour and the fine ones, which
its small picture cannot hold. Both go where it says that the skin goes: a correction that stayed
would light up the wall where dark hair was. Where the renderer draws something else than what was
there (an open mouth, a closed eye), says that it shows nothing of the photo, or bends the skin so
much that it cannot know where each pore is, the detail would be wrong; there `sure` is 0. At rest
the frame is the photo. Toward the square's edge what is drawn fades out and the detail is all of
the photo; around the square, where hair may reach, it moves as the edge does. All but the drawn
square is prepared once per identity and frame size.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.i420 import rgb_to_i420, write_i420
from kernels.shown_squares import shown_squares
from pipelines.anitalker.batched import Squares
from pipelines.anitalker.crop import AROUND, surroundings
from pipelines.baked import BakedCache
from pipelines.identity import IdentityFeatures
from pipelines.photo.crop import Crop
from pipelines.photo.filling import blur
from pipelines.photo.framing import SQUARE, even, moving, place
from pipelines.photo.placement import Box
from pipelines.pipeline import Size

_WIDE = 1 / 30  # of the square, standard deviation: differences wider than this are corrected
_FADING = 1 / 8  # of the square from its edge
SHARE = AROUND / (AROUND + 2)
"""Of the square in the side of its surroundings."""


@dataclass(frozen=True)
class Backing:
    """One identity's photo, ready for its square to be pasted in. Never written to.

    The square with its surroundings has `side` pixels in the frame; of these the box of `mask` can
    change. Places in it are x and y in [-1, 1], as in `grid_sample`.
    """

    i420: Tensor  # uint8 [H * 3 / 2, W], the photo
    side: int
    top: int  # of the box in the frame, like `left` even
    left: int
    rows: slice  # of the box in the square
    columns: slice
    mask: Tensor  # [1, 1, h, w]
    fixed: Tensor  # [1, 3, h, w] RGB in [0, 1]: (1 - mask) * photo
    detail: Tensor  # [1, 3, side, side]
    places: Tensor  # [1, 2, h, w] of the box's pixels
    fade: Tensor  # [1, 1, R, R] how much of what is drawn is shown
    rest: Tensor  # [1, 3, R, R] in [-1, 1], the photo's own motion as drawn
    wrong: Tensor  # [1, 3, R, R], the correction: in [-1, 1] of colours in [0, 1]
    look: Tensor  # [1, 2, R, R], where its pixels look
    shown: Tensor  # [1, 1, R, R], how much they show of what they see there

    @property
    def resting(self) -> Tensor:
        """As `kernels.shown_squares` takes it."""
        return torch.cat([self.look, self.rest, self.shown, self.wrong], 1)


def back(identity: IdentityFeatures, size: Size, device: torch.device) -> Backing:
    """Prepare the backing of an enrolled photo for pictures of `size`, in the identity's frame.

    Raises:
        ValueError: the size does not fit the frame.
    """
    names = ("rest", "look", "shown", "seen")
    rest, look, shown, seen = (identity.tensors[name].to(device)[None].float() for name in names)
    photo, mask = (x.to(device) for x in _photo_and_mask(identity, size))
    placed, mask_side = place(identity, size), len(identity.tensors["mask"])
    square = surroundings(Crop(*(float(v) for v in identity.tensors["square"])))
    left, top, side = (even(v * placed.side / mask_side) for v in astuple(square))
    left, top = left + placed.left, top + placed.top
    mask = _only(mask, (slice(max(top, 0), top + side), slice(max(left, 0), left + side)))
    wrong = blur((seen - rest)[0] * 0.5, rest.shape[-1] * _WIDE)[None]
    fade = fading(rest.shape[-1], device)
    drawn, correction = (enlarged(around(part * fade), side) for part in (rest * 0.5 + 0.5, wrong))
    detail = _square(photo, left, top, side) - drawn - correction
    rows, columns = _span(mask[0, 0].amax(1)), _span(mask[0, 0].amax(0))
    box = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    mask = mask[:, :, rows, columns]
    fixed = photo[:, :, rows, columns] * (1.0 - mask)
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
        wrong=wrong,
        look=look,
        shown=shown,
    )


def _photo_and_mask(identity: IdentityFeatures, size: Size) -> tuple[Tensor, Tensor]:
    """The picture at rest [1, 3, H, W] in [0, 1], and the mask in it [1, 1, H, W]."""
    placed, beyond = place(identity, size), identity.frame != SQUARE
    canvas, mask = (identity.tensors[name].float() / 255.0 for name in ("canvas", "mask"))
    canvas = _resized(canvas.permute(2, 0, 1)[None], placed.side)
    mask = _resized(mask[None, None], placed.side)
    if not beyond:
        return canvas, mask
    share = torch.from_numpy(moving(size, placed, placed.side, beyond)).view_as(mask)
    from pipelines.photo.surroundings import around as around_canvas  # reads files, by Pillow

    photo = torch.tensor(around_canvas(identity, size)).permute(2, 0, 1)[None].float() / 255.0
    whole = torch.zeros(1, 1, size[1], size[0])
    rows, columns = placed.visible(size)
    down = slice(rows.start - placed.top, rows.stop - placed.top)
    across = slice(columns.start - placed.left, columns.stop - placed.left)
    photo[:, :, rows, columns] = canvas[:, :, down, across]
    whole[:, :, rows, columns] = (mask * share)[:, :, down, across]
    return photo, whole


def _only(mask: Tensor, box: Box) -> Tensor:
    """0 outside of `box`: it may have moved by a pixel, to be even."""
    kept = torch.zeros_like(mask)
    kept[:, :, *box] = mask[:, :, *box]
    return kept


def _resized(picture: Tensor, side: int) -> Tensor:
    """[1, C, S, S] to [1, C, side, side], values staying in [0, 1]."""
    if side <= picture.shape[-1]:
        return F.interpolate(picture, (side, side), mode="area")
    larger = F.interpolate(picture, (side, side), mode="bicubic", align_corners=False)
    return larger.clamp(0.0, 1.0)


def _square(photo: Tensor, left: int, top: int, side: int) -> Tensor:
    """Cut a square out of a photo [1, 3, H, W]; its edges are extended if need be."""
    line = torch.arange(side, device=photo.device)
    last, right = photo.shape[-2] - 1, photo.shape[-1] - 1
    return photo[:, :, (line + top).clamp(0, last)][:, :, :, (line + left).clamp(0, right)]


def _span(marked: Tensor) -> slice:
    """The smallest even stretch that holds every value above 0 in [S]."""
    found = marked.nonzero()[:, 0]
    first, last = int(found[0]), int(found[-1])
    return slice(first // 2 * 2, last // 2 * 2 + 2)


def _places(side: int, device: torch.device) -> Tensor:
    """The middles of a square's pixels, [1, 2, side, side], x and y in [-1, 1]."""
    line = (torch.arange(side, device=device) + 0.5) * (2.0 / side) - 1.0
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


def fading(size: int, device: torch.device) -> Tensor:
    """1 in a drawn square, 0 at its edge: [1, 1, R, R]."""
    near = (torch.arange(size, device=device) + 0.5) / size
    near = (torch.minimum(near, 1.0 - near) / _FADING).clamp_max(1.0)
    line = near * near * (3.0 - 2.0 * near)
    return (line[:, None] * line)[None, None]


def _make(identity: IdentityFeatures, size: Size, device: torch.device) -> Backing:
    with torch.inference_mode():
        return back(identity, size, device)


BACKINGS = BakedCache(_make)


def paste(drawn: Squares, backing: Backing, planes: Tensor) -> None:
    """Draw one frame into I420 `planes` (uint8 [1, H * 3 / 2, W])."""
    planes[0] = backing.i420
    write_i420(blended(drawn, backing), planes, backing.top, backing.left)


def blended(drawn: Squares, backing: Backing) -> Tensor:
    """The box that can change, as RGB [1, 3, h, w] in [0, 1]; one frame is drawn."""
    shown = shown_squares(*drawn, backing.resting, None, backing.fade, SHARE)
    box = enlarged(around(shown), backing.side)
    box = box[:, :, backing.rows, backing.columns]
    places = (backing.places + box[:, 3:5]).permute(0, 2, 3, 1)
    detail = F.grid_sample(backing.detail, places, padding_mode="border", align_corners=False)
    whole = torch.addcmul(box[:, :3], detail, box[:, 5:])
    return torch.addcmul(backing.fixed, whole, backing.mask).clamp_(0.0, 1.0)


def around(square: Tensor) -> Tensor:
    """Continue [N, C, R, R] into its surroundings, [N, C, R + 2 R / 8, ...]."""
    reach = square.shape[-1] // AROUND
    return F.pad(square, (reach,) * 4, mode="replicate")


def enlarged(picture: Tensor, side: int) -> Tensor:
    """Resample [N, C, R, R] to `side` pixels, smoothly."""
    return F.interpolate(picture, (side, side), mode="bilinear", align_corners=False)
