"""Where the iris of an eye is, and how the part of it looks that lids and a catch light hide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.photo.filling import blur, dilate
from pipelines.photo.geometry import IRIS, Array, Face, Mask, Side, single

_ASIDE, _UP_DOWN = np.linspace(-0.2, 0.2, 9), np.linspace(-0.15, 0.15, 5)  # radii, from the mesh's
_SIZES = np.linspace(0.82, 1.3, 13)  # of the mesh's radius, which knows no wide iris
_STRAY = 0.5  # what a fit must gain, in brightness, for a whole radius away from the mesh's disc
_RINGS = 13  # of a tenth of the radius


@dataclass(frozen=True)
class Disc:
    """An iris, as a patch sees it."""

    radius: float  # face units
    distance: Array  # [H, W] from its middle, face units
    height: Array  # [H, W] above or below its middle, face units

    def alpha(self, pixel: float) -> Array:
        """Its share of each pixel, above 0 as far as its blurred edge goes: [H, W]."""
        reach = 1.06 * self.radius + 3.0 * pixel - self.distance
        return single(np.clip(reach / (0.12 * self.radius + 1.5 * pixel), 0.0, 1.0))

    def beside(self, steep: float) -> Mask:
        """Where it is looked at rather from the side than from above or below: [H, W]."""
        return np.asarray(self.height < steep * self.distance)

    def completed(self, bare: Tensor, inside: Mask) -> Tensor:
        """The usual colour of `bare` [3, H, W] at each distance from its middle: [3, H, W]."""
        rings = np.clip((self.distance / self.radius * 10).astype(np.int64), 0, _RINGS - 1)
        colours = bare.numpy()
        profile = np.zeros((_RINGS, 3), dtype=np.float32)
        last = np.full(3, 0.05, np.float32)
        for i in range(_RINGS):
            ring = inside & (rings == i)
            if i < 11 and ring.sum() >= 3:  # beyond that it is white
                last = single(np.median(colours[:, ring], axis=1))
            profile[i] = last
        return blur(torch.from_numpy(profile[rings].transpose(2, 0, 1).copy()), 1.0)

    def catch_light(self, bare: Tensor, completed: Tensor, inside: Mask) -> Tensor:
        """Where the light is mirrored in it: [1, H, W] in 0..1, soft."""
        iris = inside & (self.distance < 0.9 * self.radius)
        bright, usual = bare.numpy().mean(axis=0), completed.numpy().mean(axis=0)
        spot = iris & (bright > usual + 0.16) & (bright > 0.35)
        if spot.sum() > 0.22 * iris.sum():  # a bright, mottled iris
            return torch.zeros_like(bare[:1])
        return dilate(torch.from_numpy(single(spot))[None], 1)


def find_disc(face: Face, side: Side, patch: Tensor, at: Array, pixel: float) -> Disc:
    """The disc near the mesh's at whose sides `patch` [3, H, W] turns most from dark to bright."""
    points = face.points[list(IRIS[side]), :2]
    guess = float(np.linalg.norm(points[1:] - points[0], axis=1).mean())
    offers = np.stack(np.meshgrid(_ASIDE, _UP_DOWN, _SIZES, indexing="ij"), axis=-1).reshape(-1, 3)
    turn = np.linspace(-0.75, 0.75, 13)
    turn = np.concatenate([turn, turn + np.pi])
    sides = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    middles = points[0] + guess * offers[:, None, :2]
    width = max(0.12 * guess, 1.2 * pixel)
    rim = face.eyes[side]
    bright = patch.numpy().mean(axis=0)
    seen, inside = [], np.ones((len(offers), len(turn)), dtype=bool)
    for away in (-width, width):
        where = middles + (guess * offers[:, 2:, None] + away) * sides  # [N, T, 2]
        column = (where - at[0, 0]) @ _per_pixel(at)
        rows, columns = (
            np.clip(column[..., i].round(), 0, n - 1).astype(np.int64)
            for i, n in ((1, bright.shape[0]), (0, bright.shape[1]))
        )
        seen.append(bright[rows, columns])
        x, y = where[..., 0], where[..., 1]
        inside &= (y > rim.upper_at(x) + pixel) & (y < rim.lower_at(x) - pixel)
    count = inside.sum(axis=1)
    steps = np.clip(seen[1] - seen[0], -0.3, 0.3)
    gain = (steps * inside).sum(axis=1) / np.maximum(count, 8)
    gain -= _STRAY * ((offers[:, :2] ** 2).sum(axis=1) + 0.3 * (offers[:, 2] - 1.0) ** 2)
    best = offers[int(np.argmax(gain))]
    x, y = points[0] + guess * best[:2]
    return Disc(
        radius=guess * float(best[2]),
        distance=single(np.hypot(at[..., 0] - x, at[..., 1] - y)),
        height=single(np.abs(at[..., 1] - y)),
    )


def _per_pixel(at: Array) -> Array:
    """[2, 2]: face units times this are columns and rows of a patch whose pixels are `at`."""
    return single(np.linalg.inv(np.stack([at[0, 1] - at[0, 0], at[1, 0] - at[0, 0]])))
