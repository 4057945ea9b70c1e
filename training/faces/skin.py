"""The head as a lit surface: its height map, the colour of its skin, age in its folds."""

from __future__ import annotations

import numpy as np

from training.faces.anatomy import MIDDLE, Anatomy
from training.faces.light import RGB, SKIN, Studio
from training.faces.params import FaceParams, skin_colour
from training.faces.raster import (
    Canvas,
    Colour,
    Field,
    Raster,
    curve,
    points,
    smoothstep,
    to_linear,
    to_srgb,
)


def head_height(raster: Raster, params: FaceParams, at: Anatomy, mask: Field) -> Field:
    """The relief of the face toward the viewer, design units [H, W]."""
    male = 1.0 - params.femininity
    dot = raster.dot
    u, v = (raster.x - MIDDLE) / 0.200, (raster.y - 0.465) / 0.335
    z = 0.085 * raster.inflate(mask, 0.105, 0.009)
    z = z + 0.120 * np.sqrt(np.maximum(1.0 - u * u - v * v, 0.0))
    z += _nose(raster, at)
    for eye, brow in zip(at.eyes, at.brows, strict=True):
        side = eye.side
        z += (0.0025 + 0.0050 * male) * dot(brow[20, 0], brow[20, 1] + 0.004, 0.036, 0.012)
        z -= 0.0150 * dot(eye.x - side * 0.010, at.eye_y - 0.006, 0.034, 0.021)
        z -= 0.0050 * dot(MIDDLE + side * 0.034, at.eye_y - 0.012, 0.012, 0.018)
        z += 0.0125 * dot(eye.x, at.eye_y, 0.030, 0.0215)
        z += (0.0115 + 0.005 * params.cheeks + 0.004 * params.smile) * dot(
            MIDDLE + side * 0.090, at.eye_y + 0.080, 0.038, 0.033
        )
        z -= (0.0030 - 0.004 * params.cheeks) * dot(
            MIDDLE + side * 0.105, at.mouth.y - 0.012, 0.022, 0.034
        )
        z -= 0.0050 * dot(MIDDLE + side * 0.150, at.brow_y + 0.005, 0.018, 0.045)
        corner = at.mouth.line[-1 if side > 0 else 0]
        z -= 0.0030 * dot(corner[0] + side * 0.004, corner[1] + 0.002, 0.007, 0.008)
        z += 0.0022 * dot(corner[0] + side * 0.017, corner[1] - 0.002, 0.009, 0.014)
    z += 0.0100 * dot(MIDDLE, at.mouth.y - 0.008, 0.052, 0.038)
    philtrum = (at.nose_base_y + at.mouth.y) / 2
    z -= 0.0014 * dot(MIDDLE, philtrum, 0.0060, 0.013)
    for side in (-1, 1):
        z += 0.0007 * dot(MIDDLE + side * 0.0115, philtrum, 0.0050, 0.013)
    z += 0.0052 * raster.soften(raster.inflate(raster.fill(at.mouth.upper_lip), 0.011), 0.0018)
    z += 0.0085 * raster.soften(raster.inflate(raster.fill(at.mouth.lower_lip), 0.014), 0.0020)
    fold_y = float(at.mouth.bottom[:, 1].max()) + 0.011
    z -= 0.0062 * dot(MIDDLE, fold_y, 0.030, 0.0085)
    z += (0.0100 + 0.003 * male) * dot(MIDDLE, at.chin_y - 0.034, 0.030 + 0.004 * male, 0.023)
    z -= _folds(raster, params, at)
    return np.asarray(z, np.float32)


