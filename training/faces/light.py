"""Light on drawn surfaces: a height map is shaded as if lit in a studio, key, fill, rim and sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.faces.params import FaceParams
from training.faces.raster import Field, Raster

RGB = NDArray[np.float32]  # [H, W, 3]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """How a material answers light."""

    wrap: tuple[float, float, float] = (0.2, 0.2, 0.2)  # light past the terminator, per channel
    gloss: float = 0.0  # strength of the highlight
    sharpness: float = 20.0  # exponent of the highlight
    sheen: float = 0.0  # light at grazing angles
    occlusion: float = 8.0  # darkening of hollows
    depth: float = 0.0  # how much richer the colour grows in shadow, as light does inside skin


SKIN = Surface(
    wrap=(0.50, 0.33, 0.27), gloss=0.11, sharpness=16.0, sheen=0.06, occlusion=13.0, depth=0.50
)
CLOTH = Surface(wrap=(0.30, 0.30, 0.30), sheen=0.10, occlusion=6.0)


def unit(x: float, y: float, z: float) -> NDArray[np.float32]:
    """The direction as a unit vector [3]."""
    vector = np.asarray((x, y, z), np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def normals(height: Field, size: int) -> tuple[Field, Field, Field]:
    """Unit surface normals of the height map (design units), x, y and z; z points at the viewer."""
    slope_y, slope_x = np.gradient(height * size)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1.0)
    return (
        np.asarray(-slope_x / length, np.float32),
        np.asarray(-slope_y / length, np.float32),
        np.asarray(1.0 / length, np.float32),
    )


@dataclass(frozen=True)
class Studio:
    """The lamps of one portrait."""

    key: NDArray[np.float32]  # direction [3] to the key light
    fill: NDArray[np.float32]
    key_colour: NDArray[np.float32]  # linear RGB [3]
    fill_colour: NDArray[np.float32]
    sky_colour: NDArray[np.float32]
    ground_colour: NDArray[np.float32]

    @classmethod
    def of(cls, params: FaceParams) -> Studio:
        """The studio that `params` ask for."""
        side = -1.0 if params.light_from == "left" else 1.0
        warm, hard = params.light_warmth, params.light_contrast
        key = np.asarray((1 + 0.05 * warm, 1.0, 1 - 0.09 * warm), np.float32)
        fill = np.asarray((1 - 0.04 * warm, 0.98, 1 + 0.08 * warm), np.float32)
        return cls(
            key=unit(0.68 * side, -0.62, 0.70),
            fill=unit(-0.80 * side, -0.05, 0.62),
            key_colour=key * np.float32(0.68 + 0.22 * hard),
            fill_colour=fill * np.float32(0.22 - 0.09 * hard),
            sky_colour=np.asarray((0.270, 0.278, 0.300), np.float32) * np.float32(1 - 0.25 * hard),
            ground_colour=np.asarray((0.230, 0.185, 0.165), np.float32)
            * np.float32(1 - 0.3 * hard),
        )

    def lit(
        self,
        raster: Raster,
        height: Field,
        albedo: RGB,
        surface: Surface,
        mask: Field,
        *,
        gloss: Field | float = 1.0,
        shadow: Field | float = 0.0,
    ) -> RGB:
        """Linear light [H, W, 3] coming off the surface where `mask` is not empty.

        `height` [H, W] is in design units; `albedo` [H, W, 3] is linear; `gloss`, a number or
        [H, W], scales the material's highlight; `shadow`, in [0, 1], takes the key light away.
        """
        frame = raster.frame(mask)
        out = np.zeros((raster.size, raster.size, 3), np.float32)
        if not mask[frame].size:
            return out
        parts = [
            np.broadcast_to(np.asarray(part, np.float32), mask.shape)[frame]
            for part in (height, gloss, shadow)
        ]
        out[frame] = self._lit(raster, parts[0], albedo[frame], surface, parts[1], parts[2])
        return out

    def _lit(
        self,
        raster: Raster,
        height: Field,
        albedo: RGB,
        surface: Surface,
        gloss: Field,
        shadow: Field,
    ) -> RGB:
        n = normals(height, raster.size)
        wrap = np.asarray(surface.wrap, np.float32)
        facing = _dot(n, self.key)[..., None]
        lambert = np.clip((facing + wrap) / (1 + wrap), 0.0, 1.0) ** (1 + 0.5 * wrap)
        key = lambert * (1.0 - shadow)[..., None] * self.key_colour
        fill = np.clip(_dot(n, self.fill) + 0.3, 0.0, None)[..., None] / 1.3 * self.fill_colour
        up = (0.5 - 0.5 * n[1])[..., None]
        sky = self.sky_colour * up + self.ground_colour * (1 - up)
        cavity = raster.soften(height, 0.022) - height
        closed = np.clip(cavity * surface.occlusion, 0.0, 0.6)[..., None]
        bleed = np.asarray((0.75, 1.0, 1.0), np.float32)  # hollows of skin glow red
        light = (key + fill + sky) * (1.0 - closed * bleed)
        out = albedo * light
        if surface.depth:
            out *= _enriched(albedo, light, surface.depth)
        out += self._highlights(n, surface, gloss, shadow)[..., None] * self.key_colour
        return np.asarray(out, np.float32)

    def _highlights(
        self,
        n: tuple[Field, Field, Field],
        surface: Surface,
        gloss: Field,
        shadow: Field,
    ) -> Field:
        half = self.key + np.asarray((0, 0, 1), np.float32)
        half /= np.linalg.norm(half)
        toward = np.clip(_dot(n, half), 0.0, 1.0)
        broad = toward**surface.sharpness + 0.55 * toward ** (surface.sharpness * 5)
        grazing = (1.0 - n[2]) ** 3 * np.clip(-n[1] + 0.5, 0.0, 1.0)
        spot = surface.gloss * broad * (1.0 - 0.8 * shadow)
        return np.asarray(spot * gloss + surface.sheen * grazing, np.float32)


def _enriched(albedo: RGB, light: RGB, depth: float) -> RGB:
    """The factor [H, W, 3] by which light scattered under the skin colours its shadows."""
    paleness = np.clip(1.3 * albedo.max(axis=-1, keepdims=True), 0.15, 1.0)
    dim = np.clip(1.0 - light.mean(axis=-1, keepdims=True), 0.0, 1.0) * paleness * depth
    hue = albedo / albedo.mean(axis=-1, keepdims=True)
    return np.asarray(1.0 + dim * (hue - 1.0), np.float32)


def _dot(n: tuple[Field, Field, Field], direction: NDArray[np.float32]) -> Field:
    return np.asarray(n[0] * direction[0] + n[1] * direction[1] + n[2] * direction[2], np.float32)
