"""The interpretable motion space of the `portrait` pipeline.

A motion vector holds ARKit-named blendshape weights, then head pose and gaze. Because it is
interpretable it is an output too: the same stream can drive any ARKit or VRM rig.

Left and right are the subject's, as in ARKit. Directions are the viewer's: positive yaw turns the
face toward the right edge of the picture, positive pitch up, positive roll tilts the crown toward
the right edge (clockwise in the picture).
"""

from __future__ import annotations

from typing import Literal

BLENDSHAPES: tuple[str, ...] = (
    # mouth and jaw, weights in [0, 1]
    "jawOpen",
    "jawLeft",
    "jawRight",
    "mouthClose",  # brings the lips together while the jaw is open (ARKit: relative to jawOpen)
    "mouthFunnel",
    "mouthPucker",
    "mouthLeft",
    "mouthRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",  # lower lip rolls in, toward the teeth (f, v)
    "mouthRollUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "cheekPuff",
    "tongueOut",  # up to 0.3: the tip behind the teeth (th, l)
    # eyes and brows, weights in [0, 1]
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekSquintLeft",
    "cheekSquintRight",
)

POSE: tuple[str, ...] = (
    "headYaw",  # degrees
    "headPitch",  # degrees
    "headRoll",  # degrees
    "headX",  # interocular distances (outer eye corners), to the right of the picture
    "headY",  # interocular distances, downward
    "headZ",  # interocular distances, toward the viewer
    "gazeYaw",  # degrees, eyes relative to the head
    "gazePitch",  # degrees
)

MOTION_NAMES: tuple[str, ...] = BLENDSHAPES + POSE
MOTION_INDEX: dict[str, int] = {name: i for i, name in enumerate(MOTION_NAMES)}
MOTION_DIM: int = len(MOTION_NAMES)

PORTRAIT_WEIGHTS = "portrait-motion"
"""Name of the shipped weights of our generator of such motion."""

Behaviour = Literal["idle", "listening", "speaking"]
BEHAVIOURS: tuple[Behaviour, ...] = ("idle", "listening", "speaking")
