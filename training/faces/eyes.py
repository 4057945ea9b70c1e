"""Eyes and brows."""

from __future__ import annotations

import numpy as np

from training.faces.anatomy import Anatomy, Eye
from training.faces.params import FaceParams, skin_colour
from training.faces.raster import (
    Canvas,
    Colour,
    Field,
    Points,
    Raster,
    mix,
    resample,
    ribbon,
    shifted,
    smoothstep,
)

_WHITE: Colour = (0.945, 0.930, 0.915)
_LASH: Colour = (0.075, 0.050, 0.045)


def paint_eye(canvas: Canvas, params: FaceParams, eye: Eye) -> None:
    """The eyeball between its lids, lashes, and the lid's crease."""
    raster = canvas.raster
    opening = raster.fill(eye.opening)
    _paint_lids(canvas, params, eye)
    _paint_ball(canvas, params, eye, opening)
    _paint_iris(canvas, params, eye, opening)
    canvas.shade(0.58 * _lid_shadow(raster, eye) * opening, (0.20, 0.13, 0.14))
    _paint_catchlights(canvas, params, eye, opening)
    _paint_rims(canvas, params, eye)
    _paint_lashes(canvas, params, eye)


def _paint_lids(canvas: Canvas, params: FaceParams, eye: Eye) -> None:
    raster = canvas.raster
    skin = skin_colour(params)
    deep = mix((skin[0] * 0.42, skin[1] * 0.28, skin[2] * 0.26), (0.10, 0.05, 0.05), 0.25)
    around = raster.soften(raster.fill(eye.opening), 0.0055)
    canvas.shade(0.32 * around, (0.62, 0.42, 0.40))
    lid = resample(eye.upper, 30)
    t = np.linspace(0.0, 1.0, 30)
    rise = (0.0040 + 0.0062 * np.sin(np.pi * np.clip(t * 0.92 + 0.06, 0, 1)) ** 0.8) * (
        1.0 - 0.35 * params.age
    )
    crease = np.stack([lid[:, 0] + eye.side * 0.002 * t, lid[:, 1] - rise], axis=1)
    fold = raster.taper(crease, 0.0028, start=0.2, end=0.3)
    canvas.paint(deep, raster.soften(fold, 0.0013) * 0.62 * params.eye_fold)
    canvas.paint(deep, raster.soften(fold, 0.0045) * 0.55 * params.eye_fold)
    lower = resample(eye.lower, 30)[4:]
    under = np.stack([lower[:, 0], lower[:, 1] + 0.0062], axis=1)
    canvas.paint(
        deep, raster.soften(raster.taper(under, 0.003), 0.0022) * (0.14 + 0.25 * params.age)
    )


def _paint_ball(canvas: Canvas, params: FaceParams, eye: Eye, opening: Field) -> None:
    raster = canvas.raster
    white = mix(_WHITE, (0.90, 0.86, 0.80), 0.5 * params.age + 0.25 * params.skin)
    canvas.paint(white, opening)
    round_off = smoothstep(0.45, 1.25, np.abs(raster.x - eye.x) / eye.half_width)
    canvas.shade(opening * round_off * 0.50, (0.62, 0.47, 0.45))
    inner, outer = eye.upper[0], eye.upper[-1]
    pink = raster.dot(inner[0] + eye.side * 0.0035, inner[1], 0.0050, 0.0038)
    canvas.paint((0.80, 0.46, 0.43), opening * pink * 0.85)
    canvas.shade(opening * raster.dot(outer[0], outer[1], 0.007, 0.006) * 0.45, (0.55, 0.32, 0.30))
    tear = raster.dot(inner[0] + eye.side * 0.0030, inner[1] + 0.0006, 0.0010, 0.0008)
    canvas.glow(opening * tear * 0.6)


