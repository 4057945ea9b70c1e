"""From `avatar.motion` to the 52 blendshapes that a rig made for ARKit has.

Left and right are the subject's; positive yaw turns toward the right edge of the picture, which is
the subject's left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.motion.space import BLENDSHAPES as MOVED

_WAYS = ("Down", "In", "Out", "Up")
_NOT_MOVED = (
    *("jawForward", "mouthDimpleLeft", "mouthDimpleRight", "mouthShrugLower", "mouthShrugUpper"),
    *("noseSneerLeft", "noseSneerRight"),
)
_LOOKS = tuple(f"eyeLook{way}{side}" for side in ("Left", "Right") for way in _WAYS)
BLENDSHAPES: tuple[str, ...] = (*MOVED, *_LOOKS, *_NOT_MOVED)
"""All 52: those of our motion, those that its gaze becomes, and the rest."""
LOOK_FULL_DEG = 30.0
"""A gaze so far to a side is a weight of 1: about how far ARKit's eyes go."""


@dataclass(frozen=True)
class Head:
    """Degrees, as in `avatar.motion`."""

    yaw: float
    pitch: float
    roll: float


def blendshapes(values: Mapping[str, float]) -> dict[str, float]:
    """All 52, in [0, 1]; what the avatar does not move is 0, and its gaze is in `eyeLook...`."""
    yaw = values.get("gazeYaw", 0.0) / LOOK_FULL_DEG
    pitch = values.get("gazePitch", 0.0) / LOOK_FULL_DEG
    look = {
        "eyeLookOutLeft": yaw,
        "eyeLookInRight": yaw,
        "eyeLookInLeft": -yaw,
        "eyeLookOutRight": -yaw,
        "eyeLookUpLeft": pitch,
        "eyeLookUpRight": pitch,
        "eyeLookDownLeft": -pitch,
        "eyeLookDownRight": -pitch,
    }
    weights = {**values, **look}
    return {name: min(1.0, max(0.0, weights.get(name, 0.0))) for name in BLENDSHAPES}


def head(values: Mapping[str, float]) -> Head:
    """Where the head turns."""
    return Head(*(values.get(f"head{name}", 0.0) for name in ("Yaw", "Pitch", "Roll")))


def is_arkit(values: Mapping[str, float]) -> bool:
    """Whether the motion has names at all; that of some pipelines is a code."""
    return "jawOpen" in values
