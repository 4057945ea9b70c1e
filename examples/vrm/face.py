"""The model's features, as outlines that weights of ARKit's blendshapes move."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Weights = Mapping[str, float]
Shape = Callable[[Weights], Points]
"""A feature's outline points [n, 2] on the face, in head radii, for weights that default to 0."""

RADIUS = np.array([0.098, 0.125, 0.108])
"""Of the head's ellipsoid, metres."""
HEAD_MIDDLE = np.array([0, 0.085, 0.012])
"""Of the ellipsoid, from the head's bone."""
SKIN, SHADE, HAIR, SHIRT = "#e9b796", "#c98d6b", "#3b2a27", "#2d6f77"
WHITE, IRIS, PUPIL = "#f7f3ee", "#3f6f5f", "#14110f"
LIPS, MOUTH, TEETH = "#b5574f", "#4a1517", "#f2ece4"


class Ask(dict[str, float]):
    """Weights; those that are not given are 0, and their names are kept."""

    def __init__(self, *weights: Weights) -> None:
        super().__init__(*weights)
        self.names: set[str] = set()

    def __missing__(self, name: str) -> float:
        self.names.add(name)
        return 0.0


def mouth_edges(w: Weights) -> tuple[Points, Points, Points, Points]:
    """Outer and inner edge of the upper lip, inner and outer of the lower: [17, 2] each."""
    x = np.linspace(-1, 1, 17)
    left, right = np.clip(x, 0, 1), np.clip(-x, 0, 1)
    narrow = 1 - 0.42 * w["mouthPucker"] - 0.34 * w["mouthFunnel"]
    stretch = left * (w["mouthStretchLeft"] + 0.6 * w["mouthSmileLeft"])
    stretch = stretch + right * (w["mouthStretchRight"] + 0.6 * w["mouthSmileRight"])
    across = 0.26 * x * narrow * (1 + 0.3 * stretch) + 0.08 * (w["mouthLeft"] - w["mouthRight"])
    corners = 0.15 * (left**2 * w["mouthSmileLeft"] + right**2 * w["mouthSmileRight"])
    corners = corners - 0.1 * (left**2 * w["mouthFrownLeft"] + right**2 * w["mouthFrownRight"])
    arch = 1 - x**2
    jaw = 0.34 * w["jawOpen"] - 0.34 * w["mouthClose"]
    low = jaw + 0.1 * (left * w["mouthLowerDownLeft"] + right * w["mouthLowerDownRight"])
    low = (
        low + 0.08 * w["mouthFunnel"] + 0.05 * (w["mouthLowerDownLeft"] + w["mouthLowerDownRight"])
    )
    high = 0.09 * (w["mouthUpperUpLeft"] + w["mouthUpperUpRight"]) / 2 + 0.04 * w["mouthFunnel"]
    press = 1 - 0.35 * (w["mouthPressLeft"] + w["mouthPressRight"]) / 2
    upper = 0.045 * press * (1 - 0.8 * w["mouthRollUpper"]) * (1 + 0.5 * w["mouthPucker"])
    lower = 0.06 * press * (1 - 0.8 * w["mouthRollLower"]) * (1 + 0.5 * w["mouthPucker"])
    base = -0.46 + corners
    bow = 0.012 * np.exp(-((x / 0.16) ** 2))
    top_in = base + high * arch
    bottom_in = base - np.maximum(low, 0) * arch
    edges = (
        top_in + upper * arch**0.6 - bow,
        top_in,
        bottom_in,
        bottom_in - lower * arch**0.6,
    )
    jaw_side = 0.08 * (w["jawLeft"] - w["jawRight"])
    sides = (0, 0, jaw_side, jaw_side)
    return tuple(np.stack([across + s, y], axis=1) for s, y in zip(sides, edges, strict=True))  # type: ignore[return-value]


def between(upper: int, lower: int) -> Shape:
    """The strip between two edges of the mouth."""
    return lambda w: np.concatenate([mouth_edges(w)[upper], mouth_edges(w)[lower]])


def teeth(w: Weights) -> Points:
    """The upper row, behind the lip: seen where the mouth is open."""
    _, top, bottom, _ = mouth_edges(w)
    depth = np.minimum(0.055, top[:, 1] - bottom[:, 1])
    return np.concatenate([top, np.stack([top[:, 0], top[:, 1] - depth], axis=1)])


