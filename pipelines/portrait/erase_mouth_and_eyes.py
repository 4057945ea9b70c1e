"""Takes what shows through lips and lids out of the picture, so that it never smears as skin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import SIDES, Array, Face, Rim, smoothstep
from pipelines.photo.matte import push_pull

_APART = 0.012  # face units: lips further apart than this show what is behind them


def lips_only(face: Face, blur_px: float) -> Face:
    """Move the rims of parted lips into the red, past the fringe of teeth.

    `blur_px` is how many canvas pixels one pixel of the photo covers.
    """
    rim = face.mouth
    gap = rim.lower - rim.upper
    pixel = 2.0 / 512 / face.unit
    fringe = np.minimum((0.6 + 0.45 * max(1.0, blur_px)) * pixel, 2.0 * gap) * (gap.max() > _APART)
    mouth = Rim(rim.x, rim.upper - fringe, rim.lower + fringe)
    return replace(face, mouth=mouth)


def without_mouth_and_eyes(face: Face, picture: Tensor) -> Tensor:
    """Fill eyes, and the gap of parted lips, from the skin around; [3, S, S] in [0, 1]."""
    size = picture.shape[-1]
    at = _grid(face, size)
    filled = picture
    for side in SIDES:
        filled = _draw_lids(face, face.eyes[side], filled, at)
    if face.mouth.gap > _APART:
        filled = _fill(_relaxed_lips(face, filled, at), _within(face.mouth, at), 0.78)
    return filled


def _relaxed_lips(face: Face, picture: Tensor, at: Array) -> Tensor:
    """Give lips that a smile has stretched pale their red back."""
    x, y = at[..., 0], at[..., 1]
    soft = 0.008
    top = smoothstep(0.0, soft, y - face.lips.upper_at(x)) * (y < face.mouth.upper_at(x) + soft)
    low = smoothstep(0.0, soft, face.lips.lower_at(x) - y) * (y > face.mouth.lower_at(x) - soft)
    ends = smoothstep(0.0, 0.03, np.minimum(x - face.lips.left, face.lips.right - x))
    amount = float(smoothstep(_APART, 0.05, np.array(face.mouth.gap)))
    mask = torch.from_numpy(amount * np.maximum(top, low) * ends)
    redder = picture * picture.new_tensor([0.92, 0.76, 0.78]).view(3, 1, 1)
    return torch.lerp(picture, redder, mask)


def _draw_lids(face: Face, rim: Rim, picture: Tensor, at: Array) -> Tensor:
    """Carry the edge of each lid inward over its half of the eye."""
    pixel = 2.0 / picture.shape[-1] / face.unit
    x, y = at[..., 0], at[..., 1]
    upper, lower = rim.upper_at(x), rim.lower_at(x)
    depth = np.minimum(y - upper, lower - y) / pixel
    across = np.abs(x - rim.middle) < rim.half_width
    rows, columns = np.nonzero(across & (depth > -1.0))
    over = (y - upper < lower - y)[rows, columns]
    edge = np.where(over, upper[rows, columns], lower[rows, columns])
    away = np.where(over, -pixel, pixel)
    skin = torch.zeros(3, len(rows))
    for across_px in (-2.0, -1.0, 0.0, 1.0, 2.0):
        for away_px in (1.0, 1.75):
            point = np.stack([x[rows, columns] + across_px * pixel, edge + away_px * away], axis=-1)
            where = torch.from_numpy(face.to_canvas(point))[None, None]
            skin += F.grid_sample(picture[None], where, align_corners=False)[0, :, 0] / 10
    share = torch.from_numpy(np.clip(depth[rows, columns] + 1.0, 0.0, 1.0).astype(np.float32))
    result = picture.clone()
    r, c = torch.from_numpy(rows), torch.from_numpy(columns)
    result[:, r, c] = torch.lerp(picture[:, r, c], skin, share)
    return result


def _within(rim: Rim, at: Array) -> Tensor:
    x, y = at[..., 0], at[..., 1]
    inside = (y > rim.upper_at(x)) & (y < rim.lower_at(x)) & (x > rim.left) & (x < rim.right)
    return torch.from_numpy(inside.astype(np.float32))[None]


def _fill(picture: Tensor, mask: Tensor, level: float) -> Tensor:
    """Paint over `mask` [1, S, S] from its border, times `level`, in a small part of [3, S, S]."""
    rows, columns = (torch.nonzero(mask[0].amax(dim=d))[:, 0] for d in (1, 0))
    if not len(rows) or not len(columns):
        return picture
    r = slice(max(0, int(rows[0]) - 6), int(rows[-1]) + 7)
    c = slice(max(0, int(columns[0]) - 6), int(columns[-1]) + 7)
    part, hole = picture[:, r, c], mask[:, r, c]
    result = picture.clone()
    result[:, r, c] = part * (1 - hole) + push_pull(part, 1 - hole) * level * hole
    return result


def _grid(face: Face, size: int) -> Array:
    line = (2 * np.arange(size) + 1) / size - 1
    canvas = np.stack(np.meshgrid(line, line), axis=-1).astype(np.float32)
    return face.to_face(canvas)