def _paint_iris(canvas: Canvas, params: FaceParams, eye: Eye, opening: Field) -> None:
    raster = canvas.raster
    rng = np.random.default_rng(params.seed + 3)
    u = (raster.x - eye.x) / eye.iris_radius
    v = (raster.y - eye.y) / eye.iris_radius
    r = np.hypot(u, v)
    angle = np.arctan2(v, u)
    fibres = np.zeros_like(r)
    for waves in (9, 14, 23, 37, 52):
        phase, sway = rng.uniform(0, 2 * np.pi), rng.uniform(-1.5, 1.5)
        fibres += np.sin(waves * angle + phase + sway * r) / 5**0.5
    base = np.asarray(params.eye_colour, np.float32)
    light_side = -1.0 if params.light_from == "left" else 1.0
    lit = np.clip(0.45 * (v * 0.9 - light_side * u * 0.35) + 0.5, 0.0, 1.0)
    tone = 0.62 + 0.85 * lit + 0.20 * fibres * smoothstep(0.35, 0.6, r)
    warm = np.asarray((1.25, 1.02, 0.72), np.float32)
    inner = smoothstep(0.72, 0.42, r)[..., None] * 0.55
    colour = base * tone[..., None] * (1 + inner * (warm - 1))
    colour = colour * (1.0 - 0.72 * smoothstep(0.76, 1.0, r)[..., None])
    pupil = smoothstep(0.45, 0.39, r)
    colour = colour * (1 - pupil[..., None]) + 0.018 * pupil[..., None]
    disc = smoothstep(1.05, 0.955, r)
    canvas.shade(opening * smoothstep(1.25, 0.95, r) * 0.25, (0.45, 0.35, 0.35))
    canvas.paint(np.clip(colour, 0, 1).astype(np.float32), opening * disc)


def _lid_shadow(raster: Raster, eye: Eye) -> Field:
    lid = raster.stroke(eye.upper, 0.0105)
    return np.clip(raster.soften(lid, 0.0030) * 1.3, 0.0, 1.0)


def _paint_catchlights(canvas: Canvas, params: FaceParams, eye: Eye, opening: Field) -> None:
    raster = canvas.raster
    side = -1.0 if params.light_from == "left" else 1.0
    radius = eye.iris_radius
    u = (raster.x - eye.x - side * 0.33 * radius) / (0.240 * radius)
    v = (raster.y - eye.y + 0.36 * radius) / (0.255 * radius)
    window = smoothstep(1.15, 0.72, np.hypot(u, v))
    canvas.paint((1.0, 1.0, 1.0), opening * window * 0.96)
    small = raster.dot(eye.x - side * 0.42 * radius, eye.y + 0.40 * radius, 0.12 * radius)
    canvas.glow(opening * small * 0.50)
    arc = np.hypot(raster.x - eye.x, raster.y - eye.y) / radius
    crescent = smoothstep(0.55, 0.75, arc) * smoothstep(0.93, 0.78, arc)
    low = raster.dot(
        eye.x - side * 0.25 * radius, eye.y + 0.72 * radius, 0.42 * radius, 0.30 * radius
    )
    canvas.glow(opening * crescent * low * 0.40, params.eye_colour)


def _paint_rims(canvas: Canvas, params: FaceParams, eye: Eye) -> None:
    """The wet edge of the lower lid."""
    raster = canvas.raster
    skin = skin_colour(params)
    lower = resample(eye.lower, 40)[2:-1]
    line = np.stack([lower[:, 0], lower[:, 1] + 0.0006], axis=1)
    rim = raster.taper(line, 0.0032, start=0.6, end=0.4)
    pink = mix(skin, (0.86, 0.52, 0.47), 0.45)
    canvas.paint(pink, raster.soften(rim, 0.0006) * 0.75)
    wet = np.stack([lower[6:-8, 0], lower[6:-8, 1] - 0.0002], axis=1)
    canvas.glow(raster.soften(raster.taper(wet, 0.0011), 0.0005) * 0.38)


