"""The motion latent that our small generator diffuses, and its map to the motion space.

Twenty channels, each in [-1, 1]. Those of the mouth and the eye rims are shape weights and rest at
-1, the end of their range, so that closed lips are exact. Those of brows and head are what drives
a critically damped spring per channel, and rest at 0: of a head that drifts by degrees in seconds
one frame says almost nothing new, while the force behind it is nearly white (three quarters of its
deviation are new in each frame, measured on the training targets). A generator of one or two steps
can draw that, and the spring makes it smooth and brings it home, however long the stream.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.pipeline import FPS

# name: (the shapes it drives, their weight at 1)
_SHAPES: dict[str, tuple[tuple[str, ...], float]] = {
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
    "squint": (("eyeSquintLeft", "eyeSquintRight"), 0.15),
}
# name: (what it moves, the spring's rate in rad/s, what a force of 1 adds in one frame)
_DRIVEN: dict[str, tuple[tuple[str, ...], float, float]] = {
    "browInner": (("browInnerUp",), 8.0, 0.094),
    "browOuter": (("browOuterUpLeft", "browOuterUpRight"), 8.0, 0.117),
    "browDown": (("browDownLeft", "browDownRight"), 8.0, 0.018),
    "yaw": (("headYaw",), 2.5, 0.82),
    "pitch": (("headPitch",), 2.5, 1.10),
    "roll": (("headRoll",), 2.5, 0.49),
    "x": (("headX",), 2.5, 0.0033),
    "y": (("headY",), 2.5, 0.0023),
    "z": (("headZ",), 2.5, 0.0024),
}
_FRAME_S = 1 / FPS
LATENT_NAMES: tuple[str, ...] = (*_SHAPES, *_DRIVEN)
LATENT_DIM = len(LATENT_NAMES)
SHAPES = slice(0, len(_SHAPES))
DRIVEN = slice(len(_SHAPES), LATENT_DIM)
MOUTH = slice(0, LATENT_NAMES.index("squint"))


def rest() -> Tensor:
    """The latent of a face that does nothing, float32 [LATENT_DIM]."""
    latent = torch.zeros(LATENT_DIM)
    latent[SHAPES] = -1.0
    return latent


class MotionLatent(nn.Module):
    """Between latents [B, T, LATENT_DIM] and motion [B, T, MOTION_DIM]."""

    def __init__(self) -> None:
        super().__init__()
        shapes = {name: (moves, scale / 2.0) for name, (moves, scale) in _SHAPES.items()}
        moved = shapes | {name: (moves, 1.0) for name, (moves, _, _) in _DRIVEN.items()}
        mixing = torch.zeros(LATENT_DIM, MOTION_DIM)
        for row, (moves, scale) in enumerate(moved.values()):
            for name in moves:
                mixing[row, MOTION_INDEX[name]] = scale
        self.mixing: Tensor
        self.rest: Tensor
        self.pole: Tensor
        self.force: Tensor
        self.jaw_per_parting = 2.0 / _SHAPES["jaw"][1]  # latent per jawOpen
        rates = [math.exp(-rate * _FRAME_S) for _, rate, _ in _DRIVEN.values()]
        forces = [force for _, _, force in _DRIVEN.values()]
        self.register_buffer("mixing", mixing, persistent=False)
        self.register_buffer("rest", rest(), persistent=False)
        self.register_buffer("pole", torch.tensor(rates), persistent=False)
        self.register_buffer("force", torch.tensor(forces), persistent=False)

    def at_rest(self, batch: int, device: torch.device | str = "cpu") -> Tensor:
        """The springs before the stream, for `decode`: float32 [B, 2, 9]."""
        return torch.zeros(batch, 2, len(_DRIVEN), device=device)

    def decode(self, latent: Tensor, springs: Tensor) -> tuple[Tensor, Tensor]:
        """Latents to motion; what the latent does not hold is 0.

        springs: [B, 2, 9], where brows and head were one and two frames ago. Returns the motion
        [B, T, MOTION_DIM] and the springs after it.
        """
        one, two = springs.unbind(1)
        values = []
        for push in latent[..., DRIVEN].unbind(1):
            one, two = 2.0 * self.pole * one - self.pole**2 * two + self.force * push, one
            values.append(one)
        shapes = (latent - self.rest)[..., SHAPES]
        motion = torch.cat([shapes, torch.stack(values, 1)], 2) @ self.mixing
        return motion, torch.stack([one, two], 1)

    def encode(self, motion: Tensor) -> Tensor:
        """Motion to latents, clamped to [-1, 1]; left and right are averaged.

        Springs begin at rest where the motion begins.
        """
        inverse = (self.mixing != 0).float() / self.mixing.sum(1, keepdim=True)
        values = motion @ inverse.T
        moved = values[..., DRIVEN]
        first = moved[:, :1]
        one = torch.cat([first, moved[:, :-1]], 1)
        two = torch.cat([first, first, moved[:, :-2]], 1)
        push = (moved - 2.0 * self.pole * one + self.pole**2 * two) / self.force
        return torch.cat([values[..., SHAPES] - 1.0, push], 2).clamp(-1.0, 1.0)
