"""Motion of many faces at once, as tensors: weights of their shapes, lids, and pose of the head.

What `render.shape_weights`, `eye_composite` and `pose.head_pose` are for one frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.motion.lip_closure import PARTING
from pipelines.motion.space import BLENDSHAPES, MOTION_INDEX
from pipelines.portrait import rules
from pipelines.portrait.batched_face import Rig

_PITCH = MOTION_INDEX["gazePitch"]


@dataclass(frozen=True)
class Poses:
    """Poses of n heads in canvas coordinates: see `rules.Pose`."""

    coefficients: Tensor  # float32 [n, 2, 4]
    rotation: Tensor  # float32 [n, 2, 2]

    def displace(self, fields: Tensor) -> Tensor:
        """Displacement [n, C, 2] of points whose pose fields are [n, C, 4]."""
        return fields @ self.coefficients.transpose(1, 2)


def shape_weights(motion: Tensor) -> Tensor:
    """Weights of `pipelines.portrait.basis.FIELDS`, [n, K], for motion [n, D]."""
    weights = motion[:, : len(BLENDSHAPES)].clone()
    open_, close = (weights[:, MOTION_INDEX[name]] for name in ("jawOpen", "mouthClose"))
    close.copy_(torch.minimum(close, open_.clamp(min=0.0)))
    raised, lids = _raised(motion), shut(motion)
    for eye in (0, 1):
        weights[:, rules.WIDE[eye]] += raised[:, eye]
        weights[:, rules.BLINK[eye]] = rules.SUNK * torch.tanh(lids[:, eye] / rules.SUNK)
    parts = [weights[:, MOTION_INDEX[name]] * share for name, share in PARTING.items()]
    parting = torch.stack(parts).sum(dim=0)
    held = 1.0 - _smooth((parting - rules.HELD) / (rules.WHOLE - rules.HELD))
    parted = _smooth((parting - rules.LINE[0]) / (rules.LINE[1] - rules.LINE[0]))
    more = [parting.clamp(min=0.0) * held, parted, parted * (1.0 - held), torch.ones_like(held)]
    return torch.cat([weights, torch.stack(more, dim=1)], dim=1)


def shut(motion: Tensor) -> Tensor:
    """How far the upper lids of motion [n, D] are down, right and left, [n, 2] in 0..1."""
    follow = (-motion[:, _PITCH] * rules.FOLLOW).clamp(0.0, rules.MOST_FOLLOW)
    return (_blinks(motion) + follow[:, None]).clamp(0.0, 1.0)


def _raised(motion: Tensor) -> Tensor:
    follow = (motion[:, _PITCH] * rules.RAISE).clamp(0.0, rules.MOST_RAISE)
    return follow[:, None] * (1.0 - _blinks(motion).clamp(0.0, 1.0))


def _blinks(motion: Tensor) -> Tensor:
    return torch.stack([motion[:, column] for column in rules.BLINK], dim=1)


def _smooth(t: Tensor) -> Tensor:
    t = t.clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def head_poses(motion: Tensor, rig: Rig) -> Poses:
    """Read the heads' poses from motion [n, D]."""
    values = motion[:, rules.HEAD]
    turn = values[:, :3] * (math.pi / 180.0)
    (cy, cp, cr), (sy, sp, sr) = turn.cos().unbind(1), turn.sin().unbind(1)
    scale = 1.0 + values[:, 5] * rig.interocular / rules.CAMERA
    across = torch.stack([cy, torch.zeros_like(cy), sy], dim=1)  # yaw, then pitch
    down = torch.stack([sp * sy, cp, -sp * cy], dim=1)
    rolled = [cr[:, None] * across - sr[:, None] * down, sr[:, None] * across + cr[:, None] * down]
    turned = torch.stack(rolled, dim=1) * scale[:, None, None]
    shift = values[:, 3:5] * rig.interocular[:, None]
    axes = rig.axes.transpose(1, 2)
    moved = axes @ torch.cat([turned, shift[..., None]], dim=2)  # [n, 2, 4]
    still = torch.nn.functional.pad(axes, (0, 2))
    return Poses(rig.unit[:, None, None] * (moved - still), moved[..., :2] @ rig.axes)