def _paint_lashes(canvas: Canvas, params: FaceParams, eye: Eye) -> None:
    raster = canvas.raster
    soft = params.femininity
    rng = np.random.default_rng(params.seed + 5 + eye.side)
    lid = resample(eye.upper, 60)
    t = np.linspace(0.0, 1.0, 60)
    flick = np.array([[eye.side * 0.0040, -0.0016 - 0.0016 * soft]]) * (0.2 + soft)
    line = np.concatenate([lid, lid[-1:] + flick])
    width = np.interp(t, (0, 0.25, 0.75, 0.95, 1), (0.0012, 0.0026, 0.0042, 0.0036, 0.0022))
    width = np.append(width * (0.72 + 0.45 * soft), 0.0003)
    colour = mix(_LASH, params.brow_colour, 0.25)
    band = raster.fill(ribbon(shifted(line, 0.0, -0.0006), width))
    canvas.paint(colour, raster.soften(band, 0.0006) * 0.95)
    canvas.paint(colour, raster.soften(band, 0.0022) * 0.30)
    count = int(30 + 26 * soft)
    at = np.sort(rng.uniform(0.12, 1.0, count))
    roots = np.stack([np.interp(at, t, lid[:, i]) for i in (0, 1)], axis=1)
    fan = (at - 0.40) * 1.75 + rng.normal(0, 0.09, count)
    length = (0.0034 + 0.0066 * soft) * np.interp(at, (0.1, 0.75, 0.9, 1.0), (0.40, 1.0, 1.0, 0.8))
    length *= rng.uniform(0.7, 1.1, count)
    reach = np.stack([eye.side * np.sin(fan), -np.cos(fan) * 0.80], axis=1)
    hairs = raster.strands(
        roots - (0, 0.0010), roots + reach * length[:, None], 0.0016, 0.16 * eye.side
    )
    canvas.paint(colour, raster.soften(hairs, 0.0004) * 0.72)
    line = shifted(resample(eye.lower, 40)[10:], 0.0, 0.0022)
    shade = raster.soften(raster.taper(line, 0.0022, end=0.7), 0.0010)
    canvas.paint(colour, shade * (0.34 + 0.12 * soft))


def paint_brow(canvas: Canvas, params: FaceParams, at: Anatomy, index: int) -> None:
    """One brow, hair by hair over a soft shadow of itself."""
    raster = canvas.raster
    side = at.eyes[index].side
    line = resample(at.brows[index], 48)
    t = np.linspace(0.0, 1.0, len(line))
    male = 1.0 - params.femininity
    thick = (0.0092 + 0.0050 * male) * (1 + 0.35 * params.brow_thickness)
    width = thick * np.interp(t, (0, 0.12, 0.45, 0.75, 1.0), (0.58, 0.94, 1.0, 0.70, 0.12))
    body = raster.fill(ribbon(line, width))
    colour = params.brow_colour
    canvas.paint(colour, raster.soften(body, 0.0026) * 0.58)
    rng = np.random.default_rng(params.seed + 7 + index)
    for tone, count, opacity in ((0.75, 150, 0.62), (1.55, 60, 0.35)):
        where = rng.uniform(0.0, 0.97, count)
        across = rng.uniform(-0.5, 0.5, count)
        hairs = _brow_hairs(raster, line, width, where, across, side, rng)
        canvas.paint(_scaled(colour, tone), hairs * opacity)


def _brow_hairs(
    raster: Raster,
    line: Points,
    width: np.ndarray[tuple[int], np.dtype[np.float64]],
    where: np.ndarray[tuple[int], np.dtype[np.float64]],
    across: np.ndarray[tuple[int], np.dtype[np.float64]],
    side: int,
    rng: np.random.Generator,
) -> Field:
    t = np.linspace(0.0, 1.0, len(line))
    roots = np.stack([np.interp(where, t, line[:, i]) for i in (0, 1)], axis=1)
    span = np.interp(where, t, width)
    tangent = np.gradient(line, axis=0)
    slope = np.arctan2(tangent[:, 1], side * tangent[:, 0])
    lean = np.interp(where, (0.0, 0.10, 0.35, 1.0), (1.35, 0.95, 0.45, 0.10))
    angle = np.interp(where, t, slope) - lean + across * 0.7 + rng.normal(0, 0.10, len(where))
    roots[:, 1] += across * span * 0.9
    length = np.interp(where, (0, 0.3, 1.0), (0.0105, 0.0125, 0.0085)) * rng.uniform(
        0.75, 1.1, len(where)
    )
    reach = np.stack([side * np.cos(angle), np.sin(angle)], axis=1) * length[:, None]
    return raster.strands(roots - reach * 0.4, roots + reach * 0.6, 0.0014, 0.10 * side)


def _scaled(colour: Colour, factor: float) -> Colour:
    r, g, b = (min(c * factor, 1.0) for c in colour)
    return (r, g, b)
