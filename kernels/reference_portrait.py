"""Frames of the `portrait` system in plain PyTorch: what `kernels.portrait_frame` specifies.

Every step is done at every pixel of a frame, [1, H * W]; a patch counts only where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.portrait_layout import Faces, Placed, Whole, tensors_of
from kernels.reference import BT601, OFFSET, mean_of_four, wide
from kernels.reference_flow import around, around_or_nothing
from kernels.reference_mouth_and_eyes import CHOOSE, SEAL, eye_colour, mouth_colour


def portrait_frame(
    faces: Faces, placed: Placed, rows: Tensor, size: tuple[int, int], planes: Tensor
) -> None:
    """See `kernels.portrait_frame.portrait_frame`."""
    for i in range(len(rows)):  # one after the other: a batch of whole frames is gigabytes
        one = slice(i, i + 1)
        face = Faces(*(held[rows[one]] for held in tensors_of(faces)))
        rgb = _drawn(face, Placed(*(held[one] for held in tensors_of(placed))), size)
        for plane, values in zip(_split(planes[one], size), _i420(rgb), strict=True):
            plane.copy_(values)


@dataclass(frozen=True)
class _Skin:
    """A patch at every pixel of the frame."""

    within: Tensor  # bool [1, 1, H * W]
    flow: Tensor  # [1, 3, H * W] as `Placed.base`
    inside: Tensor  # [1, 2, H * W] pixels inside the upper and the lower skin
    cover: Tensor  # [1, 1, H * W] share of skin


def _drawn(face: Faces, placed: Placed, size: tuple[int, int]) -> Tensor:
    """A frame of one face, in a row of its own: RGB [1, 3, H, W] in [0, 1].

    Each colour is cut to that before it is mixed, as it is where these are bytes.
    """
    (width, height), kind = size, wide(placed.base)
    whole = face.whole
    at = torch.arange(width * height, device=whole.device)[None]
    x, y = (at % width).to(kind), (at // width).to(kind)

    def of(column: Whole) -> Tensor:
        return whole[:, column, None]

    shown = (x >= of(Whole.LEFT)) & (x < of(Whole.RIGHT))
    shown = (shown & (y >= of(Whole.TOP)) & (y < of(Whole.BOTTOM)))[:, None]
    across, down = (
        (pixel - of(first) + 0.5) / of(Whole.STEP)
        for pixel, first in ((x, Whole.LEFT), (y, Whole.TOP))
    )
    flow = _between(placed.base, across, down, of(Whole.COLUMNS), of(Whole.ROWS))
    skins = [_skin(placed, whole, index, x, y) for index in range(3)]
    for skin in skins:
        flow = torch.where(skin.within, skin.flow, flow)
    margin, side = of(Whole.MARGIN), of(Whole.PERSON)
    layer = _seen(face.person, around(flow[:, 0] + margin, flow[:, 1] + margin, side, side))
    behind = face.behind.transpose(1, 2).to(kind) / 255.0
    lit = layer[:, :3] * (1.0 + flow[:, 2:]) + behind * (1.0 - layer[:, 3:])
    rgb = torch.where(shown, lit.clamp(0.0, 1.0), behind)
    for index, skin in enumerate(skins):
        if index == 0:
            colour, cover = _mouth(face, placed, skin, x, y)
        else:
            colour, cover = _eye(face, placed, skin, x, y, index - 1)
        mixed = torch.lerp(colour.clamp(0.0, 1.0), rgb, cover)
        rgb = torch.where(skin.within & shown, mixed, rgb)
    return rgb.view(1, 3, height, width)


def _skin(placed: Placed, whole: Tensor, index: int, x: Tensor, y: Tensor) -> _Skin:
    """Put the upper and the lower skin of a patch together."""
    nodes = placed.mouth if index == 0 else placed.eyes[:, index - 1]
    columns, rows = _node_counts(whole, index)
    left, top, width, height = (placed.boxes[:, index, i, None] for i in range(4))
    fine = whole[:, Whole.FINE, None]
    first = 0.5 * (1 - fine % 2)  # nodes lie at pixels' edges where these are even
    across, down = (x - left + first) / fine, (y - top + first) / fine
    upper, lower = (_between(nodes[:, n], across, down, columns, rows) for n in (0, 1))
    choose = ((upper[:, 3:] - lower[:, 3:]) * CHOOSE + 0.5).clamp(0.0, 1.0)
    inside = torch.cat([upper[:, 3:], lower[:, 3:]], dim=1)
    cover = (inside + SEAL).clamp(0.0, 1.0).sum(dim=1, keepdim=True).clamp(max=1.0)
    within = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
    return _Skin(within[:, None], torch.lerp(lower[:, :3], upper[:, :3], choose), inside, cover)


def _node_counts(whole: Tensor, index: int) -> tuple[Tensor, Tensor]:
    first = Whole.MOUTH_COLUMNS if index == 0 else Whole.EYE_COLUMNS
    return whole[:, first, None], whole[:, first + 1, None]


def _mouth(face: Faces, placed: Placed, skin: _Skin, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What shows between the lips, and how much of it skin covers."""
    width, height = (face.whole[:, n, None] for n in (Whole.MOUTH_WIDTH, Whole.MOUTH_HEIGHT))
    pictures = [
        _seen(face.mouth[:, n], around_or_nothing(*_mapped(placed, n, x, y), width, height))
        for n in range(3)
    ]
    return mouth_colour(face.real, face.lips, pictures, skin.inside, skin.flow), skin.cover