def _nose(raster: Raster, at: Anatomy) -> Field:
    tip, base, half = at.nose_tip_y, at.nose_base_y, at.nose_half
    rows = raster.y[:, 0]
    stations = (
        at.nasion_y - 0.040,
        at.nasion_y,
        0.5 * (at.nasion_y + tip),
        tip - 0.006,
        tip + 0.006,
        base - 0.002,
        base + 0.008,
    )
    height = np.interp(rows, stations, (0.0, 0.0060, 0.0145, 0.0210, 0.0200, 0.0060, 0.0))
    wide = half / 0.0335
    width = (
        np.interp(rows, stations, (0.022, 0.0125, 0.0145, 0.0175, 0.0190, 0.0190, 0.0180)) * wide
    )
    blur = max(raster.size * 0.006, 1.0)
    kernel = np.exp(-0.5 * (np.arange(-int(3 * blur), int(3 * blur) + 1) / blur) ** 2)
    kernel /= kernel.sum()
    height = np.convolve(np.pad(height, len(kernel) // 2, mode="edge"), kernel, "valid")
    width = np.convolve(np.pad(width, len(kernel) // 2, mode="edge"), kernel, "valid")
    u = (raster.x - MIDDLE) / width[:, None]
    z = height[:, None] * np.exp(-0.5 * u**2)
    z += 0.0170 * raster.dot(MIDDLE, tip + 0.0035, half * 0.50, 0.0135)
    for side in (-1, 1):
        z += 0.0135 * raster.dot(MIDDLE + side * half * 0.74, base - 0.0118, half * 0.27, 0.0100)
        z -= 0.0030 * raster.dot(MIDDLE + side * half * 1.28, base - 0.0120, half * 0.18, 0.0110)
    return np.asarray(z, np.float32)


def _folds(raster: Raster, params: FaceParams, at: Anatomy) -> Field:
    """How deep the face is furrowed: a hint in the young, folds and lines in the old."""
    age = params.age
    depth = raster.zeros()
    mouth = at.mouth
    for eye in at.eyes:
        side = eye.side
        wing = MIDDLE + side * (at.nose_half + 0.007)
        corner = MIDDLE + side * (mouth.half_width + 0.017)
        smile_line = curve(
            points(
                (wing, at.nose_base_y - 0.016),
                (wing + side * 0.016, at.nose_base_y + 0.004),
                (corner - side * 0.003, mouth.y - 0.024),
                (corner + side * 0.003, mouth.y + 0.010 * age),
            )
        )
        fold = raster.soften(raster.taper(smile_line, 0.012), 0.0050)
        depth += fold * (0.0006 + 0.0012 * params.smile + 0.0062 * age)
        bag = curve(
            points(
                (eye.x - side * 0.034, eye.y + 0.019),
                (eye.x - side * 0.010, eye.y + 0.031),
                (eye.x + side * 0.022, eye.y + 0.029),
            )
        )
        depth += raster.soften(raster.taper(bag, 0.006), 0.0028) * (0.0008 + 0.0042 * age)
        if age > 0.35:
            depth += _fine_lines(raster, at, side) * (age - 0.35) * 1.4
    if age > 0.3:
        for row, (span, lean) in enumerate(((0.066, -0.006), (0.080, 0.004), (0.062, 0.010))):
            y = at.brow_y - 0.036 - 0.019 * row
            line = curve(
                points(
                    (MIDDLE + lean - span, y + 0.002),
                    (MIDDLE + lean - 0.45 * span, y - 0.0035),
                    (MIDDLE + lean, y - 0.0012),
                    (MIDDLE + lean + 0.5 * span, y - 0.0042),
                    (MIDDLE + lean + span, y + 0.001),
                )
            )
            groove = raster.soften(raster.taper(line, 0.005), 0.0030)
            depth += groove * 0.0036 * (age - 0.3)
    return depth


def _fine_lines(raster: Raster, at: Anatomy, side: int) -> Field:
    """Crow's feet and marionette lines of one half of the face."""
    depth = raster.zeros()
    eye = at.eyes[0 if side < 0 else 1]
    outer = eye.x + side * (eye.half_width + 0.008)
    for drop, reach in ((-0.012, 0.020), (0.002, 0.024), (0.014, 0.021)):
        line = curve(
            points(
                (outer, eye.y + 0.4 * drop),
                (outer + side * reach * 0.6, eye.y + 0.75 * drop + 0.001),
                (outer + side * reach, eye.y + 1.25 * drop),
            )
        )
        depth += raster.soften(raster.taper(line, 0.003), 0.0015) * 0.0020
    jowl = MIDDLE + side * (0.72 * at.jaw_half)
    depth -= 0.0022 * raster.dot(jowl, at.mouth.y + 0.050, 0.016, 0.018)
    corner = MIDDLE + side * (at.mouth.half_width + 0.006)
    line = curve(
        points(
            (corner, at.mouth.y + 0.004),
            (corner + side * 0.005, at.mouth.y + 0.022),
            (corner + side * 0.004, at.mouth.y + 0.042),
        )
    )
    depth += raster.soften(raster.taper(line, 0.006), 0.003) * 0.0030
    return depth


def skin_albedo(raster: Raster, params: FaceParams, at: Anatomy) -> RGB:
    """Linear colour of the skin [H, W, 3]: flushed, shadowed round the eyes, freckled."""
    base = to_linear(skin_colour(params))
    albedo = np.broadcast_to(base, (raster.size, raster.size, 3)).copy()
    dark = params.skin
    red = np.asarray((1.02, 0.70 + 0.14 * dark, 0.66 + 0.16 * dark), np.float32)
    flush = 0.30 * raster.dot(MIDDLE, at.nose_tip_y, at.nose_half * 0.8, 0.020)
    flush += 0.22 * raster.dot(MIDDLE, at.chin_y - 0.03, 0.03, 0.02)
    shadow = raster.zeros()
    for eye in at.eyes:
        x = MIDDLE + eye.side * 0.100
        flush += 0.70 * raster.dot(x, at.eye_y + 0.086, 0.040, 0.030)
        flush += 0.25 * raster.dot(eye.x, at.eye_y - 0.010, 0.040, 0.018)
        shadow += raster.dot(eye.x - eye.side * 0.012, eye.y + 0.022, 0.024, 0.009)
        shadow += 0.6 * raster.dot(MIDDLE + eye.side * 0.036, eye.y - 0.004, 0.012, 0.016)
    _tint(albedo, flush * (0.35 + 0.75 * params.flush), red)
    bruise = np.asarray((0.80, 0.68, 0.70), np.float32)
    _tint(albedo, np.minimum(shadow, 1.0) * (0.22 + 0.20 * params.age), bruise)
    forehead = smoothstep(at.brow_y, at.brow_y - 0.08, raster.y)
    pale = np.asarray((1.01, 1.01, 0.95), np.float32)
    _tint(albedo, np.broadcast_to(forehead, albedo.shape[:2]) * 0.6, pale)
    if params.freckles > 0 or params.age > 0.6:
        _tint(albedo, _spots(raster, params, at), np.asarray((0.72, 0.52, 0.40), np.float32))
    return albedo


def _tint(albedo: RGB, amount: Field, factor: RGB) -> None:
    albedo *= 1.0 + np.clip(amount, 0.0, 1.0)[..., None] * (factor - 1.0)


def _spots(raster: Raster, params: FaceParams, at: Anatomy) -> Field:
    """Freckles over nose and cheeks; in the old, a few larger spots at the temples."""
    rng = np.random.default_rng(params.seed + 11)
    spots = raster.zeros()
    count = int(170 * params.freckles)
    x = MIDDLE + rng.normal(0.0, 0.075, count)
    y = at.eye_y + 0.070 + rng.normal(0.0, 0.026, count)
    size = rng.uniform(0.0009, 0.0021, count)
    strength = rng.uniform(0.15, 0.6, count)
    old = int(9 * max(params.age - 0.6, 0.0) / 0.4)
    x = np.concatenate([x, MIDDLE + rng.choice([-1, 1], old) * rng.uniform(0.08, 0.14, old)])
    y = np.concatenate([y, rng.uniform(at.hairline_y + 0.02, at.eye_y + 0.07, old)])
    size = np.concatenate([size, rng.uniform(0.002, 0.005, old)])
    strength = np.concatenate([strength, rng.uniform(0.1, 0.25, old)])
    reach = 4 * 0.005
    for px, py, radius, amount in zip(x, y, size, strength, strict=True):
        rows = _window(py, reach, raster.size)
        columns = _window(px, reach, raster.size)
        u = (raster.x[:, columns] - px) / radius
        v = (raster.y[rows] - py) / (radius * 0.9)
        spots[rows, columns] += np.float32(amount) * np.exp(-0.5 * (u * u + v * v) ** 1.5)
    return spots


def _window(centre: float, reach: float, size: int) -> slice:
    low = max(int((centre - reach) * size), 0)
    return slice(low, max(min(int((centre + reach) * size), size), low))


def paint_head(
    canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio, *, shadow: Field
) -> None:
    """The bare face, without eyes, brows, hair and beard."""
    raster = canvas.raster
    mask = raster.fill(at.outline)
    height = head_height(raster, params, at, mask)
    albedo = skin_albedo(raster, params, at)
    gloss = 0.75 + 0.7 * raster.dot(MIDDLE, at.nose_tip_y, 0.02, 0.05)
    for eye in at.eyes:  # the hollows beside the nose are matt
        gloss -= 0.60 * raster.dot(eye.x - eye.side * 0.012, eye.y + 0.040, 0.030, 0.026)
    lips = raster.fill_all([at.mouth.upper_lip, at.mouth.lower_lip])
    colour_lips(albedo, raster, params, at, lips)
    gloss += 1.3 * lips * (0.5 + 0.5 * params.femininity)
    gloss *= 0.80 + 0.35 * params.skin
    light = studio.lit(raster, height, albedo, SKIN, mask, gloss=gloss, shadow=shadow)
    canvas.cover(to_srgb(light), mask)


def colour_lips(albedo: RGB, raster: Raster, params: FaceParams, at: Anatomy, lips: Field) -> None:
    """Give the lips their own colour in `albedo`, softly at the edge."""
    base = to_linear(skin_colour(params))
    natural = base * np.asarray((0.88, 0.60, 0.60), np.float32)
    tint = to_linear(params.lip_tint)
    colour = natural + (tint - natural) * np.float32(params.lip_strength)
    edge = raster.soften(lips, 0.0016)
    upper = raster.soften(raster.fill(at.mouth.upper_lip), 0.002)
    toned = colour * (1.0 - 0.16 * upper[..., None])
    albedo += (toned - albedo) * (edge * (0.82 + 0.16 * params.lip_strength))[..., None]


def ear_colour(params: FaceParams) -> Colour:
    """Linear colour of the ears: thin skin, well supplied with blood."""
    r, g, b = to_linear(skin_colour(params))
    return (float(r), float(g) * 0.86, float(b) * 0.84)
