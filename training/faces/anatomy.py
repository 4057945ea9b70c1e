"""Where everything is: the proportions of one face as points and curves in design space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.faces.params import FaceParams
from training.faces.raster import Points, curve, mirror, points, shifted

MIDDLE = 0.5  # x of the face's axis


@dataclass(frozen=True, kw_only=True)
class Eye:
    """One eye: its opening's two lids, inner corner first, and the iris."""

    x: float
    y: float
    half_width: float
    upper: Points  # [N, 2]
    lower: Points  # [N, 2]
    iris_radius: float
    side: int  # -1 in the picture's left half, 1 in its right

    @property
    def opening(self) -> Points:
        """The outline of what shows between the lids."""
        return np.concatenate([self.upper, self.lower[::-1]])

    @property
    def height(self) -> float:
        """Greatest distance of the lids."""
        return float(self.lower[:, 1].max() - self.upper[:, 1].min())


@dataclass(frozen=True, kw_only=True)
class Mouth:
    """The closed mouth: lip line and outer edges, from the picture's left corner to the right."""

    y: float
    half_width: float
    line: Points
    top: Points
    bottom: Points

    @property
    def upper_lip(self) -> Points:
        """Outline of the upper lip."""
        return np.concatenate([self.top, self.line[::-1]])

    @property
    def lower_lip(self) -> Points:
        """Outline of the lower lip."""
        return np.concatenate([self.line, self.bottom[::-1]])


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The proportions of one face. Heights are y in design space, widths half widths."""

    crown_y: float
    hairline_y: float
    brow_y: float
    eye_y: float
    nasion_y: float
    nose_tip_y: float
    nose_base_y: float
    chin_y: float
    nose_half: float
    temple_half: float
    cheek_half: float
    jaw_half: float
    neck_half: float
    shoulder_y: float
    outline: Points  # of the bare head without ears
    eyes: tuple[Eye, Eye]
    brows: tuple[Points, Points]  # each from the inner end to the outer
    mouth: Mouth


def measure(params: FaceParams) -> Anatomy:
    """The anatomy that `params` describe."""
    male = 1.0 - params.femininity
    stretch = 1.0 + 0.045 * params.face_length
    eye_y = 0.480

    def below(distance: float) -> float:
        return eye_y + distance * stretch

    chin_y = below(0.272 + 0.010 * male)
    mouth_y = below(0.180 + 0.004 * male)
    nose_base_y = below(0.118 + 0.009 * params.nose_length + 0.003 * male)
    temple = 0.163 * (1 + 0.05 * params.face_width)
    cheek = 0.169 * (1 + 0.065 * params.face_width + 0.02 * params.cheeks)
    jaw = 0.142 * (1 + 0.055 * params.jaw_width + 0.060 * male + 0.03 * params.face_width)
    outline = _outline(params, chin_y=chin_y, mouth_y=mouth_y, cheek=cheek, jaw=jaw, temple=temple)
    brow_y = eye_y - 0.059 + 0.006 * male - 0.004 * params.eye_size
    return Anatomy(
        crown_y=0.182,
        hairline_y=0.300 + 0.006 * male,
        brow_y=brow_y,
        eye_y=eye_y,
        nasion_y=eye_y - 0.022,
        nose_tip_y=nose_base_y - 0.026,
        nose_base_y=nose_base_y,
        chin_y=chin_y,
        nose_half=0.0335 * (1 + 0.24 * params.nose_width + 0.08 * male),
        temple_half=temple,
        cheek_half=cheek,
        jaw_half=jaw,
        neck_half=0.083 + 0.027 * male + 0.004 * params.jaw_width,
        shoulder_y=0.865 - 0.012 * male,
        outline=outline,
        eyes=(_eye(params, eye_y, -1), _eye(params, eye_y, 1)),
        brows=(_brow(params, brow_y, -1), _brow(params, brow_y, 1)),
        mouth=_mouth(params, mouth_y),
    )


def _outline(
    params: FaceParams, *, chin_y: float, mouth_y: float, cheek: float, jaw: float, temple: float
) -> Points:
    male = 1.0 - params.femininity
    chin = 0.052 * (1 + 0.26 * params.chin + 0.22 * male)
    low_cheek = 0.5 * (cheek + jaw) + 0.005 + 0.004 * params.cheeks
    half = points(
        (0.000, 0.180),
        (0.070, 0.191),
        (0.123, 0.229),
        (temple * 0.970, 0.302),
        (temple * 1.035, 0.405),
        (cheek, 0.500),
        (low_cheek, 0.588),
        (jaw, mouth_y - 0.004),
        (0.60 * jaw + 0.30 * chin, 0.5 * (mouth_y + chin_y) + 0.001),
        (chin, chin_y - 0.0120),
        (chin * 0.50, chin_y - 0.0022),
    )
    right = shifted(half, MIDDLE)
    chin_point = points((MIDDLE, chin_y))
    return curve(np.concatenate([right, chin_point, mirror(right)[:0:-1]]), closed=True)


def _eye(params: FaceParams, eye_y: float, side: int) -> Eye:
    size = 1 + 0.11 * params.eye_size
    width = 0.0435 * size
    distance = 0.0825 * (1 + 0.06 * params.eye_spacing + 0.02 * params.face_width)
    soft = params.femininity
    up = (0.0180 + 0.0036 * soft - 0.0026 * params.age) * size
    down = (0.0134 + 0.0010 * soft - 0.0016 * params.smile) * size
    tilt = 0.0022 + 0.0055 * params.eye_tilt - 0.0035 * params.age
    upper = points(
        (-1.00, 0.0040 + tilt),
        (-0.80, -0.42 * up),
        (-0.42, -0.86 * up),
        (0.06, -1.00 * up),
        (0.52, -0.80 * up - 0.2 * tilt),
        (0.82, -0.40 * up - 0.6 * tilt),
        (1.00, -tilt),
    )
    lower = points(
        (-1.00, 0.0040 + tilt),
        (-0.78, 0.42 * down + 0.4 * tilt),
        (-0.38, 0.82 * down),
        (0.14, 1.00 * down),
        (0.58, 0.80 * down - 0.3 * tilt),
        (0.86, 0.36 * down - 0.8 * tilt),
        (1.00, -tilt),
    )
    x = MIDDLE + side * distance

    def place(lid: Points) -> Points:
        return curve(np.stack([x + side * width * lid[:, 0], eye_y + lid[:, 1]], axis=1), 12)

    return Eye(
        x=x,
        y=eye_y - 0.0036,
        half_width=width,
        upper=place(upper),
        lower=place(lower),
        iris_radius=0.0194 * (1 + 0.06 * params.eye_size),
        side=side,
    )


def _brow(params: FaceParams, brow_y: float, side: int) -> Points:
    arch = 0.0085 + 0.0030 * params.femininity + 0.006 * params.brow_arch
    raised = 0.0018 if side == (1 if params.parting == "left" else -1) else 0.0
    spread = 1 + 0.05 * params.eye_spacing
    line = points(
        (0.0350 * spread, 0.0030),
        (0.0520 * spread, -0.0010 - 0.10 * arch),
        (0.0740, -0.62 * arch),
        (0.0950, -1.00 * arch),
        (0.1130, -0.80 * arch),
        (0.1300, 0.0035 - 0.10 * arch),
    )
    line[:, 1] -= params.brow_tilt * np.asarray((0.0075, 0.0055, 0.0028, 0.0, -0.0010, -0.0030))
    x = MIDDLE + side * line[:, 0]
    return curve(np.stack([x, brow_y + line[:, 1] - raised], axis=1), 12)


def _mouth(params: FaceParams, mouth_y: float) -> Mouth:
    width = 0.0600 * (1 + 0.11 * params.lip_width) + 0.002 * (1 - params.femininity)
    full = 1 + 0.30 * params.lip_fullness + 0.10 * params.femininity - 0.22 * params.age
    up, low = 0.0180 * full, 0.0245 * full
    lift = 0.0012 + 0.0105 * params.smile
    line = points(
        (-1.00, -lift),
        (-0.72, -0.25 * lift + 0.0005),
        (-0.30, 0.0006),
        (0.00, 0.0022),
        (0.30, 0.0006),
        (0.72, -0.25 * lift + 0.0005),
        (1.00, -lift),
    )
    top = points(
        (-1.00, -lift),
        (-0.66, -0.52 * up - 0.2 * lift),
        (-0.22, -1.00 * up),
        (-0.09, -0.94 * up),
        (0.00, -0.82 * up),
        (0.09, -0.94 * up),
        (0.22, -1.00 * up),
        (0.66, -0.52 * up - 0.2 * lift),
        (1.00, -lift),
    )
    bottom = points(
        (-1.00, -lift),
        (-0.74, 0.42 * low),
        (-0.38, 0.90 * low),
        (0.00, 1.00 * low),
        (0.38, 0.90 * low),
        (0.74, 0.42 * low),
        (1.00, -lift),
    )

    def place(edge: Points) -> Points:
        return curve(np.stack([MIDDLE + width * edge[:, 0], mouth_y + edge[:, 1]], axis=1), 10)

    return Mouth(
        y=mouth_y, half_width=width, line=place(line), top=place(top), bottom=place(bottom)
    )
