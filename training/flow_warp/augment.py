"""Changes in which frames stay consistent: other light, another framing, left for right."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Shots:
    """Frames of which all change alike."""

    frames: Tensor  # [N, 3, S, S] in [-1, 1]
    regions: Tensor  # [N, 3, 3] mouth, right eye, left eye
    flows: Tensor  # [N, 2, F, F] places in frame 0, NaN where unknown


def mirror(shots: Shots) -> Shots:
    """The same in a mirror."""
    regions = shots.regions[:, [0, 2, 1]] * shots.regions.new_tensor([-1.0, 1.0, 1.0])
    across = shots.flows.new_tensor([-1.0, 1.0]).view(2, 1, 1)
    return Shots(shots.frames.flip(3), regions, shots.flows.flip(3) * across)


def reframe(shots: Shots, chance: np.random.Generator) -> Shots:
    """Another crop of the same pictures, a little beside and of another size.

    One for all whose motion codes are exchanged, for a code says where in the picture a head is.
    """
    zoom, x, y = _framing(chance)
    shift = torch.tensor([x, y, 0.0])
    return Shots(
        _resampled(shots.frames, zoom, x, y),
        (shots.regions - shift) / zoom,
        (_resampled(shots.flows, zoom, x, y) - shift[:2].view(2, 1, 1)) / zoom,
    )


def reframed(frames: Tensor, chance: np.random.Generator) -> Tensor:
    """Frames [N, 3, S, S] as `reframe` changes them."""
    return _resampled(frames, *_framing(chance))


def _framing(chance: np.random.Generator) -> tuple[float, float, float]:
    zoom = float(np.exp(chance.normal(0.0, _ZOOM)))
    x, y = (float(v) for v in chance.normal(0.0, _SHIFT, 2))
    return zoom, x, y


def _resampled(pictures: Tensor, zoom: float, x: float, y: float) -> Tensor:
    theta = torch.tensor([[zoom, 0.0, x], [0.0, zoom, y]]).expand(len(pictures), 2, 3)
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def relight(frames: Tensor, chance: np.random.Generator) -> Tensor:
    """Frames in [-1, 1] with another gain per colour, gamma and level, kept in range."""
    gain = torch.from_numpy(chance.normal(1.0, _GAIN, (1, 3, 1, 1)).astype(np.float32))
    unit = (frames * 0.5 + 0.5).clamp(1e-4, 1.0) ** float(np.exp(chance.normal(0.0, _GAMMA)))
    level = float(chance.normal(0.0, _LEVEL))
    return (unit * gain + level).clamp(0.0, 1.0) * 2.0 - 1.0
