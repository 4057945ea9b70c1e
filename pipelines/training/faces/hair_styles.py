"""Combed hair styles: where the guides of each run, drawn on an average head and fitted to this."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.training.faces.anatomy import MIDDLE, Anatomy
from pipelines.training.faces.hair import Sheet
from pipelines.training.faces.params import FaceParams
from pipelines.training.faces.raster import Points, mirror

Line = tuple[tuple[float, float], ...]
Layers = tuple[list[Sheet], list[Sheet]]  # behind the neck; over the face


class Fitter:
    """Carries guides from the average head with its parting on the left to this head."""

    def __init__(self, params: FaceParams, at: Anatomy) -> None:
        self._scale = at.temple_half / 0.157
        self._volume = params.hair_volume
        self._flip = params.parting == "right"
        self._lift = at.hairline_y - 0.300

    def __call__(self, *xy: tuple[float, float]) -> Points:
        line = np.asarray(xy, np.float64)
        x = MIDDLE + (line[:, 0] - MIDDLE) * self._scale
        y = line[:, 1] + self._lift * np.clip((0.42 - line[:, 1]) / 0.12, 0.0, 1.0)
        away_x, away_y = x - MIDDLE, y - 0.45
        outside = np.clip((np.hypot(away_x / 0.17, away_y / 0.27) - 0.96) * 6, 0.0, 1.0)
        grow = 1.0 + 0.07 * self._volume * outside
        placed = np.stack([MIDDLE + away_x * grow, 0.45 + away_y * np.minimum(grow, 1.05)], axis=1)
        return mirror(placed) if self._flip else placed


def _side_part(fit: Fitter) -> Layers:
    over = Sheet.of(
        fit((0.420, 0.290), (0.470, 0.258), (0.550, 0.258), (0.620, 0.300), (0.652, 0.365)),
        fit((0.424, 0.262), (0.480, 0.215), (0.565, 0.215), (0.640, 0.275), (0.668, 0.370)),
        fit((0.430, 0.225), (0.490, 0.176), (0.580, 0.176), (0.652, 0.245), (0.678, 0.375)),
        fit((0.440, 0.186), (0.500, 0.150), (0.590, 0.160), (0.662, 0.235), (0.684, 0.385)),
    )
    left = Sheet.of(
        fit((0.420, 0.290), (0.385, 0.305), (0.356, 0.345), (0.344, 0.405)),
        fit((0.425, 0.250), (0.375, 0.262), (0.335, 0.320), (0.327, 0.405)),
        fit((0.440, 0.186), (0.380, 0.195), (0.326, 0.270), (0.317, 0.405)),
    )
    return [], [*_sideburns(fit), left, over]


def _sideburns(fit: Fitter) -> list[Sheet]:
    sides = []
    for line in (
        (((0.345, 0.345), (0.346, 0.400), (0.345, 0.462)), ((0.318, 0.345), (0.320, 0.400), (0.334, 0.466))),
        (((0.655, 0.345), (0.654, 0.400), (0.655, 0.462)), ((0.682, 0.345), (0.680, 0.400), (0.666, 0.466))),
    ):
        sides.append(Sheet.of(fit(*line[0]), fit(*line[1]), density=1.6))
    return sides


def _swept(fit: Fitter) -> Layers:
    top = Sheet.of(
        fit((0.352, 0.352), (0.338, 0.300), (0.336, 0.250), (0.360, 0.200)),
        fit((0.385, 0.305), (0.372, 0.250), (0.384, 0.190), (0.430, 0.150)),
        fit((0.440, 0.288), (0.430, 0.220), (0.452, 0.150), (0.510, 0.122)),
        fit((0.510, 0.286), (0.510, 0.215), (0.535, 0.145), (0.585, 0.130)),
        fit((0.580, 0.294), (0.590, 0.225), (0.612, 0.170), (0.640, 0.180)),
        fit((0.640, 0.335), (0.655, 0.285), (0.668, 0.245), (0.664, 0.235)),
        fit((0.650, 0.360), (0.668, 0.320), (0.678, 0.290), (0.676, 0.285)),
    )
    sides = Sheet.of(
        fit((0.336, 0.262), (0.322, 0.330), (0.320, 0.400)),
        fit((0.352, 0.300), (0.342, 0.350), (0.345, 0.410)),
    )
    right = Sheet.of(
        fit((0.664, 0.262), (0.680, 0.330), (0.680, 0.400)),
        fit((0.648, 0.300), (0.660, 0.350), (0.655, 0.410)),
    )
    return [], [*_sideburns(fit), sides, right, top]


def _bob(fit: Fitter) -> Layers:
    return [_back(fit, 0.705, 0.285, 0.715)], _curtains(fit, end=0.715, wave=0.0)


def _back(fit: Fitter, end: float, left: float, right: float) -> Sheet:
    guides = []
    for x in np.linspace(left, right, 7):
        bow = 0.010 * (x - MIDDLE) / 0.2
        guides.append(fit((x - bow, 0.330), (x + bow, 0.520), (x, (0.52 + end) / 2), (x - bow, end)))
    return Sheet.of(*guides)


def _curtains(fit: Fitter, *, end: float, wave: float) -> list[Sheet]:
    """Two curtains from a side parting, framing the face down to `end`."""
    mid = (0.58 + end) / 2
    right = Sheet.of(
        fit((0.447, 0.262), (0.520, 0.272), (0.612, 0.330), (0.652, 0.440), (0.662, 0.580), (0.655, mid), (0.640, end)),
        fit((0.448, 0.230), (0.540, 0.225), (0.642, 0.300), (0.680, 0.440), (0.688, 0.580), (0.680, mid), (0.660, end + 0.004)),
        fit((0.450, 0.190), (0.555, 0.170), (0.668, 0.260), (0.708, 0.430), (0.715, 0.580), (0.710, mid), (0.690, end)),
        fit((0.452, 0.166), (0.560, 0.148), (0.678, 0.240), (0.722, 0.420), (0.730, 0.580), (0.726, mid), (0.706, end - 0.008)),
        wave=wave,
    )
    left = Sheet.of(
        fit((0.447, 0.262), (0.405, 0.290), (0.362, 0.360), (0.345, 0.460), (0.338, 0.590), (0.345, mid), (0.360, end)),
        fit((0.448, 0.230), (0.395, 0.245), (0.338, 0.330), (0.315, 0.450), (0.310, 0.590), (0.318, mid), (0.338, end + 0.004)),
        fit((0.450, 0.190), (0.385, 0.195), (0.318, 0.280), (0.290, 0.430), (0.284, 0.590), (0.290, mid), (0.310, end)),
        fit((0.452, 0.166), (0.380, 0.170), (0.306, 0.260), (0.276, 0.420), (0.270, 0.590), (0.275, mid), (0.294, end - 0.008)),
        wave=wave,
    )
    return [left, right]


def _long_straight(fit: Fitter) -> Layers:
    return [_back(fit, 0.900, 0.275, 0.725)], _curtains(fit, end=0.930, wave=0.002)


def _long_wavy(fit: Fitter) -> Layers:
    sheets = [_waved(sheet, 0.011) for sheet in _curtains(fit, end=0.910, wave=0.005)]
    return [_waved(_back(fit, 0.890, 0.265, 0.735), 0.012)], sheets


def _waved(sheet: Sheet, amount: float) -> Sheet:
    """The sheet with waves that grow toward the tips."""
    guides = sheet.guides.copy()
    s = np.linspace(0.0, 1.0, guides.shape[1])
    phase = np.linspace(0.0, 3.0, len(guides))[:, None]
    guides[..., 0] += amount * np.sin(2 * np.pi * 2.6 * s + phase) * np.clip(2.2 * s - 0.5, 0, 1)
    return Sheet(guides=guides, density=sheet.density, wave=sheet.wave, frizz=sheet.frizz)


def _bun(fit: Fitter) -> Layers:
    knot = (0.500, 0.150)
    roots = (
        (0.336, 0.440), (0.342, 0.380), (0.358, 0.335), (0.392, 0.300), (0.440, 0.284), (0.500, 0.280),
        (0.560, 0.284), (0.608, 0.300), (0.642, 0.335), (0.658, 0.380), (0.664, 0.440),
    )
    outward = (
        (0.316, 0.330), (0.322, 0.290), (0.340, 0.255), (0.388, 0.230), (0.442, 0.220), (0.500, 0.216),
        (0.558, 0.220), (0.612, 0.230), (0.660, 0.255), (0.678, 0.290), (0.684, 0.330),
    )
    crown = (
        (0.388, 0.190), (0.392, 0.195), (0.405, 0.196), (0.435, 0.190), (0.465, 0.178), (0.500, 0.172),
        (0.535, 0.178), (0.565, 0.190), (0.595, 0.196), (0.608, 0.195), (0.612, 0.190),
    )
    guides = [
        fit(root, out, top, (knot[0] + (top[0] - 0.5) * 0.25, knot[1]))
        for root, out, top in zip(roots, outward, crown, strict=True)
    ]
    return [], [_knot(fit, 0.118, 0.062), Sheet.of(*guides, density=1.2)]


def _knot(fit: Fitter, y: float, radius: float) -> Sheet:
    guides = []
    for ring in np.linspace(0.10, 1.0, 5):
        angles = np.linspace(2.6, 2.6 + 1.85 * np.pi, 7)
        guides.append(
            fit(*((0.5 + radius * ring * np.cos(a), y + 0.8 * radius * ring * np.sin(a)) for a in angles))
        )
    return Sheet.of(*guides, frizz=0.002)


def _pixie(fit: Fitter) -> Layers:
    fringe = Sheet.of(
        fit((0.440, 0.200), (0.500, 0.222), (0.580, 0.270), (0.640, 0.345), (0.656, 0.420)),
        fit((0.445, 0.185), (0.530, 0.195), (0.615, 0.250), (0.664, 0.345), (0.672, 0.450)),
        fit((0.450, 0.168), (0.550, 0.160), (0.650, 0.225), (0.690, 0.340), (0.686, 0.470)),
    )
    front = Sheet.of(
        fit((0.440, 0.200), (0.452, 0.240), (0.500, 0.290), (0.570, 0.330)),
        fit((0.442, 0.198), (0.480, 0.240), (0.545, 0.290), (0.622, 0.345)),
        fit((0.444, 0.196), (0.510, 0.230), (0.590, 0.275), (0.652, 0.375)),
    )
    left = Sheet.of(
        fit((0.440, 0.215), (0.400, 0.262), (0.366, 0.330), (0.346, 0.440)),
        fit((0.445, 0.190), (0.378, 0.220), (0.330, 0.310), (0.322, 0.460)),
        fit((0.450, 0.168), (0.368, 0.180), (0.312, 0.280), (0.308, 0.470)),
    )
    return [], [left, fringe, front]


def _crop(fit: Fitter) -> Layers:
    top = Sheet.of(
        fit((0.330, 0.290), (0.350, 0.225), (0.385, 0.235), (0.372, 0.318)),
        fit((0.365, 0.215), (0.392, 0.195), (0.425, 0.235), (0.420, 0.302)),
        fit((0.420, 0.165), (0.455, 0.170), (0.482, 0.230), (0.480, 0.298)),
        fit((0.500, 0.150), (0.530, 0.165), (0.545, 0.230), (0.540, 0.298)),
        fit((0.590, 0.168), (0.600, 0.190), (0.604, 0.240), (0.595, 0.304)),
        fit((0.650, 0.225), (0.645, 0.240), (0.640, 0.275), (0.632, 0.325)),
        fit((0.675, 0.300), (0.668, 0.310), (0.660, 0.325), (0.650, 0.345)),
        frizz=0.004,
    )
    sides = [
        Sheet.of(fit((0.332, 0.270), (0.320, 0.340), (0.319, 0.410)), fit((0.372, 0.300), (0.348, 0.350), (0.345, 0.412))),
        Sheet.of(fit((0.668, 0.270), (0.680, 0.340), (0.681, 0.410)), fit((0.628, 0.300), (0.652, 0.350), (0.655, 0.412))),
    ]
    return [], [*_sideburns(fit), *sides, top]


def _balding(fit: Fitter) -> Layers:
    sides = [
        Sheet.of(
            fit((0.346, 0.345), (0.343, 0.400), (0.344, 0.462)),
            fit((0.330, 0.325), (0.318, 0.390), (0.318, 0.470)),
            fit((0.326, 0.315), (0.306, 0.380), (0.308, 0.478)),
            frizz=0.003,
        ),
        Sheet.of(
            fit((0.654, 0.345), (0.657, 0.400), (0.656, 0.462)),
            fit((0.670, 0.325), (0.682, 0.390), (0.682, 0.470)),
            fit((0.674, 0.315), (0.694, 0.380), (0.692, 0.478)),
            frizz=0.003,
        ),
    ]
    return [], sides


COMBED: dict[str, Callable[[Fitter], Layers]] = {
    "side_part": _side_part,
    "swept": _swept,
    "bob": _bob,
    "long_straight": _long_straight,
    "long_wavy": _long_wavy,
    "bun": _bun,
    "pixie": _pixie,
    "crop": _crop,
    "balding": _balding,
}
