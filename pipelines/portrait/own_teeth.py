"""The upper teeth of the photo, if it shows any: taken out, lit evenly, completed to a row.

A painted row is moved and widened until the lines between its teeth meet those in the photo, and
given the photo's colours; what the photo shows of them takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.photo.geometry import Array, Face, Mask, single, smoothstep
from pipelines.portrait.lip_line import APART, opening
from pipelines.portrait.teeth import (
    ENAMEL,
    HALF_WIDTH,
    MILLIMETRE,
    mm_grid,
    upper_teeth,
    width_scale,
)

_CONTRAST = 0.13  # brightness less redness, 0 to 1, that teeth have more of than lips
_LEAST_AREA = 25.0  # mm^2 that must show
_LEAST_HEIGHT = 1.6  # mm of a column of teeth worth keeping
_LEAST_WIDTH = 9.0  # mm of such columns
_FULL = 0.62  # of what lies in the outline of the teeth: less is gaps, or no teeth
_ENAMEL = (0.5, 0.75)  # of a painted tooth's brightness: darker is what lies behind the teeth
_WHITER = 0.5  # of the way to neutral: lips and light tinge teeth pink or lilac, and in every look
_FRINGE = 0.6  # mm next to the lips, where lip and tooth mix


@dataclass(frozen=True)
class OwnTeeth:
    """Of one photo."""

    upper: Tensor  # [4, h, w] premultiplied, in the frame of `teeth.upper_teeth`
    tint: Array  # [3] the light that gives painted teeth the colour of these


def own_teeth(face: Face, picture: Tensor, scale: float) -> OwnTeeth | None:
    """The teeth between parted lips, `scale` pixels per mm; None if the photo shows too little.

    `picture` is the canvas, float32 [3, S, S] in [0, 1]; `face.mouth` the lip line found in it.
    """
    if face.mouth.gap < APART:
        return None
    x, y = mm_grid(scale)
    seen = _look(face, picture, x, y)  # [3, h, w]
    within, edge = _between_lips(face, x, y)
    teeth = _like_teeth(seen, within, _lip_score(face, picture))
    if teeth is None:
        return None
    top, bottom, shown = _columns(teeth, y)
    if teeth.sum() / scale**2 < _LEAST_AREA or shown.sum() / scale < _LEAST_WIDTH:
        return None
    filled = (y >= top) & (y <= bottom) & shown
    if teeth[filled].mean() < _FULL:
        return None
    colour = _evenly_lit(seen, filled, edge)
    tint = _tint(colour, filled)
    whiter = (tint.mean() / tint) ** _WHITER
    colour, tint = single(np.clip(colour * whiter[:, None, None], 0.0, 1.0)), single(tint * whiter)
    return OwnTeeth(_completed(colour, filled, top, bottom, shown, scale, tint), tint)


def _look(face: Face, picture: Tensor, x: Array, y: Array) -> Array:
    """The photo in millimetres of the mouth: [3, h, w]."""
    at = _in_face(face, x, y)
    where = torch.from_numpy(face.to_canvas(at))[None]
    seen = F.grid_sample(picture[None], where, padding_mode="border", align_corners=False)
    return np.asarray(seen[0].numpy())


def _in_face(face: Face, x: Array, y: Array) -> Array:
    left, right = opening(face)
    wide = width_scale((right - left) / 2)
    return single(np.stack([face.mouth.middle + x * wide * MILLIMETRE, y * MILLIMETRE], axis=-1))


def _between_lips(face: Face, x: Array, y: Array) -> tuple[Mask, Array]:
    """Where neither lip is, and how many mm it is up to the upper one."""
    at = _in_face(face, x, y)
    below = (at[..., 1] - face.mouth.upper_at(at[..., 0])) / MILLIMETRE
    above = (face.mouth.lower_at(at[..., 0]) - at[..., 1]) / MILLIMETRE
    across = (at[..., 0] > face.mouth.left) & (at[..., 0] < face.mouth.right)
    return (np.minimum(below, above) > 0.3) & across, single(below)


def _score(colours: Array) -> Array:
    """High for what is bright and not red: [3, ...] to [...]."""
    r, g, b = colours
    return single(0.3 * r + 0.6 * g + 0.1 * b - 0.8 * np.maximum(r - g, 0.0))


def _lip_score(face: Face, picture: Tensor) -> float:
    rim, lips = face.mouth, face.lips
    x = np.linspace(rim.left, rim.right, 25)[4:-4].astype(np.float32)
    rows = [0.5 * (rim.upper_at(x) + lips.upper_at(x)), 0.5 * (rim.lower_at(x) + lips.lower_at(x))]
    at = torch.from_numpy(face.to_canvas(single([np.stack([x, row], axis=-1) for row in rows])))
    seen = F.grid_sample(picture[None], at[None], align_corners=False)[0].numpy()
    return float(np.median(_score(seen)))


def _like_teeth(seen: Array, within: Mask, lips: float) -> Mask | None:
    score = _score(seen)
    if within.sum() < 40:
        return None
    white = float(np.quantile(score[within], 0.92))
    dark = float(np.quantile(score[within], 0.05))
    if white - max(lips, dark) < _CONTRAST:
        return None
    return within & (score > 0.5 * white + 0.5 * max(dark, min(lips, 0.75 * white)))


def _columns(teeth: Mask, y: Array) -> tuple[Array, Array, Mask]:
    """The upper and lower end of the first run of teeth in each column, and where there is one."""
    line, step = y[:, 0], y[1, 0] - y[0, 0]
    gone = np.cumsum(~teeth & (np.cumsum(teeth, axis=0) > 0), axis=0) * step
    first = teeth & (gone < 0.5)  # mm; beyond a dark line begin the lower teeth
    height = first.sum(axis=0) * step
    top = line[np.argmax(first, axis=0)]
    bottom = line[len(line) - 1 - np.argmax(first[::-1], axis=0)]
    shown = height > _LEAST_HEIGHT
    if shown.any():
        at = np.flatnonzero(shown)
        every = np.arange(len(shown))
        top, bottom = np.interp(every, at, top[at]), np.interp(every, at, bottom[at])
    return _level(top, step), _level(bottom, step), shown


def _level(line: Array, step: float) -> Array:
    """Smoothed over a tooth's corner: what the photo shows ends in steps of its pixels."""
    reach = max(1, round(1.5 / step))
    kernel = np.hanning(2 * reach + 1)
    padded = np.pad(line, reach, mode="edge")
    return single(np.convolve(padded, kernel / kernel.sum(), mode="valid"))


