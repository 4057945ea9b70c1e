"""What is drawn over the relief of nose and mouth: nostrils, the lip line, the lips' gloss."""

from __future__ import annotations

import numpy as np

from training.faces.anatomy import MIDDLE, Anatomy
from training.faces.params import FaceParams, skin_colour
from training.faces.raster import (
    Canvas,
    Colour,
    curve,
    mix,
    points,
    resample,
    ribbon,
    shifted,
)


def _deep(params: FaceParams) -> Colour:
    r, g, b = skin_colour(params)
    return mix((r * 0.40, g * 0.24, b * 0.21), (0.10, 0.04, 0.04), 0.35)


def paint_nose(canvas: Canvas, params: FaceParams, at: Anatomy) -> None:
    """Nostrils, the creases of the wings, and the shadow under the tip."""
    raster = canvas.raster
    deep = _deep(params)
    half, base = at.nose_half, at.nose_base_y
    shadow = raster.dot(MIDDLE, base + 0.0045, half * 0.62, 0.0050)
    canvas.shade(0.26 * shadow, (0.55, 0.34, 0.30))
    lamp = -1.0 if params.light_from == "left" else 1.0
    tip = raster.dot(MIDDLE + lamp * half * 0.16, at.nose_tip_y - 0.002, half * 0.17, 0.0048)
    canvas.glow(tip * 0.22, (1.0, 0.95, 0.90))
    for side in (-1, 1):
        hole = curve(
            points(
                (MIDDLE + side * half * 0.20, base - 0.0010),
                (MIDDLE + side * half * 0.34, base - 0.0058),
                (MIDDLE + side * half * 0.60, base - 0.0068),
                (MIDDLE + side * half * 0.70, base - 0.0022),
                (MIDDLE + side * half * 0.44, base - 0.0004),
            ),
            closed=True,
        )
        nostril = raster.fill(hole)
        canvas.paint(deep, raster.soften(nostril, 0.0016) * 0.80)
        canvas.paint(deep, raster.soften(nostril, 0.0042) * 0.30)
        wing = curve(
            points(
                (MIDDLE + side * half * 0.86, base - 0.0225),
                (MIDDLE + side * half * 1.05, base - 0.0130),
                (MIDDLE + side * half * 1.00, base - 0.0030),
                (MIDDLE + side * half * 0.78, base + 0.0004),
            )
        )
        crease = raster.taper(wing, 0.0026, end=0.4)
        canvas.paint(deep, raster.soften(crease, 0.0015) * 0.40)
        canvas.paint(deep, raster.soften(crease, 0.0045) * 0.30)


def paint_mouth(canvas: Canvas, params: FaceParams, at: Anatomy) -> None:
    """The line of the closed lips, and light on them."""
    raster = canvas.raster
    mouth = at.mouth
    deep = _deep(params)
    line = resample(mouth.line, 60)
    t = np.linspace(-1.0, 1.0, 60)
    width = 0.0024 + 0.0009 * np.exp(-((t / 0.25) ** 2)) - 0.0012 * np.abs(t) ** 4
    seam = raster.fill(ribbon(line, width))
    canvas.paint(deep, raster.soften(seam, 0.0030) * 0.55)
    canvas.paint(deep, raster.soften(seam, 0.0007) * 0.88)
    for end in (0, -1):
        x, y = line[end]
        canvas.paint(deep, raster.dot(x, y, 0.0030, 0.0022) * 0.55)
    _paint_gloss(canvas, params, at)


def _paint_gloss(canvas: Canvas, params: FaceParams, at: Anatomy) -> None:
    raster = canvas.raster
    mouth = at.mouth
    rng = np.random.default_rng(params.seed + 9)
    lower = raster.fill(mouth.lower_lip)
    low = float(mouth.bottom[:, 1].max()) - mouth.y
    side = -1.0 if params.light_from == "left" else 1.0
    shine = raster.dot(MIDDLE + side * 0.008, mouth.y + 0.40 * low, 0.021, 0.0042)
    creases = raster.zeros()
    for x in np.linspace(-0.8, 0.8, 19) + rng.normal(0, 0.02, 19):
        top = MIDDLE + mouth.half_width * x
        foot = MIDDLE + mouth.half_width * x * 0.92
        creases += raster.stroke(points((top, mouth.y), (foot, mouth.y + low)), 0.0011)
    creases = raster.soften(np.minimum(creases, 1.0), 0.0007) * lower
    amount = 0.24 + 0.24 * params.femininity * params.lip_strength
    canvas.glow(raster.soften(lower, 0.001) * shine * amount * (1 - 0.7 * creases))
    canvas.shade(creases * 0.10, (0.5, 0.25, 0.25))
    bow = shifted(resample(mouth.top, 60)[18:42], 0.0, -0.0016)
    canvas.glow(raster.soften(raster.taper(bow, 0.0022), 0.0013) * 0.16)
