"""Hair as combed sheets of strands: combing, silhouette, and light along the strands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.faces.light import Studio, Surface, normals
from training.faces.params import FaceParams, skin_colour
from training.faces.raster import (
    Canvas,
    Field,
    Points,
    Raster,
    curve,
    enlarge,
    mix,
    resample,
    ribbon,
    to_linear,
    to_srgb,
)

HAIR = Surface(wrap=(0.34, 0.32, 0.30), occlusion=5.0, sheen=0.04)
_STEPS = 60  # points along one strand


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Hair that lies together: guides [K, S, 2] from root to tip, neighbours side by side."""

    guides: NDArray[np.float64]
    density: float = 1.0
    wave: float = 0.0  # sideways sway of single strands, design units
    frizz: float = 0.0012  # how far strands stray
    soft_roots: float = 0.0  # how far the skin shows through where the hair begins, and ends
    soft_tips: float = 0.0

    @classmethod
    def of(cls, *guides: Points, **of: float) -> Sheet:
        """A sheet combed smoothly between the guide lines, each through its control points."""
        lines = np.stack([resample(curve(guide), _STEPS) for guide in guides])
        padded = np.pad(lines, ((0, 0), (8, 8), (0, 0)), mode="reflect", reflect_type="odd")
        lines = ndimage.gaussian_filter1d(padded, 2.2, axis=1)[:, 8:-8]  # the ends stay
        across = curve(lines.reshape(len(lines), -1), 10).reshape(-1, _STEPS, 2)
        return cls(guides=across, **of)

    def bent(self, guides: NDArray[np.float64]) -> Sheet:
        """The same hair along other guides."""
        return replace(self, guides=guides)

    @property
    def outline(self) -> Points:
        """The edge of the whole sheet."""
        first, last = self.guides[0], self.guides[-1]
        roots, tips = self.guides[:, 0], self.guides[:, -1]
        return np.concatenate([first, tips, last[::-1], roots[::-1]])

    @property
    def span(self) -> float:
        """Its width half way along, in design units."""
        middle = self.guides[:, _STEPS // 2]
        return float(np.hypot(*np.diff(middle, axis=0).T).sum())

    def comb(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """`count` strands [count, S, 2] strewn over the sheet."""
        at = rng.uniform(0.0, len(self.guides) - 1.001, count)
        low = at.astype(np.intp)
        t = (at - low)[:, None, None]
        strands = self.guides[low] * (1 - t) + self.guides[low + 1] * t
        along = np.gradient(strands, axis=1)
        across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
        s = np.linspace(0.0, 1.0, _STEPS)
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        cycles = rng.uniform(0.6, 1.7, (count, 1))
        sway = np.sin(2 * np.pi * cycles * s + phase) * (self.frizz + self.wave * s)
        return np.asarray(strands + across * sway[..., None], np.float64)


def paint_hair(
    canvas: Canvas,
    params: FaceParams,
    sheets: Sequence[Sheet],
    studio: Studio,
    *,
    depth: float = 0.05,
    dim: float = 1.0,
    shadow: float = 0.6,
    shine: float = 1.0,
) -> None:
    """Lay the sheets over the picture as one mass of hair, with its shadow on what lies below."""
    raster = canvas.raster
    rng = np.random.default_rng(params.seed + 101)
    core = raster.fill_all([sheet.outline for sheet in sheets])
    light, dark, wisps = _strands(raster, sheets, rng)
    mask = np.maximum(raster.soften(core, 0.0009) * _feather(raster, sheets), 0.9 * wisps)
    if shadow > 0:
        _cast_shadow(canvas, params, mask, shadow)
    tone = raster.soften(light, 0.0005) - raster.soften(dark, 0.0005)
    tone = 0.8 * tone + 0.9 * _locks(raster, sheets, rng)
    relief = depth * raster.inflate(mask, 0.05, 0.005)
    relief += 0.0016 * raster.soften(tone, 0.0014)
    colour = to_linear(params.hair_colour) * np.float32(dim)
    albedo = colour * np.clip(1.0 + 0.42 * tone, 0.25, 2.2)[..., None]
    lit = studio.lit(raster, np.asarray(relief, np.float32), albedo, HAIR, mask)
    smooth = depth * raster.inflate(mask, 0.05, 0.012)
    tangent = _combing(raster, sheets)
    gleam = _shine(raster, params, studio, np.asarray(smooth, np.float32), tangent, tone)
    lit += gleam * np.float32(dim * shine)
    canvas.cover(to_srgb(lit), mask)


def paint_parting(canvas: Canvas, params: FaceParams, line: Points) -> None:
    """The line of scalp where the hair divides, from the forehead [N, 2] back."""
    raster = canvas.raster
    even = resample(curve(line), 30)
    stripe = raster.taper(even, 0.0052, start=0.8, end=0.1)
    hollow = raster.soften(raster.taper(even, 0.014, start=0.6, end=0.1), 0.0055)
    canvas.shade(hollow * 0.55, (0.35, 0.27, 0.24))
    scalp = mix(skin_colour(params), params.hair_colour, 0.45)
    canvas.paint(scalp, raster.soften(stripe, 0.0008) * 0.60)


def _feather(raster: Raster, sheets: Sequence[Sheet]) -> Field:
    """1 where hair is dense, less along soft roots and tips."""
    thin = raster.zeros()
    for sheet in sheets:
        for softness, end in ((sheet.soft_roots, 0), (sheet.soft_tips, -1)):
            if softness:
                edge = raster.soften(raster.stroke(sheet.guides[:, end], 0.010), 0.0045)
                thin = np.maximum(thin, softness * edge)
    return np.asarray(1.0 - np.clip(thin * 1.5, 0.0, 1.0), np.float32)


def _strands(
    raster: Raster, sheets: Sequence[Sheet], rng: np.random.Generator
) -> tuple[Field, Field, Field]:
    """Coverage of the lighter strands, of the darker ones, and of all."""
    groups: list[Field] = []
    for low, high, density in ((0.0018, 0.0045, 520), (0.0016, 0.0050, 560)):
        outlines: list[Points] = []
        for sheet in sheets:
            count = max(int(density * sheet.span * sheet.density), 6)
            width = rng.uniform(low, high, count)
            outlines += _ribbons(sheet.comb(count, rng), width, rng)
        groups.append(raster.fill_all(outlines))
    fine: list[Points] = []
    for sheet in sheets:
        count = max(int(420 * sheet.span * sheet.density), 6)
        fine += _ribbons(sheet.comb(count, rng), np.full(count, 0.0014), rng)
    bright = raster.fill_all(fine)
    light, dark = groups
    wisps = np.maximum(np.maximum(light, dark), bright)
    return np.asarray(0.7 * light * (1 - dark) + 0.6 * bright, np.float32), dark, wisps


def _locks(raster: Raster, sheets: Sequence[Sheet], rng: np.random.Generator) -> Field:
    """Broad soft variation: hair hangs together in locks."""
    tone = raster.zeros()
    for sign in (1.0, -1.0):
        outlines: list[Points] = []
        for sheet in sheets:
            count = max(int(46 * sheet.span * sheet.density), 2)
            outlines += _ribbons(sheet.comb(count, rng), rng.uniform(0.008, 0.016, count), rng)
        tone += sign * raster.soften(raster.fill_all(outlines), 0.0022)
    return tone


def _ribbons(
    strands: NDArray[np.float64], widths: NDArray[np.float64], rng: np.random.Generator
) -> list[Points]:
    s = np.linspace(0.0, 1.0, _STEPS)
    starts = rng.integers(0, 3, len(strands))
    stops = rng.integers(_STEPS - 7, _STEPS + 1, len(strands))
    swell = np.minimum(1.0, 0.25 + 8.0 * s) * np.minimum(1.0, 2.5 * (1 - s) + 0.05)
    outlines = []
    for strand, width, start, stop in zip(strands, widths, starts, stops, strict=True):
        outlines.append(ribbon(strand[start:stop:2], width * swell[start:stop:2]))
    return outlines


def _cast_shadow(canvas: Canvas, params: FaceParams, mask: Field, amount: float) -> None:
    raster = canvas.raster
    drop = max(int(0.010 * raster.size), 1)
    slide = drop // 2 if params.light_from == "left" else -(drop // 2)
    lower = np.roll(np.roll(raster.soften(mask, 0.008), drop, axis=0), slide, axis=1)
    near = raster.soften(mask, 0.0035)
    on_person = canvas.person
    canvas.shade(lower * on_person * amount, (0.52, 0.36, 0.32))
    canvas.shade(near * on_person * amount * 0.7, (0.50, 0.36, 0.32))


def _combing(raster: Raster, sheets: Sequence[Sheet]) -> tuple[Field, Field]:
    """The direction that the hair runs in, x and y, interpolated over the picture."""
    factor = 8 if raster.size % 8 == 0 else 1
    n = raster.size // factor
    total = np.zeros((3, n, n), np.float64)
    for sheet in sheets:
        along = np.gradient(sheet.guides, axis=1)
        along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
        cells = np.clip((sheet.guides * n).astype(np.intp), 0, n - 1).reshape(-1, 2)
        flat = along.reshape(-1, 2)
        for channel, values in enumerate((flat[:, 0], flat[:, 1], np.ones(len(flat)))):
            np.add.at(total[channel], (cells[:, 1], cells[:, 0]), values)
    blurred = ndimage.gaussian_filter(total, (0, 1.6 * n / 96, 1.6 * n / 96)) + 1e-9
    tx, ty = (enlarge(np.asarray(blurred[i] / blurred[2], np.float32), factor) for i in (0, 1))
    length = np.maximum(np.hypot(tx, ty), 1e-3)
    return tx / length, ty / length


def _shine(
    raster: Raster,
    params: FaceParams,
    studio: Studio,
    relief: Field,
    tangent: tuple[Field, Field],
    tone: Field,
) -> NDArray[np.float32]:
    """Highlights across the strands (Kajiya and Kay 1989, two shifted lobes), linear RGB."""
    slope_y, slope_x = np.gradient(relief * raster.size)
    tx, ty = tangent
    tz = tx * slope_x + ty * slope_y
    nx, ny, nz = normals(relief, raster.size)
    half = studio.key + np.asarray((0, 0, 1), np.float32)
    half = half / np.linalg.norm(half)
    out = np.zeros((raster.size, raster.size, 3), np.float32)
    colour = to_linear(params.hair_colour)
    bright = colour / max(float(colour.max()), 0.05)
    facing = np.clip(nx * studio.key[0] + ny * studio.key[1] + nz * studio.key[2] + 0.2, 0, 1)
    lobes = (
        (0.10, 60.0, 0.13, np.asarray((1.0, 0.97, 0.93), np.float32)),
        (-0.12, 14.0, 0.24 * (0.25 + float(colour.max())), np.asarray(bright, np.float32)),
    )
    for offset, exponent, strength, tint in lobes:
        shift = offset + 0.14 * tone
        sx, sy, sz = tx + shift * nx, ty + shift * ny, tz + shift * nz
        length = np.sqrt(sx * sx + sy * sy + sz * sz) + 1e-6
        cosine = (sx * half[0] + sy * half[1] + sz * half[2]) / length
        band = np.power(np.maximum(1.0 - cosine * cosine, 0.0), exponent / 2)
        amount = band * facing * strength * np.clip(0.75 + 0.5 * tone, 0.2, 1.6)
        out += np.asarray(amount, np.float32)[..., None] * tint
    return out
