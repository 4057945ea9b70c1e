"""Glasses, earrings and headscarves."""

from __future__ import annotations

import numpy as np

from training.faces.anatomy import MIDDLE, Anatomy
from training.faces.body import ear_lobe
from training.faces.light import CLOTH, Studio
from training.faces.params import FaceParams
from training.faces.raster import (
    Canvas,
    Field,
    Points,
    both_halves,
    curve,
    mirror,
    points,
    shifted,
    to_linear,
    to_srgb,
)


def paint_glasses(canvas: Canvas, params: FaceParams, at: Anatomy) -> None:
    """A thin frame that leaves the eyes free."""
    if params.glasses == "none":
        return
    raster = canvas.raster
    rims = [_rim(params, at, side) for side in (-1, 1)]
    width = 0.0056
    frame = raster.zeros()
    for rim in rims:
        frame = np.maximum(frame, raster.stroke(np.concatenate([rim, rim[:2]]), width))
    inner = min(rims[1][:, 0]) - MIDDLE
    y = at.eye_y - 0.008
    bridge = curve(points((MIDDLE - inner, y), (MIDDLE, y - 0.009), (MIDDLE + inner, y)))
    frame = np.maximum(frame, raster.stroke(bridge, width))
    outer = max(rims[1][:, 0])
    for side in (-1, 1):
        start = MIDDLE + side * (outer - MIDDLE)
        arm = points(
            (start, at.eye_y - 0.014), (MIDDLE + side * (at.cheek_half + 0.004), at.eye_y - 0.010)
        )
        frame = np.maximum(frame, raster.stroke(arm, width))
    drop = max(int(0.007 * raster.size), 1)
    shadow = np.roll(raster.soften(frame, 0.0030), drop, axis=0)
    canvas.shade(shadow * canvas.person * 0.34, (0.45, 0.30, 0.28))
    lens = raster.fill_all(rims)
    canvas.glow(lens * 0.035)
    _paint_glare(canvas, at, lens)
    canvas.paint(params.glasses_colour, frame)
    top = raster.soften(frame, 0.0012)
    edge = np.clip(top - np.roll(top, 2, axis=0), 0.0, 1.0)
    canvas.glow(np.clip(edge * 1.6, 0, 0.55) * frame)


def _rim(params: FaceParams, at: Anatomy, side: int) -> Points:
    eye = at.eyes[0 if side < 0 else 1]
    angle = np.linspace(0, 2 * np.pi, 97)[:-1]
    power = 1.0 if params.glasses == "round" else 0.62
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    wide, tall = (0.0575, 0.0520) if params.glasses == "round" else (0.0590, 0.0430)
    return np.stack([eye.x + side * 0.004 + wide * x, at.eye_y + 0.006 + tall * y], axis=1)


def _paint_glare(canvas: Canvas, at: Anatomy, lens: Field) -> None:
    raster = canvas.raster
    for eye in at.eyes:
        line = points((eye.x - 0.046, at.eye_y + 0.040), (eye.x - 0.020, at.eye_y - 0.045))
        canvas.glow(raster.soften(raster.stroke(line, 0.010), 0.003) * lens * 0.10)


def paint_earrings(canvas: Canvas, params: FaceParams, at: Anatomy) -> None:
    """One at each lobe."""
    if params.earrings == "none":
        return
    raster = canvas.raster
    colour = params.earring_colour
    for side in (-1, 1):
        x, y = ear_lobe(at, side)
        x += side * 0.006
        if params.earrings == "stud":
            shape = raster.fill(_disc(x, y - 0.006, 0.0062))
        elif params.earrings == "hoop":
            ring = _disc(x + side * 0.002, y + 0.018, 0.0215)
            shape = raster.stroke(np.concatenate([ring, ring[:2]]), 0.0048)
        else:
            chain = raster.stroke(points((x, y - 0.004), (x, y + 0.012)), 0.0022)
            drop = curve(
                points(
                    (x, y + 0.010), (x + 0.0065, y + 0.028), (x, y + 0.036), (x - 0.0065, y + 0.028)
                ),
                closed=True,
            )
            shape = np.maximum(chain, raster.fill(drop))
        canvas.shade(raster.soften(shape, 0.003) * canvas.person * 0.35, (0.4, 0.28, 0.25))
        dark = (colour[0] * 0.62, colour[1] * 0.55, colour[2] * 0.45)
        canvas.cover(dark, shape)
        soft = raster.soften(shape, 0.0014)
        lit = np.clip(soft - np.roll(np.roll(soft, 2, 0), 2, 1), 0, 1) * 2.6
        canvas.paint(colour, shape * np.clip(0.55 + lit, 0, 1))
        canvas.glow(np.clip(lit - 0.35, 0, 0.9) * shape)


