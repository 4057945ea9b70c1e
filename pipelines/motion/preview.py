"""Two seconds of motion that loop, for whoever is about to choose a face: what a preview shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.pipeline import FPS

SIDE = 256  # pixels
FRAMES = 2 * FPS
_YAW_DEG, _PITCH_DEG = 5.0, 1.5
_BLINK = {4: 0.0, 5: 0.6, 6: 1.0, 7: 0.8, 8: 0.4, 10: 0.0}
"""By frame: how far the lids are closed."""
_VISEMES: tuple[tuple[int, dict[str, float]], ...] = (
    (0, {}),
    (11, {}),
    (14, {"jawOpen": 0.45, "mouthLowerDownLeft": 0.25, "mouthLowerDownRight": 0.25}),  # a
    (18, {"jawOpen": 0.06, "mouthPressLeft": 0.3, "mouthPressRight": 0.3}),  # m
    (22, {"jawOpen": 0.22, "mouthFunnel": 0.55, "mouthPucker": 0.3}),  # o
    (27, {"jawOpen": 0.12, "mouthStretchLeft": 0.4, "mouthStretchRight": 0.4}),  # i
    (31, {"jawOpen": 0.08, "mouthRollLower": 0.6, "mouthUpperUpLeft": 0.15}),  # f
    (35, {"jawOpen": 0.35, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2}),  # e
    (40, {}),
    (46, {"mouthSmileLeft": 0.25, "mouthSmileRight": 0.25}),
    (FRAMES, {}),
)


def preview_motion() -> NDArray[np.float32]:
    """A blink, a turn of the head and a few sounds, float32 [FRAMES, MOTION_DIM]; it ends where it
    begins."""
    motion = np.zeros((FRAMES, MOTION_DIM), np.float32)
    at = np.arange(FRAMES)
    round_trip = 2 * np.pi * at / FRAMES
    motion[:, MOTION_INDEX["headYaw"]] = _YAW_DEG * np.sin(round_trip)
    motion[:, MOTION_INDEX["headPitch"]] = _PITCH_DEG * np.sin(2 * round_trip)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        motion[:, MOTION_INDEX[name]] = np.interp(at, list(_BLINK), list(_BLINK.values()))
    frames = [frame for frame, _ in _VISEMES]
    for name in {name for _, shape in _VISEMES for name in shape}:
        values = [shape.get(name, 0.0) for _, shape in _VISEMES]
        motion[:, MOTION_INDEX[name]] = np.interp(at, frames, values)
    return motion
