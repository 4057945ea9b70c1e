"""Clothing: a garment over the shoulders, its collar and folds."""

from __future__ import annotations

import numpy as np

from training.faces.anatomy import MIDDLE, Anatomy
from training.faces.body import neck_outline
from training.faces.light import CLOTH, Studio
from training.faces.params import FaceParams
from training.faces.raster import (
    Canvas,
    Colour,
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


def paint_clothes(canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio) -> None:
    """Dress the shoulders in what `params.clothing` names."""
    main, inner = params.clothing_colour, params.inner_colour
    style = params.clothing
    if style == "turtleneck":
        _garment(canvas, params, at, studio, main, depth=-0.02)
        _tube(canvas, at, studio, main)
    elif style == "shirt":
        _garment(canvas, params, at, studio, main, depth=0.050, pointed=True)
        _placket(canvas, at, 0.050)
        _collar(canvas, at, studio, main, 0.060)
    elif style == "blazer":
        _garment(canvas, params, at, studio, inner, depth=0.045, pointed=True)
        _collar(canvas, at, studio, inner, 0.050)
        _jacket(canvas, params, at, studio, main)
    elif style == "v_neck":
        _garment(canvas, params, at, studio, main, depth=0.085, pointed=True, band=True)
    elif style == "hoodie":
        _hood(canvas, at, studio, main)
        _garment(canvas, params, at, studio, main, depth=0.040, band=True)
    else:
        _garment(canvas, params, at, studio, main, depth=0.036, band=True)


def _shoulder_line(at: Anatomy, spread: float = 1.0) -> Points:
    """The garment's upper edge, from neck to arm, on the right."""
    half, y = at.neck_half, at.shoulder_y
    return points(
        (MIDDLE + half * 1.18, y - 0.038),
        (MIDDLE + half * 1.52, y - 0.025),
        (MIDDLE + 0.245 * spread, y + 0.004),
        (MIDDLE + 0.345 * spread, y + 0.040),
        (MIDDLE + 0.405 * spread, y + 0.120),
        (MIDDLE + 0.420 * spread, 1.040),
    )


def _neckline(at: Anatomy, depth: float, pointed: bool) -> Points:
    """From the left of the neck over the front to the right."""
    half, y = at.neck_half * 1.18, at.shoulder_y - 0.038
    low = at.shoulder_y + depth
    if pointed:
        line = points(
            (MIDDLE - half, y),
            (MIDDLE - half * 0.66, (y + low) / 2),
            (MIDDLE, low),
        )
        left = curve(line)
        return both_halves(left)
    return curve(
        points(
            (MIDDLE - half, y),
            (MIDDLE - half * 0.86, y + 0.55 * (low - y)),
            (MIDDLE - half * 0.45, low - 0.012),
            (MIDDLE, low),
            (MIDDLE + half * 0.45, low - 0.012),
            (MIDDLE + half * 0.86, y + 0.55 * (low - y)),
            (MIDDLE + half, y),
        )
    )


def _cloth_height(raster: Raster, params: FaceParams, at: Anatomy, mask: Field) -> Field:
    rng = np.random.default_rng(params.seed + 21)
    height = 0.060 * raster.inflate(mask, 0.075, 0.012)
    u = (raster.x - MIDDLE) / 0.46
    height = height + 0.14 * np.sqrt(np.maximum(1 - u * u, 0.0))
    for side in (-1, 1):
        for index in range(5):
            start = MIDDLE + side * (0.13 + 0.055 * index + rng.uniform(-0.015, 0.015))
            y = at.shoulder_y + 0.030 + 0.018 * index + rng.uniform(-0.008, 0.008)
            drift = side * rng.uniform(-0.050, 0.035)
            fold = curve(
                points((start, y), (start + 0.5 * drift, y + 0.060), (start + drift, y + 0.140))
            )
            height += 0.0050 * raster.soften(raster.taper(fold, 0.014), 0.006)
    return np.asarray(height, np.float32)


def _cloth(
    canvas: Canvas, studio: Studio, mask: Field, height: Field, colour: Colour, shadow: float = 0.5
) -> None:
    raster = canvas.raster
    canvas.shade(raster.soften(mask, 0.006) * canvas.person * shadow, (0.45, 0.36, 0.34))
    albedo = np.broadcast_to(to_linear(colour), (raster.size, raster.size, 3))
    canvas.cover(to_srgb(studio.lit(raster, height, albedo, CLOTH, mask)), mask)


def _garment(
    canvas: Canvas,
    params: FaceParams,
    at: Anatomy,
    studio: Studio,
    colour: Colour,
    *,
    depth: float,
    pointed: bool = False,
    band: bool = False,
) -> None:
    raster = canvas.raster
    neckline = _neckline(at, depth, pointed)
    shoulder = curve(_shoulder_line(at))
    outline = np.concatenate([neckline, shoulder, mirror(shoulder)[::-1]])
    mask = raster.fill(outline)
    height = _cloth_height(raster, params, at, mask)
    if band:
        inner = shifted(neckline, 0.0, 0.010)
        height = height + 0.006 * raster.soften(raster.stroke(inner, 0.020), 0.0025)
        seam = shifted(neckline, 0.0, 0.0215)
        height = height - 0.003 * raster.soften(raster.stroke(seam, 0.0022), 0.0014)
    _cloth(canvas, studio, mask, np.asarray(height, np.float32), colour)
    chin = raster.soften(raster.fill(shifted(at.outline, 0.016, 0.075)), 0.020)
    canvas.shade(chin * mask * 0.45, (0.40, 0.34, 0.36))


def _tube(canvas: Canvas, at: Anatomy, studio: Studio, colour: Colour) -> None:
    """The rolled collar of a turtleneck."""
    raster = canvas.raster
    half, y = at.neck_half * 1.14, at.shoulder_y
    top = y - 0.088
    side = curve(
        points(
            (MIDDLE + half * 0.985, top),
            (MIDDLE + half * 1.06, top + 0.030),
            (MIDDLE + half * 1.10, y - 0.030),
            (MIDDLE + half * 1.02, y + 0.004),
        )
    )
    foot = curve(
        points(
            (MIDDLE + half * 1.02, y + 0.004),
            (MIDDLE, y + 0.024),
            (MIDDLE - half * 1.02, y + 0.004),
        )
    )
    rim = curve(
        points((MIDDLE - half * 0.985, top), (MIDDLE, top + 0.020), (MIDDLE + half * 0.985, top))
    )
    mask = raster.fill(np.concatenate([side, foot, mirror(side)[::-1], rim]))
    u = (raster.x - MIDDLE) / (half * 1.16)
    height = 0.070 * np.sqrt(np.maximum(1 - u * u, 0.0)) + 0.014 * raster.inflate(
        mask, 0.020, 0.004
    )
    ribs = np.sin(np.arcsin(np.clip(u, -0.999, 0.999)) * 46)
    height = height + 0.0007 * ribs
    _cloth(canvas, studio, mask, np.asarray(height, np.float32), colour)
    chin = raster.soften(raster.fill(shifted(at.outline, 0.010, 0.050)), 0.014)
    canvas.shade(chin * mask * 0.55, (0.40, 0.34, 0.36))


def _collar(canvas: Canvas, at: Anatomy, studio: Studio, colour: Colour, reach: float) -> None:
    """The two leaves of an open shirt collar."""
    raster = canvas.raster
    half, y = at.neck_half, at.shoulder_y
    for side in (-1, 1):
        leaf = points(
            (half * 0.98, y - 0.085),
            (half * 1.20, y - 0.052),
            (half * 1.32, y - 0.012),
            (half * 0.92, y + reach + 0.012),
            (half * 0.30, y + reach - 0.012),
            (half * 0.66, y - 0.010),
        )
        shape = np.stack([MIDDLE + side * leaf[:, 0], leaf[:, 1]], axis=1)
        edge = np.concatenate([curve(shape[:3]), shape[3:5], curve(shape[4:])[1:]])
        mask = raster.fill(edge)
        height = 0.010 * raster.inflate(mask, 0.014, 0.0045) + side * -0.55 * (raster.x - MIDDLE)
        height = height + 0.0 * raster.y
        stitch = raster.soften(
            raster.stroke(shape[2:5] * 0.985 + (MIDDLE * 0.015, y * 0.015), 0.0012), 0.0008
        )
        _cloth(canvas, studio, mask, np.asarray(height - 0.0006 * stitch, np.float32), colour)


def _placket(canvas: Canvas, at: Anatomy, depth: float) -> None:
    """Where a shirt buttons: an edge, and the top buttons."""
    raster = canvas.raster
    top = at.shoulder_y + depth + 0.004
    edge = points((MIDDLE + 0.012, top), (MIDDLE + 0.012, 1.02))
    canvas.shade(raster.soften(raster.stroke(edge, 0.0016), 0.0012) * 0.45, (0.45, 0.42, 0.44))
    canvas.glow(raster.soften(raster.stroke(shifted(edge, -0.003), 0.002), 0.0012) * 0.10)
    for row in range(2):
        y = top + 0.026 + 0.052 * row
        canvas.shade(raster.dot(MIDDLE + 0.001, y + 0.002, 0.0055) * 0.35, (0.45, 0.42, 0.44))
        disc = smoothstep(0.0056, 0.0044, np.hypot(raster.x - MIDDLE, raster.y - y))
        canvas.paint((0.93, 0.92, 0.90), disc * 0.92)
        for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            hole = raster.dot(MIDDLE + 0.0014 * dx, y + 0.0014 * dy, 0.0006)
            canvas.shade(hole * 0.55, (0.3, 0.28, 0.3))


def _jacket(
    canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio, colour: Colour
) -> None:
    """A blazer's two fronts with their lapels."""
    raster = canvas.raster
    half, y = at.neck_half, at.shoulder_y
    for side in (-1, 1):
        shoulder = curve(_shoulder_line(at, 1.03))
        front = curve(
            points((half * 1.20, y - 0.058), (half * 1.12, y + 0.010), (half * 0.55, 1.04))
        )
        edge = np.stack([MIDDLE + front[:, 0], front[:, 1]], axis=1)
        outline = np.concatenate([edge[::-1], shifted(shoulder, 0.0, -0.006)])
        body = outline if side > 0 else mirror(outline)
        mask = raster.fill(body)
        _cloth(canvas, studio, mask, _cloth_height(raster, params, at, mask), colour)
        leaf = points(
            (half * 1.18, y - 0.060),
            (half * 1.62, y - 0.014),
            (half * 1.95, y + 0.052),
            (half * 1.52, y + 0.058),
            (half * 1.66, y + 0.082),
            (half * 0.72, 1.045),
            (half * 0.52, 1.045),
            (half * 1.10, y + 0.010),
        )
        lapel = np.stack([MIDDLE + side * leaf[:, 0], leaf[:, 1]], axis=1)
        mask = raster.fill(lapel)
        height = 0.008 * raster.inflate(mask, 0.012, 0.0045) - side * 0.25 * (raster.x - MIDDLE)
        _cloth(canvas, studio, mask, np.asarray(height + 0 * raster.y, np.float32), colour, 0.6)


def _hood(canvas: Canvas, at: Anatomy, studio: Studio, colour: Colour) -> None:
    """A hood lying on the shoulders, seen from the front."""
    raster = canvas.raster
    half, y = at.neck_half, at.shoulder_y
    outer = curve(
        points(
            (MIDDLE + half * 0.96, y - 0.105),
            (MIDDLE + half * 1.55, y - 0.085),
            (MIDDLE + half * 1.95, y - 0.020),
            (MIDDLE + half * 1.30, y + 0.050),
            (MIDDLE, y + 0.085),
        )
    )
    inner = curve(
        points(
            (MIDDLE, y + 0.045),
            (MIDDLE + half * 0.80, y + 0.008),
            (MIDDLE + half * 1.06, y - 0.060),
            (MIDDLE + half * 0.96, y - 0.105),
        )
    )
    right = np.concatenate([outer, inner])
    dark = (colour[0] * 0.42, colour[1] * 0.40, colour[2] * 0.42)
    within = raster.fill(both_halves(outer))
    neck = raster.fill(neck_outline(at))
    canvas.cover(dark, within * (1 - neck))
    mask = raster.fill_all([right, mirror(right)])
    height = 0.030 * raster.inflate(mask, 0.032, 0.005)
    _cloth(canvas, studio, mask, np.asarray(height, np.float32), colour)
