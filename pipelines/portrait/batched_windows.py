"""Where the pictures behind lips and lids lie in frames of many faces.

What `inside_mouth.place_pictures` and `mouth_and_eyes.place_eye` are for one frame. Each picture
lies on a rigid piece of the head, so one affine map brings pixels of the frame to its texels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipelines.motion.space import MOTION_INDEX
from pipelines.portrait import rules
from pipelines.portrait.batched_face import Opening, Rig
from pipelines.portrait.batched_motion import Poses
from pipelines.portrait.teeth import BOTTOM, HALF_WIDTH, MILLIMETRE, TOP


def picture_maps(motion: Tensor, rig: Rig, eyes: Opening, poses: Poses) -> Tensor:
    """`Placed.maps`, float32 [n, 7, 6], for motion [n, D]."""
    back = _inverse(poses.rotation)
    maps = torch.cat([_mouth(motion, rig, poses, back), _eyes(motion, rig, eyes, poses, back)], 1)
    return _from_pixels(rig, maps).flatten(2)


def _mouth(motion: Tensor, rig: Rig, poses: Poses, back: Tensor) -> Tensor:
    """From canvas coordinates to texels of tongue, lower and upper teeth, [n, 3, 2, 3]."""
    to_mm = rig.axes @ back / (rig.unit * MILLIMETRE)[:, None, None]
    centre = rig.origin + poses.displace(rig.mouth_anchor[:, None])[:, 0]
    middle, meet, edge, wide = rig.mouth.unbind(1)
    jaw, lift, side = _jaw_and_tongue(motion)
    travel = rules.TONGUE_TRAVEL, rules.LOWER_TRAVEL
    x = torch.stack([middle + 0.7 * side, middle + side, middle], dim=1)
    y = torch.stack(
        [
            meet + rules.TONGUE_TOP + travel[0] * jaw - lift,
            meet + rules.LOWER_EDGE + travel[1] * jaw,
            edge,
        ],
        dim=1,
    )
    place = torch.stack([x, y + (TOP + BOTTOM) / 2], dim=2)  # [n, 3, 2] mm: the pictures' middles
    size = rig.mouth_size / 2
    texels = torch.stack([size[:, 0] / (wide * HALF_WIDTH), size[:, 1] * 2 / (BOTTOM - TOP)], dim=1)
    offset = -(to_mm @ centre[..., None])[:, None, :, 0] - place
    return _scaled(to_mm, offset, texels, (size - 0.5)[:, None])


def _jaw_and_tongue(motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How far the jaw is open, how many mm the tongue rises, and how many the jaw goes aside."""

    def value(name: str) -> Tensor:
        return motion[:, MOTION_INDEX[name]]

    jaw = (value("jawOpen") - 0.25 * value("mouthClose")).clamp(min=0.0)
    side = rules.JAW_SIDE * (value("jawLeft") - value("jawRight"))
    room = (4.0 * jaw).clamp(max=1.0)  # a tongue has no place to move in a shut mouth
    lift = rules.TONGUE_TIP * (value("tongueOut") / 0.3).clamp(max=1.0)
    lift = lift * (2.0 * jaw + 0.2).clamp(max=1.0)
    spread, rounded = value("mouthStretchLeft"), value("mouthFunnel")
    return jaw, lift + room * (rules.FRONT * spread - rules.BACK * rounded), side


def _eyes(motion: Tensor, rig: Rig, eyes: Opening, poses: Poses, back: Tensor) -> Tensor:
    """From canvas coordinates to texels of what stays and what looks, right and left:
    [n, 4, 2, 3]."""
    radius = rules.EYE_RADIUS * rig.interocular * rig.unit
    yaw, pitch = (
        (motion[:, MOTION_INDEX[name]] * (math.pi / 180.0)).sin() * radius
        for name in ("gazeYaw", "gazePitch")
    )
    look = torch.stack([torch.zeros_like(eyes.centres[:, 0]), torch.stack([yaw, -pitch], 1)], 1)
    half = rig.side[:, None] / 2
    centres = eyes.centres
    gone = centres + poses.displace(eyes.anchors)  # [n, 2, 2]
    offset = centres - gone @ back.transpose(1, 2)
    offset = (offset[:, :, None] - look[:, None]).flatten(1, 2) + 1.0  # [n, 4, 2]
    corner = rig.eye_corners.repeat_interleave(2, dim=1)
    return _scaled(back, offset, half.expand(-1, 2), -corner - 0.5)


def _scaled(matrix: Tensor, offset: Tensor, texels: Tensor, first: Tensor) -> Tensor:
    """Maps [n, C, 2, 3] of x to texels * (matrix x + offset) + first."""
    turned = (matrix * texels[..., None])[:, None].expand(-1, offset.shape[1], -1, -1)
    return torch.cat([turned, (offset * texels[:, None] + first)[..., None]], dim=3)


def _from_pixels(rig: Rig, maps: Tensor) -> Tensor:
    """Maps of canvas coordinates, [n, C, 2, 3], as maps of the frame's pixels."""
    pixel = (2.0 / rig.side)[:, None]
    start = (0.5 - rig.corner) * pixel - 1.0  # canvas coordinates of the frame's first pixel
    turned = maps[..., :2]
    offset = maps[..., 2] + (turned @ start[:, None, :, None])[..., 0]
    return torch.cat([turned * pixel[..., None, None], offset[..., None]], dim=3)


def _inverse(matrix: Tensor) -> Tensor:
    """Of 2 x 2 matrices [n, 2, 2]."""
    (a, b), (c, d) = ((row[:, 0], row[:, 1]) for row in matrix.unbind(1))
    rows = torch.stack([d, -b, -c, a], dim=1).view(-1, 2, 2)
    return rows / (a * d - b * c)[:, None, None]