def _evenly_lit(seen: Array, filled: Mask, edge: Array) -> Array:
    """Take out the shadow that the upper lip casts, which falls anew in every frame."""
    bright = seen.mean(axis=0)
    full = float(np.quantile(bright[filled], 0.75))
    bins = np.arange(0.0, 8.0, 0.5)
    level = np.array(
        [
            np.median(bright[near]) if near.sum() > 12 else np.nan
            for near in (filled & (np.abs(edge - b) < 0.5) for b in bins)
        ]
    )
    known = ~np.isnan(level)
    if known.sum() < 2:
        return seen
    shade = np.interp(edge, bins[known], level[known]) / full
    return single(np.clip(seen / np.clip(shade, 0.6, 1.0), 0.0, 1.0))


def _tint(colour: Array, filled: Mask) -> Array:
    bright = colour.mean(axis=0)
    best = filled & (bright >= np.quantile(bright[filled], 0.5))
    return single(np.clip(np.median(colour[:, best], axis=1) / np.array(ENAMEL) * 1.06, 0.1, 1.15))


def _completed(
    colour: Array, filled: Mask, top: Array, bottom: Array, shown: Mask, scale: float, tint: Array
) -> Tensor:
    """A whole row with its biting edge at y 0: [4, h, w]."""
    x, y = mm_grid(scale)
    centre = shown & (np.abs(x[0]) < 9.0)
    biting = float(np.median(bottom[centre if centre.any() else shown]))
    known = _known(shown, scale)
    rows = np.arange(len(y)) + biting * scale  # where the photo's biting edge comes to lie at 0
    moved = _read(np.concatenate([colour, filled[None]]), rows)
    own, there = moved[:3], moved[3]
    top, bottom = top - biting, bottom - biting
    painted = _fitted(upper_teeth(scale, tint).numpy(), own, there > 0.5, x[0], scale)
    painted[:3] *= _gain(own, painted, (there > 0.5) & known, scale)
    across = _feather(known, scale)
    upwards = smoothstep(top + _FRINGE, top + _FRINGE + np.minimum(1.6, 0.5 * (bottom - top)), y)
    downwards = smoothstep(0.2, 0.9, bottom - y)  # at the biting edge what is behind mixes in
    drawn, alpha = _unmultiplied(painted), painted[3]
    enamel = smoothstep(*_ENAMEL, single(own.mean(axis=0) / np.maximum(drawn.mean(axis=0), 1e-3)))
    share = single(across * upwards * downwards * enamel)
    solid = own * share + drawn * (1 - share)
    picture = np.concatenate([np.clip(solid, 0, 1) * alpha, alpha[None]])
    return torch.from_numpy(single(picture))


