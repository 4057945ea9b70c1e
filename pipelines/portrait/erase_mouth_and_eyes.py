"""Takes what shows through lips and lids out of the picture, so that it never smears as skin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipelines.photo.filling import blur, push_pull
from pipelines.photo.geometry import SIDES, Array, Face, Rim, single, smoothstep
from pipelines.photo.tones import colourfulness
from pipelines.portrait.lip_line import APART, corners, opening
from pipelines.portrait.neutral import stretched

Indices = NDArray[np.intp]

# What stretched lips are multiplied with, as they become fuller: colours, and grey photos. Lips
# that lost a quarter of their green looked painted on dark and on pale skin alike.
_FULLER_RED, _FULLER_GREY = (0.97, 0.90, 0.91), (0.93, 0.93, 0.93)
_POINTED = 0.40  # of half the opening: from there to the corners, closed lips taper off
_RED_PX = 6.0  # of a lip that must show, canvas pixels, for its colour to be taken
_TIP_PX, _TIP_GONE = 4.0, 0.9  # canvas pixels around the line beyond them; how much of it goes
_AROUND_PX = 24  # that such a point is filled from
_CORNER_LIGHT = 0.80  # of the lips' light that is left in the corners


def lips_only(face: Face, blur_px: float) -> Face:
    """Move the rims of parted lips into the red, past the fringe of teeth.

    `blur_px` is how many canvas pixels one pixel of the photo covers.
    """
    rim = face.mouth
    gap = rim.lower - rim.upper
    pixel = 2.0 / 512 / face.unit
    fringe = (0.6 + 0.8 * max(1.0, blur_px)) * pixel * (gap.max() > APART)
    x = rim.middle + (rim.x - rim.middle) * (1.0 + 2.0 * fringe / rim.half_width)
    ends = smoothstep(0.0, 0.04, np.minimum(x - x[0], x[-1] - x))
    mouth = Rim(single(x), single(rim.upper - fringe * ends), single(rim.lower + fringe * ends))
    return replace(face, mouth=mouth)


def corners_shut(face: Face) -> Face:
    """Let the rims of parted lips meet in the corners, as they come to rest, in a point.

    In a photo there is a dark wedge, which is lip in the shade: `without_mouth_and_eyes` has given
    it the lips' red, and here it becomes part of them. Else skin met skin in the corners.
    """
    rim = face.mouth
    left, right = opening(face)
    u = 2.0 * (rim.x - left) / (right - left) - 1.0
    open_ = 1.0 - smoothstep(_POINTED, 1.0, np.abs(single(u)))
    middle = 0.6 * rim.upper + 0.4 * rim.lower
    upper, lower = (single(middle + (edge - middle) * open_) for edge in (rim.upper, rim.lower))
    return replace(face, mouth=Rim(rim.x, upper, lower))


def without_mouth_and_eyes(face: Face, picture: Tensor) -> Tensor:
    """Fill eyes, and the gap of parted lips, from the skin around; [3, S, S] in [0, 1]."""
    size = picture.shape[-1]
    at = _grid(face, size)
    filled = picture
    for side in SIDES:
        filled = _continue(face, face.eyes[side], filled, at, _LIDS)
    if face.mouth.gap > APART:
        filled = _continue(face, face.mouth, _relaxed_lips(face, filled, at), at, _LIPS)
        filled = _red_to_corners(face, _beyond_corners(face, filled, at), at)
    return filled


def _red_to_corners(face: Face, picture: Tensor, at: Array) -> Tensor:
    """Continue the lips' red over the dark wedges in the corners of parted lips."""
    rim, lips = face.mouth, face.lips
    pixel = 2.0 / picture.shape[-1] / face.unit
    left, right = corners(face)
    u = 2.0 * (at[..., 0] - left) / (right - left) - 1.0
    upper, lower = rim.upper_at(at[..., 0]), rim.lower_at(at[..., 0])
    inside = np.minimum(at[..., 1] - upper, lower - at[..., 1]) / pixel
    where = np.nonzero((np.abs(u) < 1.0) & (inside > -2.0))
    (x, y), u, inside = at[where].T, np.abs(single(u[where])), single(inside[where])
    middle = 0.6 * upper[where] + 0.4 * lower[where]
    under = smoothstep(-2.0, 2.0, single((middle - y) / pixel))  # 1: of the upper lip
    red, moved = torch.zeros(3, len(x)), np.zeros_like(x)
    for edge, outer, way, mix in (
        (rim.upper, lips.upper_at(rim.x), -pixel, under),
        (rim.lower, lips.lower_at(rim.x), pixel, 1.0 - under),
    ):
        tall = np.flatnonzero((outer - edge) / way > _RED_PX)
        if not len(tall):  # a moustache
            return picture
        nearest = np.clip(x, rim.x[tall[0]], rim.x[tall[-1]])
        moved += mix * np.abs(x - nearest) / pixel
        start = single(np.interp(nearest, rim.x, edge))
        red += _beside(face, picture, nearest, start, way, _LIPS) * torch.from_numpy(mix)
    red *= torch.from_numpy(1.0 - (1.0 - _CORNER_LIGHT) * smoothstep(_POINTED, 1.0, u))
    half = (lower - upper)[where] / (2.0 * pixel)
    pointed = inside - half * smoothstep(0.65, 1.0, u)
    share = smoothstep(-2.0, 1.0, pointed) * (1.0 - smoothstep(0.87, 1.0, u))
    share *= smoothstep(0.0, 3.0, moved)  # elsewhere its own red goes on
    return _mixed_in(picture, where, red, share)


