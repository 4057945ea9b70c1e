"""The drawing surface: vector shapes to float masks, soft blurs, and a canvas.

Design space is the unit square, x to the right, y down, whatever the size of the picture. Shapes
are rasterised by Skia with anti-aliasing; what follows is float32, so gradients do not band.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import skia
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]  # [H, W], one value per pixel
Colour = tuple[float, float, float]  # sRGB, each in [0, 1]
Points = NDArray[np.float64]  # [N, 2], x and y in design space

_TILE = 16  # pixels; the coarsest grid that blurs are computed on


def points(*xy: tuple[float, float]) -> Points:
    """The points as an array [N, 2]."""
    return np.asarray(xy, np.float64)


def curve(control: Points, count: int = 24, *, closed: bool = False) -> Points:
    """A smooth curve through `control` [N, D], as `count` samples per span: Catmull-Rom."""
    if closed:
        padded = np.concatenate([control[-1:], control, control[:2]])
    else:
        first, last = 2 * control[0] - control[1], 2 * control[-1] - control[-2]
        padded = np.concatenate([first[None], control, last[None]])
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = (np.arange(count) / count)[None, :, None]
    spans = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    smooth = spans.reshape(-1, control.shape[1])
    return smooth if closed else np.concatenate([smooth, control[-1:]])


def resample(line: Points, count: int) -> Points:
    """`count` points [count, 2] evenly spaced along the polyline."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    want = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(want, along, line[:, i]) for i in (0, 1)], axis=1)


def mirror(line: Points) -> Points:
    """The points reflected about the middle of the picture, in the same order."""
    return np.stack([1.0 - line[:, 0], line[:, 1]], axis=1)


def shifted(line: Points, right: float, down: float = 0.0) -> Points:
    """The points moved."""
    return np.asarray(line + np.asarray((right, down)), np.float64)


def both_halves(right: Points) -> Points:
    """A symmetric outline from its right half, which runs from one end of the axis to the other."""
    return np.concatenate([right, mirror(right)[::-1]])


def ribbon(line: Points, widths: NDArray[np.float64]) -> Points:
    """The outline [2N, 2] of a stroke along `line` [N, 2] whose full width varies: `widths` [N]."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * widths[:, None] / 2
    return np.concatenate([line + normal, (line - normal)[::-1]])


def path(outline: Points, *, closed: bool = True) -> skia.Path:
    """A Skia path through the points, straight between them."""
    shape = skia.Path()
    shape.addPoly([skia.Point(float(x), float(y)) for x, y in outline], closed)
    return shape


def smoothstep(low: float, high: float, value: Field) -> Field:
    """0 at `low`, 1 at `high` (which may be the smaller), smooth between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour `t` of the way from `a` to `b`."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def hex_colour(code: str) -> Colour:
    """'#rrggbb' as a colour."""
    return (int(code[1:3], 16) / 255, int(code[3:5], 16) / 255, int(code[5:7], 16) / 255)


def to_linear(colour: NDArray[np.float32] | Colour) -> NDArray[np.float32]:
    """sRGB to linear light, by the gamma 2.2 approximation."""
    return np.asarray(np.maximum(np.asarray(colour, np.float32), 0.0) ** 2.2, np.float32)


