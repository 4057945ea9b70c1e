"""Takes what shows through lips and lids out of the picture, so that it never smears as skin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.filling import blur, push_pull
from pipelines.photo.geometry import SIDES, Array, Face, Rim, single, smoothstep
from pipelines.portrait.inside_mouth import colourfulness
from pipelines.portrait.lip_line import APART, opening
from pipelines.portrait.neutral import stretched

# What stretched lips are multiplied with, as they become fuller: colours, and grey photos. Lips
# that lost a quarter of their green looked painted on dark and on pale skin alike.
_FULLER_RED, _FULLER_GREY = (0.97, 0.90, 0.91), (0.93, 0.93, 0.93)
_POINTED = 0.40  # of half the opening: from there to the corners, closed lips taper off
_RED_PX = 6.0  # of a lip that must show, canvas pixels, for its colour to be taken
_TIP_PX, _TIP_GONE = 4.0, 0.9  # canvas pixels around the line beyond them; how much of it goes
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
    rim, lips, size = face.mouth, face.lips, picture.shape[-1]
    pixel = 2.0 / size / face.unit
    left, right = opening(face)
    x, y = at[..., 0], at[..., 1]
    u = 2.0 * (x - left) / (right - left) - 1.0
    upper, lower = rim.upper_at(x), rim.lower_at(x)
    reach = 2.0 * pixel
    inside = (np.abs(u) < 1.05) & (y > upper - reach) & (y < lower + reach)
    rows, columns = np.nonzero(inside)
    x, y, u = x[rows, columns], y[rows, columns], u[rows, columns]
    upper, lower = upper[rows, columns], lower[rows, columns]
    under = smoothstep(-reach, reach, single(0.6 * upper + 0.4 * lower - y))  # 1: of the upper lip
    red, moved = torch.zeros(3, len(rows)), np.zeros_like(x)
    for edge, outer, way, mix in (
        (rim.upper, lips.upper_at(rim.x), -pixel, under),
        (rim.lower, lips.lower_at(rim.x), pixel, 1.0 - under),
    ):
        tall = np.flatnonzero((outer - edge) / way > _RED_PX)
        if not len(tall):
            return picture
        first, last = rim.x[tall[0]], rim.x[tall[-1]]
        nearest = np.clip(x, first, last)
        moved += mix * np.abs(x - nearest)
        start = np.interp(nearest, rim.x, edge)
        for across_px in _LIPS.across:
            for away_px in _LIPS.away:
                point = np.stack([nearest + across_px * pixel, start + away_px * way], axis=-1)
                where = torch.from_numpy(face.to_canvas(single(point)))[None, None]
                seen = F.grid_sample(picture[None], where, align_corners=False)[0, :, 0]
                red += seen * torch.from_numpy(mix) / (len(_LIPS.across) * len(_LIPS.away))
    ends = smoothstep(_POINTED, 1.0, np.abs(single(u)))
    red *= torch.from_numpy(single(1.0 - (1.0 - _CORNER_LIGHT) * ends))
    edge_px = np.minimum(y - upper, lower - y) / pixel
    share = smoothstep(-2.0, 1.0, single(edge_px)) * (1.0 - smoothstep(0.85, 1.05, np.abs(u)))
    share *= smoothstep(0.0, 3.0 * pixel, single(moved))  # elsewhere its own red goes on
    result = picture.clone()
    r, c = torch.from_numpy(rows), torch.from_numpy(columns)
    result[:, r, c] = torch.lerp(picture[:, r, c], red, torch.from_numpy(single(share)))
    return result


def _beyond_corners(face: Face, picture: Tensor, at: Array) -> Tensor:
    """Soften the dark points that an open mouth's line has beyond the corners of the lips."""
    rim = face.mouth
    pixel = 2.0 / picture.shape[-1] / face.unit
    left, right = opening(face)
    x, y = at[..., 0], at[..., 1]
    upper, lower = rim.upper_at(x), rim.lower_at(x)
    off = np.maximum(upper - y, y - lower) / pixel
    past = np.maximum(np.maximum(rim.left - x, x - rim.right), 0.0) / pixel
    hole = (np.hypot(np.maximum(off, 0.0), past) < _TIP_PX) & ((x < left) | (x > right))
    clean = push_pull(picture, torch.from_numpy(single(~hole))[None])
    share = _TIP_GONE * blur(torch.from_numpy(single(hole))[None], 1.5)
    return torch.lerp(picture, clean, share)


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
    skin = torch.zeros(3, len(rows))
    nearer = ((lower - y) - (y - upper))[rows, columns] / pixel  # to the upper edge, pixels
    under = smoothstep(-edge.mixed, edge.mixed, single(nearer))
    for start, way, mix in ((upper, -pixel, under), (lower, pixel, 1.0 - under)):
        for across_px in edge.across:
            for away_px in edge.away:
                at = start[rows, columns] + away_px * way
                point = np.stack([x[rows, columns] + across_px * pixel, at], axis=-1)
                where = torch.from_numpy(face.to_canvas(point))[None, None]
                seen = F.grid_sample(picture[None], where, align_corners=False)[0, :, 0]
                skin += seen * torch.from_numpy(mix) / (len(edge.across) * len(edge.away))
    deep = depth[rows, columns]
    skin *= torch.from_numpy(single(1.0 - (1.0 - edge.turned) * np.clip(deep / 4.0, 0.0, 1.0)))
    share = torch.from_numpy(single(np.clip(deep / edge.soft + 1.0, 0.0, 1.0)))
    result = picture.clone()
    r, c = torch.from_numpy(rows), torch.from_numpy(columns)
    result[:, r, c] = torch.lerp(picture[:, r, c], skin, share)
    return result


def _grid(face: Face, size: int) -> Array:
    line = (2 * np.arange(size) + 1) / size - 1
    canvas = np.stack(np.meshgrid(line, line), axis=-1).astype(np.float32)
    return face.to_face(canvas)
