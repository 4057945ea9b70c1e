"""The motion latent that our small generator diffuses, and its map to the motion space.

Twenty channels, each in [-1, 1]. Mouth, brow and eye-rim channels rest at -1, the end of their
range, so that closed lips are exact; head channels rest at 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX

# name: (the shapes it drives, the weight or the degrees or interocular distances at 1)
_MOUTH: dict[str, tuple[tuple[str, ...], float]] = {
    "jaw": (("jawOpen",), 0.5),
    "close": (("mouthClose",), 0.35),
    "press": (("mouthPressLeft", "mouthPressRight"), 0.3),
    "wide": (("mouthStretchLeft", "mouthStretchRight"), 0.4),
    "pucker": (("mouthPucker",), 0.6),
    "funnel": (("mouthFunnel",), 0.32),
    "teethLower": (("mouthLowerDownLeft", "mouthLowerDownRight"), 0.22),
    "teethUpper": (("mouthUpperUpLeft", "mouthUpperUpRight"), 0.22),
    "tuck": (("mouthRollLower",), 0.6),
    "smile": (("mouthSmileLeft", "mouthSmileRight"), 0.2),
}
_EYES: dict[str, tuple[tuple[str, ...], float]] = {
    "browInner": (("browInnerUp",), 0.45),
    "browOuter": (("browOuterUpLeft", "browOuterUpRight"), 0.55),
    "browDown": (("browDownLeft", "browDownRight"), 0.15),
    "squint": (("eyeSquintLeft", "eyeSquintRight"), 0.15),
}
_HEAD: dict[str, tuple[tuple[str, ...], float]] = {
    "yaw": (("headYaw",), 12.0),
    "pitch": (("headPitch",), 8.0),
    "roll": (("headRoll",), 8.0),
    "x": (("headX",), 0.06),
    "y": (("headY",), 0.035),
    "z": (("headZ",), 0.05),
}
_CHANNELS = _MOUTH | _EYES | _HEAD
LATENT_NAMES: tuple[str, ...] = tuple(_CHANNELS)
LATENT_DIM = len(LATENT_NAMES)
FACE = slice(0, len(_MOUTH) + len(_EYES))
MOUTH = slice(0, len(_MOUTH))
HEAD = slice(len(_MOUTH) + len(_EYES), LATENT_DIM)


def rest() -> Tensor:
    """The latent of a face that does nothing, float32 [LATENT_DIM]."""
    latent = torch.zeros(LATENT_DIM)
    latent[FACE] = -1.0
    return latent


class MotionLatent(nn.Module):
    """Between latents [..., LATENT_DIM] and motion [..., MOTION_DIM]."""

    def __init__(self) -> None:
        super().__init__()
        mixing = torch.zeros(LATENT_DIM, MOTION_DIM)
        for row, (shapes, scale) in enumerate(_CHANNELS.values()):
            for shape in shapes:
                mixing[row, MOTION_INDEX[shape]] = scale
        mixing[FACE] *= 0.5
        self.mixing: Tensor
        self.rest: Tensor
        self.register_buffer("mixing", mixing, persistent=False)
        self.register_buffer("rest", rest(), persistent=False)

    def decode(self, latent: Tensor) -> Tensor:
        """Latents to motion; what the latent does not hold is 0."""
        return (latent - self.rest) @ self.mixing

    def encode(self, motion: Tensor) -> Tensor:
        """Motion to latents, clamped to [-1, 1]; left and right are averaged."""
        inverse = (self.mixing != 0).float() / self.mixing.sum(1, keepdim=True)
        return (motion @ inverse.T + self.rest).clamp(-1.0, 1.0)