def _disc(x: float, y: float, radius: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 49)[:-1]
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def paint_headscarf(canvas: Canvas, params: FaceParams, at: Anatomy, studio: Studio) -> None:
    """A scarf wound round the head, its end over one shoulder. Its colour is `hair_colour`."""
    raster = canvas.raster
    wide = at.temple_half / 0.163
    outer = points(
        (0.000, 0.146), (0.085, 0.156), (0.150, 0.208), (0.190, 0.320), (0.198, 0.450),
        (0.186, 0.590), (0.168, 0.700), (0.176, 0.780), (0.232, 0.850), (0.275, 0.920),
        (0.270, 1.04),
    )  # fmt: skip
    right = shifted(curve(outer) * (wide, 1.0), MIDDLE)
    hole = points(
        (0.000, at.hairline_y - 0.012), (0.070, at.hairline_y - 0.004),
        (0.122, at.hairline_y + 0.040),
        (at.temple_half - 0.010, at.brow_y), (at.cheek_half - 0.006, 0.520),
        (at.jaw_half - 0.004, at.mouth.y - 0.010), (at.jaw_half * 0.70, at.mouth.y + 0.052),
        (0.034, at.chin_y - 0.001), (0.0, at.chin_y + 0.003),
    )  # fmt: skip
    opening = shifted(curve(hole), MIDDLE)
    face = raster.fill(both_halves(opening))
    mask = raster.fill(both_halves(right)) * (1 - face)
    cap_line = np.concatenate([mirror(opening)[::-1], opening])[40:-40]
    cap = raster.stroke(cap_line, 0.024) * mask
    height = 0.070 * raster.inflate(np.maximum(mask, face), 0.090, 0.010)
    height = height - 0.014 * raster.soften(face, 0.010)
    height = height + _scarf_folds(canvas, params, at)
    height = height - 0.004 * raster.soften(cap, 0.002)
    albedo = np.broadcast_to(to_linear(params.hair_colour), (raster.size, raster.size, 3)).copy()
    albedo *= 1.0 - 0.30 * cap[..., None]
    canvas.shade(raster.soften(mask, 0.008) * canvas.person * 0.5, (0.48, 0.36, 0.33))
    lit = studio.lit(
        raster, np.asarray(height, np.float32), albedo, CLOTH, np.asarray(mask, np.float32)
    )
    canvas.cover(to_srgb(lit), np.asarray(mask, np.float32))


def paint_scarf_inside(canvas: Canvas, params: FaceParams, at: Anatomy) -> None:
    """What the scarf shows of its inside, between its edge and the face."""
    r, g, b = params.hair_colour
    around = MIDDLE + (at.outline - (MIDDLE, at.eye_y)) * (1.04, 1.02) - (0.0, MIDDLE - at.eye_y)
    canvas.cover((r * 0.45, g * 0.42, b * 0.45), canvas.raster.fill(around))


def _scarf_folds(canvas: Canvas, params: FaceParams, at: Anatomy) -> Field:
    raster = canvas.raster
    rng = np.random.default_rng(params.seed + 81)
    depth = raster.zeros()
    chin = at.chin_y
    for index in range(7):  # wound under the chin
        t = index / 6
        sag = chin + 0.018 + 0.105 * t + rng.uniform(-0.004, 0.004)
        line = curve(
            points(
                (MIDDLE - 0.170 - 0.02 * t, 0.600 + 0.10 * t),
                (MIDDLE - 0.105, sag - 0.036),
                (MIDDLE + 0.010 + 0.02 * t, sag),
                (MIDDLE + 0.110, sag - 0.050),
                (MIDDLE + 0.176 + 0.02 * t, 0.570 + 0.11 * t),
            )
        )
        depth += 0.0060 * raster.soften(raster.taper(line, 0.012), 0.0042)
    for side in (-1, 1):  # over the head and down beside the face
        for index in range(4):
            x = 0.176 - 0.013 * index + rng.uniform(-0.003, 0.003)
            line = curve(
                points(
                    (MIDDLE + side * 0.045, 0.185 + 0.030 * index),
                    (MIDDLE + side * (x - 0.022), 0.295 + 0.02 * index),
                    (MIDDLE + side * x, 0.440),
                    (MIDDLE + side * (x - 0.012), 0.600),
                )
            )
            depth += 0.0042 * raster.soften(raster.taper(line, 0.010), 0.0040)
    return depth