def _eye(
    face: Faces, placed: Placed, skin: _Skin, x: Tensor, y: Tensor, eye: int
) -> tuple[Tensor, Tensor]:
    """What shows between and over the lids, and how much of it skin covers."""
    width, height = (face.whole[:, n, None] for n in (Whole.EYE_WIDTH, Whole.EYE_HEIGHT))
    rest, look = (around(*_mapped(placed, 3 + 2 * eye + n, x, y), width, height) for n in (0, 1))
    white, iris, light, lid = (
        _seen(face.eyes[:, eye, n], look if n == 1 else rest) for n in range(4)
    )
    edge = _seen(255.0 * face.lids[:, eye], rest)
    down = placed.shut[:, eye, None, None]
    return eye_colour(face.real, (white, iris, light), lid, edge, down, skin.cover)


def _between(nodes: Tensor, x: Tensor, y: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Planes [1, C, M] at places [1, P]."""
    total = nodes.new_zeros(1, nodes.shape[1], x.shape[1])
    for index, weight in around(x, y, columns, rows):
        total = total + nodes.gather(2, index[:, None].expand(-1, nodes.shape[1], -1)) * weight
    return total


def _mapped(placed: Placed, index: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    a, b, c, d, e, f = (placed.maps[:, index, i, None] for i in range(6))
    return a * x + b * y + c, d * x + e * y + f


def _seen(picture: Tensor, corners: list[tuple[Tensor, Tensor]]) -> Tensor:
    """A picture [1, M, 4] of bytes at places whose four pixels are known: [1, 4, P] in [0, 1]."""
    total = torch.zeros(1, device=picture.device)
    for index, weight in corners:
        total = total + picture[0][index[0]] * weight[0, :, None]
    return (total.transpose(0, 1) / 255.0)[None]


def _split(planes: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """The planes Y [1, H, W], U and V [1, H / 2, W / 2]."""
    width, height = size
    pixels = width * height
    yield planes[:, :pixels].view(1, height, width)
    for start in (pixels, pixels * 5 // 4):
        yield planes[:, start : start + pixels // 4].view(1, height // 2, width // 2)


def _i420(rgb: Tensor) -> Iterator[Tensor]:
    """As `kernels.reference.rgb_to_i420`, without constants that would have to be sent."""
    small = mean_of_four(rgb)
    for row, offset, picture in zip(BT601, OFFSET, (rgb, small, small), strict=True):
        red, green, blue = (share * picture[:, n] for n, share in enumerate(row))
        yield (red + green + blue + (offset + 0.5)).clamp(0.0, 255.0)
