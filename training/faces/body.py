"""Background, neck and ears."""

from __future__ import annotations

import numpy as np

from training.faces.anatomy import MIDDLE, Anatomy
from training.faces.light import RGB, SKIN, Studio
from training.faces.params import FaceParams, skin_colour
from training.faces.raster import (
    Canvas,
    Points,
    Raster,
    both_halves,
    curve,
    points,
    shifted,
    smoothstep,
    to_linear,
    to_srgb,
)
from training.faces.skin import ear_colour


def backdrop(raster: Raster, params: FaceParams) -> RGB:
    """A softly lit studio wall, sRGB [H, W, 3]."""
    side = 0.34 if params.light_from == "left" else 0.66
    distance = np.hypot((raster.x - side) * 0.9, raster.y - 0.34)
    fall = smoothstep(0.10, 0.95, np.asarray(distance, np.float32))[..., None]
    high = np.asarray(params.background, np.float32)
    low = np.asarray(params.background_low, np.float32)
    return np.asarray(high + (low - high) * fall, np.float32)


def neck_outline(at: Anatomy) -> Points:
    """Neck and the slope to the shoulders; reaches below the picture."""
    half, shoulder = at.neck_half, at.shoulder_y
    right = points(
        (MIDDLE + half * 0.98, 0.640),
        (MIDDLE + half * 0.97, 0.740),
        (MIDDLE + half * 1.03, shoulder - 0.065),
        (MIDDLE + half * 1.32, shoulder - 0.022),
        (MIDDLE + 0.235, shoulder + 0.015),
        (MIDDLE + 0.330, shoulder + 0.052),
        (MIDDLE + 0.395, 1.020),
    )
    side = curve(right)
    return both_halves(side)


def paint_neck(canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio) -> None:
    """Neck and upper chest, in the shadow of the chin."""
    raster = canvas.raster
    mask = raster.fill(neck_outline(at))
    u = (raster.x - MIDDLE) / (at.neck_half * 1.12)
    height = 0.062 * np.sqrt(np.maximum(1.0 - u * u, 0.0)) + 0.05 * raster.inflate(mask, 0.05, 0.01)
    height = height + 0.16 * smoothstep(at.shoulder_y - 0.05, at.shoulder_y + 0.12, raster.y)
    male = 1.0 - params.femininity
    for side in (-1, 1):
        tendon = curve(
            points(
                (MIDDLE + side * at.neck_half * 0.78, 0.735),
                (MIDDLE + side * at.neck_half * 0.55, 0.800),
                (MIDDLE + side * 0.020, at.shoulder_y + 0.012),
            )
        )
        height = height + 0.0035 * raster.soften(raster.taper(tendon, 0.016), 0.006)
        bone = curve(
            points(
                (MIDDLE + side * 0.022, at.shoulder_y + 0.020),
                (MIDDLE + side * 0.100, at.shoulder_y + 0.012),
                (MIDDLE + side * 0.210, at.shoulder_y + 0.020),
            )
        )
        height = height + 0.0040 * raster.soften(raster.taper(bone, 0.016), 0.006)
    for row in range(3):  # rings of the neck
        y = 0.792 + 0.019 * row
        ring = curve(
            points(
                (MIDDLE - at.neck_half * 0.80, y - 0.008),
                (MIDDLE + 0.006, y + 0.004),
                (MIDDLE + at.neck_half * 0.80, y - 0.009),
            )
        )
        crease = raster.soften(raster.taper(ring, 0.006), 0.0030)
        height = height - (0.0004 + 0.0026 * params.age) * crease
    height = height - 0.006 * raster.dot(MIDDLE, at.shoulder_y + 0.008, 0.014, 0.012)
    height = height + 0.004 * male * raster.dot(MIDDLE, 0.805, 0.014, 0.020)
    chin = raster.fill(shifted(at.outline, 0.012 if params.light_from == "left" else -0.012, 0.040))
    shadow = raster.soften(chin, 0.012)
    albedo = np.broadcast_to(to_linear(skin_colour(params)), (raster.size, raster.size, 3))
    light = studio.lit(
        raster, np.asarray(height, np.float32), albedo, SKIN, mask, gloss=0.5, shadow=shadow
    )
    dark = np.asarray((0.62, 0.46, 0.40), np.float32)
    light = light * (1 - 0.55 * raster.soften(chin, 0.022)[..., None] * (1 - dark))
    canvas.cover(to_srgb(np.asarray(light, np.float32)), mask)


def paint_ears(canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio) -> None:
    """Both ears, behind the face's edge."""
    raster = canvas.raster
    albedo = np.broadcast_to(
        np.asarray(ear_colour(params), np.float32), (raster.size, raster.size, 3)
    )
    for side in (-1, 1):
        shape = ear_outline(at, side)
        mask = raster.fill(shape)
        x = MIDDLE + side * (at.cheek_half + 0.010)
        centre = np.asarray((x, at.eye_y + 0.038))
        hollow = raster.fill(centre + (shape - centre) * (0.66, 0.70))
        hollow *= smoothstep(at.eye_y + 0.082, at.eye_y + 0.058, raster.y)
        bowl = raster.dot(x - side * 0.002, at.eye_y + 0.054, 0.0080, 0.017)
        ridge = curve(
            points(
                (x + side * 0.008, at.eye_y + 0.012),
                (x + side * 0.007, at.eye_y + 0.038),
                (x + side * 0.001, at.eye_y + 0.066),
            )
        )
        height = 0.020 * raster.inflate(mask, 0.013, 0.003)
        height = height - 0.0075 * raster.soften(hollow, 0.0026) - 0.009 * bowl
        height = height + 0.0045 * raster.soften(raster.taper(ridge, 0.009), 0.0028)
        light = studio.lit(raster, np.asarray(height, np.float32), albedo, SKIN, mask, gloss=0.6)
        dim = np.clip(0.50 * bowl + 0.20 * raster.soften(hollow, 0.003), 0.0, 0.8)
        near = smoothstep(0.016, 0.0, abs(raster.x - MIDDLE) - at.cheek_half)  # in the head's shade
        dim = np.clip(dim + 0.30 * near, 0.0, 0.9)[..., None]
        tint = np.asarray((0.52, 0.30, 0.25), np.float32)
        canvas.cover(to_srgb(np.asarray(light * (1 - dim * (1 - tint)), np.float32)), mask)


def ear_outline(at: Anatomy, side: int) -> Points:
    """The outline of one ear; its inner edge lies under the face."""
    x = at.cheek_half
    shape = points(
        (x - 0.020, at.eye_y - 0.004),
        (x + 0.006, at.eye_y - 0.016),
        (x + 0.028, at.eye_y - 0.012),
        (x + 0.034, at.eye_y + 0.016),
        (x + 0.026, at.eye_y + 0.056),
        (x + 0.014, at.eye_y + 0.094),
        (x + 0.000, at.eye_y + 0.104),
        (x - 0.020, at.eye_y + 0.090),
    )
    return curve(np.stack([MIDDLE + side * shape[:, 0], shape[:, 1]], axis=1), closed=True)


def ear_lobe(at: Anatomy, side: int) -> tuple[float, float]:
    """Where an earring hangs."""
    return MIDDLE + side * (at.cheek_half + 0.008), at.eye_y + 0.094
