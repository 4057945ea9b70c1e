"""Hair that is not combed: clouds of curls, and cropped hair that shows the scalp."""

from __future__ import annotations

import numpy as np

from training.faces.anatomy import MIDDLE, Anatomy
from training.faces.light import Studio, Surface
from training.faces.params import FaceParams, skin_colour
from training.faces.raster import (
    Canvas,
    Field,
    Points,
    Raster,
    both_halves,
    curve,
    mix,
    points,
    ribbon,
    shifted,
    smoothstep,
    to_linear,
    to_srgb,
)

_CURLS = Surface(wrap=(0.36, 0.34, 0.32), gloss=0.05, sharpness=8.0, sheen=0.05, occlusion=7.0)


def paint_cloud(
    canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio, *, over: bool
) -> None:
    """Afro or long curls: the part behind the neck, or (`over`) the part that frames the face."""
    raster = canvas.raster
    rng = np.random.default_rng(params.seed + (61 if over else 62))
    afro = params.hair == "afro"
    cloud = raster.fill(_cloud_outline(params, at, rng, afro))
    face = _face_hole(raster, at, afro)
    region = np.asarray(cloud * (1 - face) if over else cloud, np.float32)
    radius = 0.0072 if afro else 0.0125
    light = _coils(raster, region, radius, rng)
    dark = _coils(raster, region, radius, rng)
    edge = np.maximum(light, dark) * (1 - (raster.soften(face, 0.004) if over else 0))
    mask = np.asarray(np.maximum(raster.soften(region, 0.0016), 0.92 * edge), np.float32)
    tone = raster.soften(light, 0.0007) - raster.soften(dark, 0.0009)
    clumps = raster.soften(rng.standard_normal(cloud.shape).astype(np.float32), 0.010)
    clumps /= float(clumps.std()) + 1e-9
    height = 0.085 * raster.inflate(cloud, 0.150, 0.010) + 0.0022 * raster.soften(tone, 0.0015)
    height = height + 0.0030 * clumps
    albedo = to_linear(params.hair_colour) * np.clip(1.0 + 0.55 * tone, 0.3, 2.2)[..., None]
    if over:
        canvas.shade(raster.soften(region, 0.009) * canvas.person * 0.55, (0.50, 0.36, 0.32))
    lit = studio.lit(raster, np.asarray(height, np.float32), albedo, _CURLS, mask, gloss=1 + tone)
    canvas.cover(to_srgb(lit * np.float32(1.0 if over else 0.6)), mask)


def _cloud_outline(params: FaceParams, at: Anatomy, rng: np.random.Generator, afro: bool) -> Points:
    wide = (0.232 if afro else 0.238) * at.temple_half / 0.163 * (1 + 0.08 * params.hair_volume)
    angle = np.linspace(0, 2 * np.pi, 73)[:-1]
    x, y = np.cos(angle), np.sin(angle)
    tall_up = (0.222 if afro else 0.205) * (1 + 0.03 * params.hair_volume)
    tall_down = 0.170 if afro else 0.440
    middle = 0.345 if afro else 0.350
    if not afro:
        squared = np.where(y > 0, np.abs(y) ** 1.0, np.abs(y)) * np.sign(y)
        x = np.sign(x) * np.abs(x) ** np.where(y > 0, 0.42, 0.9)
        y = squared
    bumps = 1 + rng.uniform(-0.018, 0.018, len(angle)) * (1.0 if afro else 1.8)
    px = MIDDLE + wide * x * bumps
    py = middle + np.where(y < 0, tall_up, tall_down) * y * bumps
    return curve(np.stack([px, py], axis=1), 8, closed=True)


