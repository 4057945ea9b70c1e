"""Combed hair styles: where the guides of each run, drawn on an average head and fitted to this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from training.faces.anatomy import MIDDLE, Anatomy
from training.faces.hair import Sheet
from training.faces.params import FaceParams
from training.faces.raster import Points, curve, mirror, resample, shifted

Line = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Style:
    """The sheets of one style in three layers, each over the one before."""

    behind: list[Sheet] = field(default_factory=list)  # behind neck and shoulders
    under: list[Sheet] = field(default_factory=list)
    over: list[Sheet] = field(default_factory=list)
    parting: Points | None = None  # the line where the hair divides
    under_depth: float = 0.05  # relief of `under`; short hair lies flat
    shine: float = 1.0


class Fitter:
    """Carries guides from the average head with its parting on the left to this head."""

    def __init__(self, params: FaceParams, at: Anatomy) -> None:
        self._scale = at.temple_half / 0.157
        self._volume = params.hair_volume
        self._flip = params.parting == "right"
        self._lift = at.hairline_y - 0.300

    def __call__(self, *xy: tuple[float, float]) -> Points:
        return self.fit(np.asarray(xy, np.float64))

    def fit(self, line: Points) -> Points:
        """The points [N, 2] of the average head on this one."""
        x = MIDDLE + (line[:, 0] - MIDDLE) * self._scale
        y = line[:, 1] + self._lift * np.clip((0.42 - line[:, 1]) / 0.12, 0.0, 1.0)
        away_x, away_y = x - MIDDLE, y - 0.45
        outside = np.clip((np.hypot(away_x / 0.17, away_y / 0.27) - 0.96) * 6, 0.0, 1.0)
        grow = 1.0 + 0.07 * self._volume * outside
        placed = np.stack([MIDDLE + away_x * grow, 0.45 + away_y * np.minimum(grow, 1.05)], axis=1)
        return mirror(placed) if self._flip else placed


# The skull with short hair, and the edge of the hair on the forehead; both from left to right.
_SILHOUETTE: Line = (
    (0.320, 0.420), (0.319, 0.350), (0.330, 0.280), (0.362, 0.212), (0.420, 0.170),
    (0.500, 0.156), (0.580, 0.170), (0.638, 0.212), (0.670, 0.280), (0.681, 0.350), (0.680, 0.420),
)  # fmt: skip
_HAIRLINE: Line = (
    (0.343, 0.425), (0.347, 0.375), (0.362, 0.334), (0.398, 0.308), (0.448, 0.300),
    (0.500, 0.297), (0.552, 0.300), (0.602, 0.308), (0.638, 0.334), (0.653, 0.375), (0.657, 0.425),
)  # fmt: skip


def _arc(line: Line, count: int = 15) -> Points:
    return resample(curve(np.asarray(line, np.float64)), count)


def _fan(
    fit: Fitter, start: Points, end: Points, *, bulge: float, lean: float = 0.0, **of: float
) -> Sheet:
    """A sheet from each point of one line to its fellow on the other, arched away from the head."""
    guides = []
    for root, tip in zip(start, end, strict=True):
        middle = (root + tip) / 2
        out = middle - (MIDDLE, 0.40)
        out = out / np.hypot(*out)
        guides.append(fit.fit(np.stack([root, middle + out * bulge + (lean, 0.0), tip])))
    return Sheet.of(*guides, **of)


def _sideburns(fit: Fitter, length: float = 0.462) -> list[Sheet]:
    inner = ((0.3455, 0.360), (0.3445, 0.410), (0.3420, length))
    outer = ((0.3190, 0.360), (0.3190, 0.410), (0.3270, length + 0.004))
    return [
        Sheet.of(fit(*inner), fit(*outer), density=1.6),
        Sheet.of(fit(*_mirrored(inner)), fit(*_mirrored(outer)), density=1.6),
    ]


def _mirrored(line: Line) -> Line:
    return tuple((1.0 - x, y) for x, y in line)


def _cap(fit: Fitter) -> Sheet:
    """Short hair at the sides and back, under the longer hair on top."""
    return _fan(fit, _arc(_SILHOUETTE), _arc(_HAIRLINE), bulge=0.002, density=1.3, soft_tips=1.0)


def _side_part(fit: Fitter) -> Style:
    over = Sheet.of(
        fit((0.418, 0.302), (0.452, 0.262), (0.530, 0.248),
            (0.606, 0.285), (0.648, 0.352), (0.655, 0.452)),
        fit((0.414, 0.272), (0.458, 0.215), (0.545, 0.200),
            (0.628, 0.258), (0.664, 0.345), (0.660, 0.458)),
        fit((0.412, 0.230), (0.470, 0.170), (0.565, 0.165),
            (0.645, 0.235), (0.676, 0.330), (0.666, 0.460)),
        fit((0.414, 0.180), (0.480, 0.141), (0.580, 0.150),
            (0.658, 0.222), (0.688, 0.325), (0.674, 0.456)),
    )  # fmt: skip
    left = Sheet.of(
        fit((0.418, 0.302), (0.388, 0.316), (0.358, 0.352), (0.344, 0.425)),
        fit((0.414, 0.250), (0.372, 0.272), (0.340, 0.325), (0.331, 0.430)),
        fit((0.414, 0.180), (0.370, 0.205), (0.330, 0.280), (0.318, 0.350), (0.318, 0.430)),
    )
    line = fit((0.418, 0.302), (0.414, 0.250), (0.414, 0.182))
    return Style(under=[*_sideburns(fit), left], over=[over], parting=line, under_depth=0.03)


def _swept(fit: Fitter) -> Style:
    front: Line = (
        (0.352, 0.356), (0.366, 0.330), (0.400, 0.308), (0.450, 0.300), (0.510, 0.297),
        (0.565, 0.301), (0.606, 0.312), (0.636, 0.334), (0.650, 0.358),
    )  # fmt: skip
    crest: Line = (
        (0.331, 0.330), (0.337, 0.262), (0.376, 0.196), (0.446, 0.156), (0.520, 0.139),
        (0.596, 0.146), (0.648, 0.184), (0.673, 0.250), (0.678, 0.330),
    )  # fmt: skip
    top = _fan(fit, _arc(front), _arc(crest), bulge=0.010, lean=-0.010, soft_roots=1.0, frizz=0.003)
    sides = [*_sideburns(fit), _cap(fit)]
    return Style(under=sides, over=[top], under_depth=0.012, shine=0.75)


def _crop(fit: Fitter) -> Style:
    crest: Line = (
        (0.330, 0.300), (0.340, 0.240), (0.372, 0.190), (0.430, 0.152), (0.500, 0.142),
        (0.570, 0.150), (0.628, 0.188), (0.660, 0.238), (0.670, 0.300),
    )  # fmt: skip
    fringe: Line = (
        (0.352, 0.352), (0.372, 0.326), (0.405, 0.312), (0.450, 0.306), (0.500, 0.302),
        (0.550, 0.305), (0.596, 0.310), (0.628, 0.326), (0.648, 0.352),
    )  # fmt: skip
    top = _fan(fit, _arc(crest), _arc(fringe), bulge=0.004, lean=0.016, frizz=0.006, density=1.0)
    locks = _fan(
        fit, shifted(_arc(crest) * (1, 0.5), 0.0, 0.12), shifted(_arc(fringe), 0.004, 0.012),
        bulge=0.0, lean=0.014, frizz=0.008, density=0.8, soft_tips=1.0, soft_roots=1.0,
    )  # fmt: skip
    sides = [*_sideburns(fit), _cap(fit)]
    return Style(under=sides, over=[top, locks], under_depth=0.012, shine=0.5)


def _curtains(
    fit: Fitter, *, end: float, tuck: float, wave: float = 0.0, gather: float = 0.0
) -> list[Sheet]:
    """Two curtains from a parting, framing the face down to `end`; the tips turn in by `tuck`."""
    low, mid = 0.600, 0.5 * (0.600 + end)
    right = Sheet.of(
        fit((0.452, 0.284), (0.500, 0.268), (0.580, 0.285), (0.640, 0.370),
            (0.660, 0.470), (0.664, low), (0.660, mid), (0.658 - tuck, end)),
        fit((0.452, 0.250), (0.530, 0.222), (0.625, 0.275), (0.672, 0.385),
            (0.686, 0.490), (0.690, low), (0.688, mid), (0.680 - tuck, end + 0.004)),
        fit((0.453, 0.205), (0.540, 0.172), (0.650, 0.242), (0.698, 0.375),
            (0.712, 0.490), (0.716, low), (0.714, mid), (0.704 - tuck, end + 0.001)),
        fit((0.454, 0.158), (0.550, 0.140), (0.662, 0.222), (0.712, 0.365),
            (0.726, 0.490), (0.730, low), (0.728, mid), (0.718 - tuck, end - 0.008)),
        wave=wave,
    )  # fmt: skip
    left = Sheet.of(
        fit((0.452, 0.284), (0.420, 0.288), (0.366, 0.360), (0.346, 0.450),
            (0.338, 0.510), (0.336, low), (0.340, mid), (0.342 + tuck, end)),
        fit((0.452, 0.250), (0.398, 0.250), (0.342, 0.330), (0.318, 0.440),
            (0.312, 0.510), (0.310, low), (0.312, mid), (0.320 + tuck, end + 0.004)),
        fit((0.453, 0.205), (0.388, 0.200), (0.322, 0.280), (0.294, 0.410),
            (0.286, 0.500), (0.284, low), (0.286, mid), (0.296 + tuck, end + 0.001)),
        fit((0.454, 0.158), (0.380, 0.168), (0.310, 0.255), (0.280, 0.395),
            (0.272, 0.500), (0.270, low), (0.272, mid), (0.282 + tuck, end - 0.008)),
        wave=wave,
    )  # fmt: skip
    return [_gathered(left, gather), _gathered(right, gather)]


def _gathered(sheet: Sheet, amount: float) -> Sheet:
    """The sheet with its lower ends drawn together by `amount`, the middle ones hanging longest."""
    guides = sheet.guides.copy()
    s = np.linspace(0.0, 1.0, guides.shape[1])[None, :]
    pull = amount * np.clip((s - 0.72) / 0.28, 0.0, 1.0) ** 2
    middle = guides[..., 0].mean(axis=0, keepdims=True)
    guides[..., 0] += (middle - guides[..., 0]) * pull
    across = np.linspace(-1.0, 1.0, len(guides))[:, None]
    guides[..., 1] += 0.10 * pull * (1 - 1.6 * across**2)
    return sheet.bent(guides)


def _back(fit: Fitter, end: float, half: float, tuck: float) -> Sheet:
    guides = []
    for u in np.linspace(-1.0, 1.0, 9):
        wide = MIDDLE + u * half
        guides.append(
            fit(
                (MIDDLE + u * half * 0.82, 0.400),
                (wide, 0.540),
                (wide, (0.56 + end) / 2),
                (wide - u * tuck, end),
            )
        )
    return Sheet.of(*guides)


def _bob(fit: Fitter) -> Style:
    curtains = _curtains(fit, end=0.722, tuck=0.014)
    return Style(behind=[_back(fit, 0.712, 0.205, 0.020)], over=curtains, parting=_middle(fit))


def _middle(fit: Fitter) -> Points:
    return fit((0.452, 0.284), (0.4525, 0.220), (0.454, 0.166))


def _long_straight(fit: Fitter) -> Style:
    return Style(
        behind=[_back(fit, 0.900, 0.212, 0.010)],
        over=_curtains(fit, end=0.935, tuck=-0.004, wave=0.002, gather=0.50),
        parting=_middle(fit),
    )


def _long_wavy(fit: Fitter) -> Style:
    sheets = [
        _waved(sheet, 0.011)
        for sheet in _curtains(fit, end=0.915, tuck=-0.004, wave=0.004, gather=0.55)
    ]
    back = _waved(_back(fit, 0.900, 0.215, 0.0), 0.011)
    return Style(behind=[back], over=sheets, parting=_middle(fit))


def _waved(sheet: Sheet, amount: float) -> Sheet:
    """The sheet with waves that grow toward the tips."""
    guides = sheet.guides.copy()
    s = np.linspace(0.0, 1.0, guides.shape[1])
    phase = np.linspace(0.0, 2.6, len(guides))[:, None]
    guides[..., 0] += amount * np.sin(2 * np.pi * 2.8 * s + phase) * np.clip(2.4 * s - 0.6, 0, 1)
    return sheet.bent(guides)


def _bun(fit: Fitter) -> Style:
    roots = _arc((*_HAIRLINE[:0], (0.340, 0.452), *_HAIRLINE[1:-1], (0.660, 0.452)))
    crown = np.stack([np.linspace(0.462, 0.538, 15), np.full(15, 0.150)], axis=1)
    guides = []
    edge = _arc(((0.320, 0.400), *_SILHOUETTE[1:-1], (0.680, 0.400)))
    for index, (root, tip) in enumerate(zip(roots, crown, strict=True)):
        u = index / 7.0 - 1.0
        rim = edge[index]
        upper = np.asarray((MIDDLE + 0.125 * u, 0.172 + 0.030 * abs(u)))
        guides.append(fit.fit(np.stack([root, 0.30 * root + 0.70 * rim, upper, tip])))
    pulled = Sheet.of(*guides, density=1.2, soft_roots=1.0)
    return Style(behind=[_knot(fit, 0.138, 0.072)], over=[pulled])


def _knot(fit: Fitter, y: float, radius: float) -> Sheet:
    """A bun: strands wound over a ball, from its left foot over the top to its right."""
    guides = []
    for height in np.linspace(-0.55, 1.0, 7):
        angles = np.linspace(np.pi * 1.12, -np.pi * 0.12, 9)
        x = MIDDLE + radius * np.cos(angles)
        guides.append(
            fit.fit(np.stack([x, y - radius * 0.86 * height * np.sin(angles) + 0.004], axis=1))
        )
    return Sheet.of(*guides, frizz=0.002)


def _pixie(fit: Fitter) -> Style:
    right = Sheet.of(
        fit((0.450, 0.230), (0.540, 0.240), (0.622, 0.305), (0.654, 0.385), (0.655, 0.470)),
        fit((0.450, 0.195), (0.555, 0.192), (0.650, 0.265), (0.682, 0.370), (0.672, 0.492)),
        fit((0.450, 0.152), (0.560, 0.146), (0.662, 0.225), (0.700, 0.350), (0.684, 0.486)),
    )
    fringe = Sheet.of(
        fit((0.440, 0.270), (0.452, 0.298), (0.482, 0.326), (0.528, 0.348)),
        fit((0.441, 0.245), (0.486, 0.278), (0.540, 0.316), (0.596, 0.354)),
        fit((0.443, 0.215), (0.520, 0.240), (0.592, 0.292), (0.645, 0.372)),
        fit((0.447, 0.172), (0.545, 0.184), (0.636, 0.258), (0.672, 0.392)),
        frizz=0.003,
    )
    left = Sheet.of(
        fit((0.442, 0.272), (0.414, 0.304), (0.376, 0.350), (0.350, 0.420), (0.346, 0.470)),
        fit((0.446, 0.210), (0.384, 0.248), (0.338, 0.325), (0.320, 0.420), (0.330, 0.492)),
        fit((0.450, 0.152), (0.376, 0.172), (0.320, 0.260), (0.302, 0.390), (0.318, 0.486)),
    )
    line = fit((0.441, 0.272), (0.445, 0.215), (0.449, 0.164))
    return Style(under=[left, right], over=[fringe], parting=line, shine=0.8)


COMBED: dict[str, Callable[[Fitter], Style]] = {
    "side_part": _side_part,
    "swept": _swept,
    "bob": _bob,
    "long_straight": _long_straight,
    "long_wavy": _long_wavy,
    "bun": _bun,
    "pixie": _pixie,
    "crop": _crop,
}
