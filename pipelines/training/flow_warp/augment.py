"""Changes in which frames stay consistent: other light, another framing, left for right."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.motion.space import MOTION_NAMES

_SHIFT, _ZOOM = 0.02, 0.04  # of the crop, in half pictures and relative; standard deviations
_GAIN, _GAMMA, _LEVEL = 0.10, 0.15, 0.05


def _mirrored(name: str) -> str:
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else name


_SWAP = torch.tensor([MOTION_NAMES.index(_mirrored(name)) for name in MOTION_NAMES])
_TURNED = ("headYaw", "headRoll", "headX", "gazeYaw")
_SIGN = torch.tensor([-1.0 if name in _TURNED else 1.0 for name in MOTION_NAMES])


def mirror_motion(motion: Tensor) -> Tensor:
    """Motion [..., MOTION_DIM] as seen in a mirror."""
    return motion[..., _SWAP] * _SIGN


def mirror(frames: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Frames [N, 3, S, S] and regions [N, 3, 3] (mouth, right eye, left eye) in a mirror."""
    turned = regions[:, [0, 2, 1]] * regions.new_tensor([-1.0, 1.0, 1.0])
    return frames.flip(3), turned


def reframe(frames: Tensor, regions: Tensor, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Another crop of the same pictures, a little beside and of another size.

    One for all whose motion codes are exchanged, for a code says where in the picture a head is.
    """
    zoom = float(np.exp(chance.normal(0.0, _ZOOM)))
    x, y = (float(v) for v in chance.normal(0.0, _SHIFT, 2))
    theta = torch.tensor([[zoom, 0.0, x], [0.0, zoom, y]]).expand(len(frames), 2, 3)
    grid = F.affine_grid(theta, list(frames.shape), align_corners=False)
    moved = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
    return moved, (regions - regions.new_tensor([x, y, 0.0])) / zoom


def relight(frames: Tensor, chance: np.random.Generator) -> Tensor:
    """Frames in [-1, 1] with another gain per colour, gamma and level, kept in range."""
    gain = torch.from_numpy(chance.normal(1.0, _GAIN, (1, 3, 1, 1)).astype(np.float32))
    unit = (frames * 0.5 + 0.5).clamp(1e-4, 1.0) ** float(np.exp(chance.normal(0.0, _GAMMA)))
    level = float(chance.normal(0.0, _LEVEL))
    return (unit * gain + level).clamp(0.0, 1.0) * 2.0 - 1.0