def _face_hole(raster: Raster, at: Anatomy, afro: bool) -> Field:
    """The opening that shows face and neck, soft at its edge."""
    side = at.temple_half - (0.012 if afro else 0.010)
    line = at.hairline_y
    low = 0.550 if afro else 0.760
    half = points(
        (0.000, line - 0.004),
        (0.055, line - 0.001),
        (0.104, line + 0.014),
        (side - 0.016, line + 0.050),
        (side, line + 0.120),
        (side + 0.012, 0.500),
        (side + (0.030 if afro else 0.002), low),
        (side * (1.4 if afro else 0.86), low + 0.200),
        (0.0, 1.2),
    )
    right = shifted(curve(half), MIDDLE)
    hole = raster.fill(both_halves(right))
    return raster.soften(hole, 0.0042)


def _coils(raster: Raster, region: Field, radius: float, rng: np.random.Generator) -> Field:
    """Coverage of little spirals strewn evenly over the region."""
    step = radius * 0.95
    grid = np.arange(0.0, 1.0, step)
    gx, gy = (g.ravel() + rng.uniform(-0.6, 0.6, g.size) * step for g in np.meshgrid(grid, grid))
    columns, rows = (np.clip((v * raster.size).astype(int), 0, raster.size - 1) for v in (gx, gy))
    kept = region[rows, columns] > rng.uniform(0.1, 0.9, len(gx))
    gx, gy = gx[kept], gy[kept]
    turns = np.linspace(0.0, 1.35 * 2 * np.pi, 14)
    outlines: list[Points] = []
    for cx, cy in zip(gx, gy, strict=True):
        size = radius * rng.uniform(0.6, 1.1)
        start = rng.uniform(0, 2 * np.pi)
        spin = rng.choice([-1.0, 1.0])
        r = size * np.linspace(1.0, 0.35, len(turns))
        spiral = np.stack(
            [cx + r * np.cos(start + spin * turns), cy + r * np.sin(start + spin * turns)], 1
        )
        outlines.append(ribbon(spiral, np.full(len(turns), radius * 0.26)))
    return raster.fill_all(outlines)


def paint_buzz(canvas: Canvas, params: FaceParams, at: Anatomy) -> None:
    """Hair cut to a few millimetres: the scalp's own light under a dense stipple."""
    raster = canvas.raster
    rng = np.random.default_rng(params.seed + 71)
    side, line = at.temple_half, at.hairline_y
    half = points(
        (0.000, line - 0.004),
        (0.060, line - 0.002),
        (0.106, line + 0.010),
        (side - 0.026, line + 0.046),
        (side - 0.016, line + 0.110),
        (side - 0.008, 0.462),
        (side + 0.030, 0.462),
        (side + 0.030, 0.250),
        (0.10, 0.150),
        (0.000, 0.140),
    )
    right = shifted(np.concatenate([curve(half[:6]), half[6:]]), MIDDLE)
    scalp = raster.fill(both_halves(right))
    scalp = raster.soften(scalp, 0.0045) * raster.fill(at.outline)
    if params.hair == "balding":
        u, v = (raster.x - MIDDLE) / (side * 0.96), (raster.y - 0.190) / 0.225
        scalp = scalp * smoothstep(0.80, 1.10, np.hypot(u, v))
    tint = mix(skin_colour(params), params.hair_colour, 0.90)
    canvas.paint(tint, scalp * 0.74)
    count = 9000
    xy = np.stack([rng.uniform(0.30, 0.70, count), rng.uniform(0.16, 0.48, count)], axis=1)
    cells = np.clip((xy * raster.size).astype(int), 0, raster.size - 1)
    xy = xy[scalp[cells[:, 1], cells[:, 0]] > rng.uniform(0.2, 0.8, count)]
    away = xy - (MIDDLE, 0.40)
    away /= np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-6)[:, None]
    half_way = len(xy) // 2
    light = raster.strands(xy[:half_way], xy[:half_way] - away[:half_way] * 0.0042, 0.0015)
    dark = raster.strands(xy[half_way:], xy[half_way:] - away[half_way:] * 0.0042, 0.0015)
    canvas.glow(light * scalp * 0.07)
    canvas.shade(dark * scalp * 0.35)
    canvas.glow(
        scalp * raster.dot(0.44 if params.light_from == "left" else 0.56, 0.235, 0.06, 0.03) * 0.10
    )
