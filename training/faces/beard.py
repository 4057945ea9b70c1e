"""Beards: hair that grows on the lower face, from a shadow of stubble to a full beard."""

from __future__ import annotations

import numpy as np

from training.faces.anatomy import MIDDLE, Anatomy
from training.faces.light import Studio, Surface
from training.faces.params import FaceParams
from training.faces.raster import (
    Canvas,
    Field,
    Points,
    Raster,
    both_halves,
    curve,
    mirror,
    points,
    shifted,
    smoothstep,
    to_linear,
    to_srgb,
)

_HAIR = Surface(wrap=(0.36, 0.33, 0.30), gloss=0.03, sharpness=10.0, occlusion=5.0)
_LENGTH = {
    "stubble": 0.0022,
    "short": 0.0105,
    "full": 0.0190,
    "moustache": 0.0110,
    "goatee": 0.0100,
}
_REACH = {"stubble": 0.0, "short": 0.005, "full": 0.020, "moustache": 0.0, "goatee": 0.006}


def paint_beard(canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio) -> None:
    """Grow what `params.beard` names; the lips stay free."""
    if params.beard == "none":
        return
    raster = canvas.raster
    rng = np.random.default_rng(params.seed + 31)
    region = _region(raster, params, at)
    if params.beard == "stubble":
        _paint_stubble(canvas, params, region, rng)
        return
    length = _LENGTH[params.beard]
    light = _hairs(raster, at, region, 1700, length, rng)
    dark = _hairs(raster, at, region, 1700, length, rng)
    tips = _hairs(raster, at, region, 700, length * 1.15, rng)
    mask = np.maximum(raster.soften(region, 0.0018) * 0.90, 0.80 * np.maximum(light, dark))
    mask = mask * (1 - _lips(raster, at))
    tone = 0.8 * light * (1 - dark) + 0.5 * tips - 0.9 * dark
    height = 0.020 * raster.inflate(region, 0.035, 0.006) + 0.0016 * raster.soften(tone, 0.0012)
    height = height + 0.075 * np.sqrt(np.maximum(1 - ((raster.x - MIDDLE) / 0.20) ** 2, 0.0))
    height = height + 0.030 * raster.dot(MIDDLE, at.chin_y - 0.012, 0.060, 0.040)
    albedo = to_linear(params.beard_colour) * np.clip(1.1 + 0.45 * tone, 0.3, 2.2)[..., None]
    lit = to_srgb(
        studio.lit(
            raster, np.asarray(height, np.float32), albedo, _HAIR, np.asarray(mask, np.float32)
        )
    )
    canvas.shade(raster.soften(mask, 0.006) * canvas.person * 0.30, (0.50, 0.38, 0.34))
    canvas.cover(lit, np.asarray(mask, np.float32))


def _paint_stubble(
    canvas: Canvas, params: FaceParams, region: Field, rng: np.random.Generator
) -> None:
    raster = canvas.raster
    soft = raster.soften(region, 0.009)
    canvas.paint(params.beard_colour, soft * 0.22)
    roots = _strew(raster, soft, 3800, rng)
    turn = rng.normal(0.0, 0.4, len(roots))
    reach = np.stack([np.sin(turn), np.cos(turn)], axis=1) * 0.0026
    dots = raster.strands(roots, roots + reach, 0.0011)
    canvas.paint(params.beard_colour, dots * raster.soften(region, 0.004) * 0.38)


def _lips(raster: Raster, at: Anatomy) -> Field:
    lips = raster.fill_all([at.mouth.upper_lip, at.mouth.lower_lip])
    return np.clip(raster.soften(lips, 0.0012) * 1.6, 0.0, 1.0)


def _region(raster: Raster, params: FaceParams, at: Anatomy) -> Field:
    """Where the beard is rooted, in [0, 1]."""
    shapes: list[Points] = []
    if params.beard in ("stubble", "short", "full"):
        shapes += _cheeks_and_chin(at, _REACH[params.beard])
    if params.beard == "goatee":
        shapes.append(_goatee(at, _REACH["goatee"]))
    shapes.append(_moustache(at))
    region = _thinned(raster, at, raster.fill_all(shapes))
    if params.beard in ("short", "full", "goatee"):
        below = float(at.mouth.bottom[:, 1].max()) + 0.009
        for side in (-1, 1):  # bare skin at both sides under the lower lip
            region = region * (1 - 0.75 * raster.dot(MIDDLE + side * 0.027, below, 0.011, 0.0065))
    return np.asarray(region * (1 - _lips(raster, at)), np.float32)