def _read(picture: Array, rows: Array) -> Array:
    """`picture` [C, h, w] at fractional `rows`, [h] or [h, w]."""
    h, w = picture.shape[1:]
    rows = np.clip(np.broadcast_to(rows if rows.ndim == 2 else rows[:, None], (h, w)), 0, h - 1.001)
    low, share, columns = np.floor(rows).astype(int), rows % 1, np.arange(w)
    return single(picture[:, low, columns] * (1 - share) + picture[:, low + 1, columns] * share)


def _fitted(painted: Array, own: Array, there: Mask, x: Array, scale: float) -> Array:
    """The painted row, moved and widened until the lines between its teeth meet the photo's."""
    seams = _seams(own.mean(axis=0), there, scale)
    drawn = _seams(_unmultiplied(painted).mean(axis=0), there, scale)
    near = np.abs(x) < 16.0
    best = (0.25, 1.0, 0.0)  # a likeness below this is chance
    for widen in np.linspace(0.78, 1.24, 24):
        for shift in np.linspace(-4.5, 4.5, 37):
            line = np.interp((x - shift) / widen, x, drawn)
            norm = np.linalg.norm(line[near]) * np.linalg.norm(seams[near]) + 1e-6
            likeness = float(line[near] @ seams[near] / norm) - 0.01 * abs(shift)
            best = max(best, (likeness, float(widen), float(shift)))
    _, widen, shift = best
    columns = ((x - shift) / widen + HALF_WIDTH) * scale - 0.5
    turned = painted.transpose(0, 2, 1)
    inside = (columns > 0) & (columns < len(x) - 1)
    read = _read(turned, columns)
    return single(read.transpose(0, 2, 1) * inside)


def _seams(bright: Array, there: Mask, scale: float) -> Array:
    """How much darker than its surroundings each column of teeth is."""
    count = there.sum(axis=0)
    line = np.where(count > 0, (bright * there).sum(axis=0) / np.maximum(count, 1), 0.0)
    weight = (count > 0).astype(float)
    wide, fine = (np.hanning(2 * round(w * scale) + 1) for w in (4.0, 0.8))

    def mean(kernel: Array) -> Array:
        total = np.convolve(weight, kernel, mode="same")
        return single(np.convolve(line * weight, kernel, mode="same") / np.maximum(total, 1e-3))

    return single((mean(wide) - mean(fine)) * weight)


def _gain(own: Array, painted: Array, there: Mask, scale: float) -> Array:
    """What the painted row's colours must be multiplied with to go on from its own: [3, 1, w]."""
    weight = (there & (painted[3] > 0.5)).astype(float)
    kernel = np.hanning(2 * round(5.0 * scale) + 1)
    mine, drawn = (
        np.stack([np.convolve((p * weight).sum(axis=0), kernel, mode="same") for p in pictures])
        for pictures in (own, _unmultiplied(painted))
    )
    count = np.convolve(weight.sum(axis=0), kernel, mode="same")
    sure = count / (count + 0.05 * count.max() + 1e-6)
    ratio = np.clip(mine / np.maximum(drawn, 1e-3), 0.6, 1.6)
    return single(1.0 + (ratio - 1.0) * sure)[:, None]


def _known(shown: Mask, scale: float) -> Mask:
    """Columns of the one run of teeth that holds the middle, without narrow holes."""
    reach = max(1, round(0.8 * scale))
    holes = np.convolve(shown, np.ones(2 * reach + 1), mode="same") > reach
    at = np.flatnonzero(holes & shown)
    inside = np.zeros(len(shown), dtype=bool)
    trim = round(1.0 * scale)  # the last tooth on either side is half in the shade
    inside[at[0] + trim : max(at[0] + trim, at[-1] + 1 - trim)] = True
    return inside


def _feather(known: Mask, scale: float) -> Array:
    reach = max(1, round(1.6 * scale))
    kernel = np.hanning(2 * reach + 1)
    soft = np.convolve(known.astype(float), kernel / kernel.sum(), mode="same")
    return single(np.clip(2.0 * soft - 1.0, 0.0, 1.0))


def _unmultiplied(painted: Array) -> Array:
    return single(painted[:3] / np.maximum(painted[3:], 1e-3))