def _mixed_in(picture: Tensor, where: tuple[Indices, ...], colours: Tensor, share: Array) -> Tensor:
    """`picture` with `share` [N] of the `colours` [3, N] at its rows and columns `where`."""
    result = picture.clone()
    r, c = (torch.from_numpy(index) for index in where)
    result[:, r, c] = torch.lerp(picture[:, r, c], colours, torch.from_numpy(single(share)))
    return result


def _beyond_corners(face: Face, picture: Tensor, at: Array) -> Tensor:
    """Soften the dark points that an open mouth's line has beyond the corners of the lips."""
    rim = face.mouth
    pixel = 2.0 / picture.shape[-1] / face.unit
    left, right = corners(face)
    x, y = at[..., 0], at[..., 1]
    upper, lower = rim.upper_at(x), rim.lower_at(x)
    off = np.maximum(upper - y, y - lower) / pixel
    past = np.maximum(np.maximum(rim.left - x, x - rim.right), 0.0) / pixel
    hole = (np.hypot(np.maximum(off, 0.0), past) < _TIP_PX) & ((x < left) | (x > right))
    rows, columns = (
        slice(max(0, int(found.min()) - _AROUND_PX), int(found.max()) + _AROUND_PX + 1)
        for found in np.nonzero(hole)
    )
    near, gone = picture[:, rows, columns], torch.from_numpy(single(hole[rows, columns]))[None]
    result = picture.clone()
    share = _TIP_GONE * blur(gone, 1.5)
    result[:, rows, columns] = torch.lerp(near, push_pull(near, 1.0 - gone), share)
    return result


def _relaxed_lips(face: Face, picture: Tensor, at: Array) -> Tensor:
    """Give lips that a smile has stretched pale their red back; in a grey photo, their shade."""
    x, y = at[..., 0], at[..., 1]
    soft = 0.008
    top = smoothstep(0.0, soft, y - face.lips.upper_at(x)) * (y < face.mouth.upper_at(x) + soft)
    low = smoothstep(0.0, soft, face.lips.lower_at(x) - y) * (y > face.mouth.lower_at(x) - soft)
    ends = smoothstep(0.0, 0.03, np.minimum(x - face.lips.left, face.lips.right - x))
    mask = torch.from_numpy(stretched(face) * np.maximum(top, low) * ends)
    red, grey = picture.new_tensor([_FULLER_RED, _FULLER_GREY])
    fuller = torch.lerp(grey, red, colourfulness(face, picture))
    return torch.lerp(picture, picture * fuller.view(3, 1, 1), mask)


@dataclass(frozen=True)
class _Edge:
    """How the skin beside an opening goes on into it."""

    away: tuple[float, ...]  # where colours are taken, pixels from the opening
    across: tuple[float, ...]  # and along its edge
    soft: float  # how far around the opening it fades in, pixels
    mixed: float  # how near to its middle what goes on from both edges is mixed, pixels
    turned: float  # light left where the skin has turned inwards by 4 pixels


_LIDS = _Edge(away=(1.0, 1.75), across=(-2.0, -1.0, 0.0, 1.0, 2.0), soft=1.0, mixed=0.5, turned=1.0)
_LIPS = _Edge(
    away=(3.5, 4.5, 5.5), across=(-4.0, -2.0, 0.0, 2.0, 4.0), soft=3.0, mixed=4.0, turned=0.86
)


def _continue(face: Face, rim: Rim, picture: Tensor, at: Array, edge: _Edge) -> Tensor:
    """Carry the skin at each edge of an opening inward over its half of it."""
    pixel = 2.0 / picture.shape[-1] / face.unit
    x, y = at[..., 0], at[..., 1]
    upper, lower = rim.upper_at(x), rim.lower_at(x)
    depth = np.minimum(y - upper, lower - y) / pixel
    across = np.abs(x - rim.middle) < rim.half_width
    rows, columns = np.nonzero(across & (depth > -edge.soft))
    x, y, depth = x[rows, columns], y[rows, columns], depth[rows, columns]
    upper, lower = upper[rows, columns], lower[rows, columns]
    skin = torch.zeros(3, len(rows))
    nearer = ((lower - y) - (y - upper)) / pixel  # to the upper edge, pixels
    under = smoothstep(-edge.mixed, edge.mixed, single(nearer))
    for start, way, mix in ((upper, -pixel, under), (lower, pixel, 1.0 - under)):
        skin += _beside(face, picture, x, start, way, edge) * torch.from_numpy(mix)
    light = 1.0 - (1.0 - edge.turned) * np.clip(depth / 4.0, 0.0, 1.0)
    skin *= torch.from_numpy(single(light))
    return _mixed_in(picture, (rows, columns), skin, np.clip(depth / edge.soft + 1.0, 0.0, 1.0))


def _beside(face: Face, picture: Tensor, x: Array, start: Array, way: float, edge: _Edge) -> Tensor:
    """The mean colour beside points [N] of an edge, in steps of `way` (face units): [3, N]."""
    seen = torch.zeros(3, len(x))
    for across in edge.across:
        for away in edge.away:
            point = single(np.stack([x + across * abs(way), start + away * way], axis=-1))
            at = torch.from_numpy(face.to_canvas(point))[None, None]
            seen += F.grid_sample(picture[None], at, align_corners=False)[0, :, 0]
    return seen / (len(edge.across) * len(edge.away))


def _grid(face: Face, size: int) -> Array:
    line = (2 * np.arange(size) + 1) / size - 1
    canvas = np.stack(np.meshgrid(line, line), axis=-1).astype(np.float32)
    return face.to_face(canvas)