def to_srgb(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light to sRGB, by the gamma 2.2 approximation."""
    return np.asarray(np.maximum(light, 0.0) ** (1 / 2.2), np.float32)


class Raster:
    """The pixel grid of one picture of `size` x `size` pixels."""

    def __init__(self, size: int) -> None:
        if size < 64 or size % _TILE:
            raise ValueError(f"size must be a multiple of {_TILE}, 64 or more, not {size}")
        self.size = size

    @cached_property
    def x(self) -> Field:
        """Design-space x of every pixel centre, [1, W]."""
        return ((np.arange(self.size, dtype=np.float32) + 0.5) / self.size)[None, :]

    @cached_property
    def y(self) -> Field:
        """Design-space y of every pixel centre, [H, 1]."""
        return ((np.arange(self.size, dtype=np.float32) + 0.5) / self.size)[:, None]

    def frame(self, mask: Field) -> tuple[slice, slice]:
        """The part of the picture, a whole number of tiles, outside of which `mask` is empty."""
        rows, columns = _extent(mask)
        return _to_tiles(rows, self.size), _to_tiles(columns, self.size)

    def zeros(self) -> Field:
        """A field of zeros."""
        return np.zeros((self.size, self.size), np.float32)

    def fill(self, outline: Points) -> Field:
        """Coverage, in [0, 1], of the closed outline [N, 2]."""
        return self._draw([path(outline)], skia.Paint(AntiAlias=True))

    def fill_all(self, outlines: Sequence[Points]) -> Field:
        """Coverage of the union of the closed outlines."""
        return self._draw([path(outline) for outline in outlines], skia.Paint(AntiAlias=True))

    def stroke(self, line: Points, width: float) -> Field:
        """Coverage of a stroke with round ends along the open `line` [N, 2]."""
        pen = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=width)
        pen.setStrokeCap(skia.Paint.kRound_Cap)
        pen.setStrokeJoin(skia.Paint.kRound_Join)
        return self._draw([path(line, closed=False)], pen)

    def taper(self, line: Points, width: float, *, start: float = 0.0, end: float = 0.0) -> Field:
        """Coverage of a stroke that swells to `width`; its ends have `start`, `end` of that."""
        even = resample(line, 40)
        t = np.linspace(0.0, 1.0, len(even))
        swell = np.sin(np.pi * t) ** 0.7
        return self.fill(ribbon(even, width * (swell + (1 - swell) * (start + (end - start) * t))))

    def _draw(self, shapes: Sequence[skia.Path], paint: skia.Paint) -> Field:
        alpha = np.zeros((self.size, self.size), np.uint8)
        canvas = skia.Surface(alpha, colorType=skia.kAlpha_8_ColorType).getCanvas()
        canvas.scale(self.size, self.size)
        for shape in shapes:
            canvas.drawPath(shape, paint)
        return np.asarray(alpha, np.float32) / 255.0

    def strands(
        self, roots: Points, tips: Points, width: float, bend: NDArray[np.float64] | float = 0.0
    ) -> Field:
        """Coverage of fine hairs, each thick at its root [N, 2] and pointed at its tip [N, 2].

        `bend` moves the middle sideways, as a share of the length, to the left of root-to-tip.
        """
        along = tips - roots
        across = np.stack([along[:, 1], -along[:, 0]], axis=1)
        length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
        half = across / length * width / 2
        middle = (roots + tips) / 2 + across * np.reshape(np.asarray(bend, np.float64), (-1, 1))
        outlines = np.stack(
            [roots + half, middle + 0.7 * half, tips, middle - 0.7 * half, roots - half], axis=1
        )
        return self.fill_all(list(outlines))

    def soften(self, field: Field, sigma: float) -> Field:
        """Gaussian blur; `sigma` in design units. Wide blurs are computed on a coarser grid.

        `field` may be a part of the picture cut out by `frame`.
        """
        sigma_px = sigma * self.size
        factor = 1
        while sigma_px / factor > 6.0 and factor < _TILE:
            factor *= 2
        if factor == 1:
            return _blur_what_is_there(field, sigma_px)
        rows, columns = field.shape[0] // factor, field.shape[1] // factor
        coarse = field.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
        coarse = ndimage.gaussian_filter(coarse, sigma_px / factor, truncate=3.0, mode="nearest")
        return enlarge(coarse, factor)

    def dot(self, cx: float, cy: float, rx: float, ry: float | None = None) -> Field:
        """A Gaussian spot of height 1; `rx`, `ry` are its standard deviations."""
        u, v = (self.x - cx) / rx, (self.y - cy) / (rx if ry is None else ry)
        return np.asarray(np.exp(-0.5 * u * u) * np.exp(-0.5 * v * v), np.float32)

    def inflate(self, mask: Field, radius: float, rounding: float = 0.004) -> Field:
        """A pillow over the mask: 0 outside, rising as a quarter circle to 1 at depth `radius`."""
        inside = np.asarray(mask[::2, ::2] > 0.5)
        if not inside.any():
            return self.zeros()
        depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
        depth = ndimage.gaussian_filter(
            np.asarray(depth * 2 / self.size, np.float32), rounding * self.size / 2
        )
        t = np.clip(enlarge(depth, 2) / radius, 0.0, 1.0)
        return np.asarray(np.sqrt(np.maximum(t * (2.0 - t), 0.0)), np.float32)


def _blur_what_is_there(field: Field, sigma_px: float) -> Field:
    """Gaussian blur that spends no time on the empty parts of the field."""
    reach = int(3.0 * sigma_px) + 2
    filled = field != 0
    rows, columns = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    blurred = np.zeros(field.shape, np.float32)
    if len(rows):
        box = (
            slice(max(rows[0] - reach, 0), rows[-1] + reach + 1),
            slice(max(columns[0] - reach, 0), columns[-1] + reach + 1),
        )
        ndimage.gaussian_filter(
            field[box], sigma_px, truncate=3.0, mode="nearest", output=blurred[box]
        )
    return blurred


def enlarge(field: Field, factor: int) -> Field:
    """The field, `factor` times as large each way, interpolated linearly."""
    return _enlarge_rows(_enlarge_rows(field, factor).T, factor).T


def _enlarge_rows(field: Field, factor: int) -> Field:
    n = field.shape[0]
    at = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
    low = np.minimum(at.astype(np.intp), n - 2)
    t = np.asarray(at - low, np.float32)[:, None]
    return np.asarray(field[low] * (1 - t) + field[low + 1] * t, np.float32)


class Canvas:
    """What has been painted so far: colour [H, W, 3] and the person's coverage [H, W]."""

    def __init__(self, raster: Raster, background: NDArray[np.float32]) -> None:
        self.raster = raster
        self.rgb = background
        self.person = raster.zeros()

    def paint(self, colour: Colour | NDArray[np.float32], mask: Field) -> None:
        """Lay a colour (one, or [H, W, 3]) over the picture where `mask` says."""
        box = _extent(mask)
        tint = np.asarray(colour, np.float32)
        part = self.rgb[box]
        part += ((tint[box] if tint.ndim == 3 else tint) - part) * mask[box][..., None]

    def cover(self, colour: Colour | NDArray[np.float32], mask: Field) -> None:
        """As `paint`, for a part of the person: it also counts in the matte."""
        self.paint(colour, mask)
        self.person = 1.0 - (1.0 - self.person) * (1.0 - mask)

    def shade(self, mask: Field, colour: Colour = (0.0, 0.0, 0.0)) -> None:
        """Multiply the picture toward `colour` where `mask` says."""
        box = _extent(mask)
        self.rgb[box] *= 1.0 - mask[box][..., None] * (1.0 - np.asarray(colour, np.float32))

    def glow(self, mask: Field, colour: Colour = (1.0, 1.0, 1.0)) -> None:
        """Screen `colour` over the picture where `mask` says."""
        box = _extent(mask)
        part = self.rgb[box]
        part += (1.0 - part) * mask[box][..., None] * np.asarray(colour, np.float32)


def _to_tiles(span: slice, size: int) -> slice:
    low = max(span.start // _TILE - 1, 0) * _TILE
    return slice(low, max(min((span.stop // _TILE + 2) * _TILE, size), low))


def _extent(mask: Field) -> tuple[slice, slice]:
    """The rows and columns outside of which `mask` is next to nothing."""
    rows, columns = np.flatnonzero(mask.max(axis=1) > 1e-4), np.flatnonzero(mask.max(axis=0) > 1e-4)
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