def eye(side: str, sign: float) -> dict[str, Shape]:
    """White, iris, pupil, lid and lash of one eye."""
    x = np.linspace(-1, 1, 13)
    middle = np.array([0.36 * sign, 0.08])
    arch = np.sqrt(np.clip(1 - x**2, 0, None))

    def line(part: float, w: Weights) -> Points:
        """From the lower edge (-1) to the upper (1), with lids wide or narrow."""
        up = 0.125 * (1 + 0.25 * w[f"eyeWide{side}"])
        down = 0.095 * (1 - 0.45 * w[f"eyeSquint{side}"] - 0.3 * w[f"cheekSquint{side}"])
        height = up * max(part, 0) + down * min(part, 0)
        return middle + np.stack([0.17 * x, height * arch], axis=1)

    def lid(w: Weights) -> Points:
        closed = min(1.0, w[f"eyeBlink{side}"])
        edge = line(1, w) * (1 - closed) + line(-0.9, w) * closed
        brim = line(1, w) + np.stack([0 * x, 0.02 * arch], axis=1)
        return np.concatenate([brim, edge])

    def lash(w: Weights) -> Points:
        edge = lid(w)[13:]
        return np.concatenate([edge + np.array([0, 0.022]), edge - np.array([0, 0.008])])

    def disc(radius: float) -> Shape:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        rim = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        out, into = (f"eyeLookOut{side}", f"eyeLookIn{side}")

        def shape(w: Weights) -> Points:
            look = np.array(
                [
                    0.075 * sign * (w[out] - w[into]),
                    0.055 * (w[f"eyeLookUp{side}"] - w[f"eyeLookDown{side}"]),
                ]
            )
            return np.concatenate([[middle + look], middle + look + rim])

        return shape

    return {
        "white": lambda w: np.concatenate([line(1, w), line(-1, w)]),
        "iris": disc(0.082),
        "pupil": disc(0.04),
        "lid": lid,
        "lash": lash,
    }


def brow(side: str, sign: float) -> Shape:
    """A tapering stroke."""
    x = np.linspace(0, 1, 9)  # from the middle outward

    def shape(w: Weights) -> Points:
        inner, outer = 1 - x, x
        lift = 0.11 * inner * w["browInnerUp"] + 0.1 * outer * w[f"browOuterUp{side}"]
        lift = lift - (0.09 * inner + 0.05) * w[f"browDown{side}"]
        y = 0.3 + 0.05 * np.sin(np.pi * x) + lift
        across = sign * (0.17 + 0.37 * x)
        thick = 0.028 * (1 - 0.6 * x)
        top, bottom = (np.stack([across, y + s * thick], axis=1) for s in (1, -1))
        return np.concatenate([top, bottom])

    return shape


def nose(w: Weights) -> Points:
    """A shadow below its tip."""
    x = np.linspace(-1, 1, 9)
    top = np.stack([0.1 * x, -0.2 + 0.02 * (1 - x**2)], axis=1)
    return np.concatenate([top, top - np.stack([0 * x, 0.04 * (1 - x**2)], axis=1)])


def features() -> list[tuple[str, str, float, Shape, bool]]:
    """Name, colour, height above the head in metres, outline, and whether it is a disc."""
    made = [
        ("inside", MOUTH, 0.0006, between(1, 2), False),
        ("teeth", TEETH, 0.0010, teeth, False),
        ("upperLip", LIPS, 0.0018, between(0, 1), False),
        ("lowerLip", LIPS, 0.0018, between(2, 3), False),
        ("nose", SHADE, 0.0010, nose, False),
    ]
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        parts = eye(side, sign)
        looks = {"white": WHITE, "iris": IRIS, "pupil": PUPIL, "lid": SKIN, "lash": PUPIL}
        for n, (part, colour) in enumerate(looks.items()):
            disc = part in ("iris", "pupil")
            made.append((f"{part}{side}", colour, 0.0008 + 0.0008 * n, parts[part], disc))
        made.append((f"brow{side}", HAIR, 0.0016, brow(side, sign), False))
    return made


def blendshapes() -> list[str]:
    """Of ARKit's 52, those that move an outline."""
    asked = Ask()
    for _, _, _, shape, _ in features():
        shape(asked)
    return sorted(asked.names)


BLENDSHAPES = blendshapes()
TOGETHER = {"mouthClose": {"jawOpen": 1.0}}
"""What a weight is seen beside: the lips meet while the jaw is open (as ARKit has it)."""


def on_head(points: Points, above: float) -> Points:
    """[n, 2] on the face -> [n, 3] in metres from the head's bone."""
    x, y = points[:, 0], points[:, 1] * 0.86
    z = np.sqrt(np.clip(1 - (x * 0.96) ** 2 - (y * 0.96) ** 2, 0.04, None))
    return np.stack([x, y, z], axis=1) * (RADIUS + np.array([0, 0, above])) + HEAD_MIDDLE