def _thinned(raster: Raster, at: Anatomy, region: Field) -> Field:
    """The region with a soft upper edge: on the cheeks a beard does not begin all at once."""
    sharp, soft = raster.soften(region, 0.0016), raster.soften(region, 0.0070)
    cheek = smoothstep(at.mouth.half_width * 0.9, at.mouth.half_width * 1.4, abs(raster.x - MIDDLE))
    inside = np.clip(2.0 * soft - 1.0, 0.0, 1.0) ** 0.75
    return np.asarray(
        sharp + (np.minimum(sharp, inside + 0.1 * sharp) - sharp) * 0.85 * cheek, np.float32
    )


def _cheeks_and_chin(at: Anatomy, reach: float) -> list[Points]:
    mouth = at.mouth
    corner = mouth.half_width
    upper = curve(
        points(
            (at.cheek_half + 0.004, at.eye_y - 0.022),
            (at.cheek_half - 0.013, at.eye_y + 0.010),
            (at.cheek_half - 0.024, at.eye_y + 0.085),
            (at.jaw_half * 0.80, mouth.y - 0.034),
            (corner + 0.030, mouth.y - 0.020),
            (corner + 0.008, mouth.y - 0.018),
            (corner - 0.003, mouth.y - 0.002),
            (corner * 0.70, mouth.y + 0.018),
            (0.0, float(mouth.bottom[:, 1].max()) + 0.001),
        )
    )
    jaw = at.outline[(at.outline[:, 0] >= MIDDLE) & (at.outline[:, 1] > at.eye_y)]
    away = (jaw - (MIDDLE, at.mouth.y - 0.02)) * (1.0, 1.0)
    away /= np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-6)[:, None]
    grow = reach * np.clip((jaw[:, 1] - at.eye_y - 0.05) / 0.16, 0.0, 1.0)[:, None]
    lower = jaw + away * grow * (0.55, 1.5)
    right = np.concatenate([shifted(upper, MIDDLE), lower[::-1]])
    return [right, mirror(right)]


def _moustache(at: Anatomy) -> Points:
    mouth = at.mouth
    corner = mouth.half_width
    top = at.nose_base_y + 0.010
    right = points(
        (0.0, top + 0.004),
        (0.012, top),
        (0.034, top + 0.010),
        (corner - 0.008, mouth.y - 0.023),
        (corner + 0.007, mouth.y - 0.008),
        (corner + 0.004, mouth.y - 0.002),
        (corner - 0.006, mouth.y - 0.006),
        (corner * 0.55, mouth.y - 0.012),
        (corner * 0.20, mouth.y - 0.016),
        (0.0, mouth.y - 0.014),
    )
    half = shifted(curve(right), MIDDLE)
    return both_halves(half)


def _goatee(at: Anatomy, reach: float) -> Points:
    mouth = at.mouth
    corner = mouth.half_width
    low = at.chin_y + reach
    right = points(
        (0.0, float(mouth.bottom[:, 1].max()) + 0.001),
        (corner * 0.62, mouth.y + 0.024),
        (corner - 0.006, mouth.y + 0.004),
        (corner + 0.010, mouth.y + 0.006),
        (corner + 0.008, mouth.y + 0.040),
        (corner - 0.008, at.chin_y - 0.010),
        (0.030, low),
        (0.0, low + 0.004),
    )
    half = shifted(curve(right), MIDDLE)
    return both_halves(half)


def _strew(raster: Raster, density: Field, count: int, rng: np.random.Generator) -> Points:
    """About `count` random points [N, 2], as dense as the field says."""
    rows, columns = np.nonzero(density > 0.02)
    if not len(rows):
        return np.zeros((0, 2))
    picked = rng.integers(0, len(rows), count)
    kept = rng.random(count) < density[rows[picked], columns[picked]]
    picked = picked[kept]
    xy = np.stack([columns[picked], rows[picked]], axis=1) + rng.random((len(picked), 2))
    return np.asarray(xy / raster.size, np.float64)


def _hairs(
    raster: Raster, at: Anatomy, region: Field, count: int, length: float, rng: np.random.Generator
) -> Field:
    roots = _strew(raster, region, count, rng)
    side = (roots[:, 0] - MIDDLE) / 0.10
    above = roots[:, 1] < at.mouth.y
    near = np.abs(roots[:, 0] - MIDDLE) < at.mouth.half_width + 0.012
    lean = np.where(above & near, np.sign(side) * 1.05, -0.25 * side)
    lean = lean + rng.normal(0.0, 0.17, len(roots))
    reach = np.stack([np.sin(lean), np.cos(lean)], axis=1)
    size = length * rng.uniform(0.7, 1.25, len(roots)) * np.where(above & near, 0.75, 1.0)
    bend = rng.normal(0.0, 0.14, len(roots))
    return raster.strands(roots, roots + reach * size[:, None], 0.0018, bend)
