"""What shows through the openings of the lids: the eyes.

They are pictures on rigid pieces of the head, so one affine map each brings a patch of the frame
to the picture. Here is where they lie and how they are lit; `paint_bytes` and `paint_tensors`
sample them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.motion.space import MOTION_INDEX
from pipelines.portrait.bake import Baked
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.pose import Pose
from pipelines.portrait.rules import EYE_RADIUS
from pipelines.portrait.window import Affine, from_window, inverse

_YAW, _PITCH = MOTION_INDEX["gazeYaw"], MOTION_INDEX["gazePitch"]


def place_eye(
    baked: Baked, values: Sequence[float], pose: Pose, index: int, patch: Patch
) -> list[Affine]:
    """From the patch of an eye (0 right, 1 left) to its pictures that stay, and to its iris."""
    face = baked.face
    radius = EYE_RADIUS * face.interocular * face.unit
    look = (
        radius * math.sin(math.radians(values[_YAW])),
        -radius * math.sin(math.radians(values[_PITCH])),
    )
    height, width = baked.eyeballs.shape[1:3]
    cx, cy = baked.eyes.centres[index]
    mx, my = pose.displace(baked.eyes.anchors[index])
    back = inverse(pose.rows[2:])
    (a, b, c), (d, e, f) = from_window(back, (cx + mx, cy + my), patch)
    left, top = baked.eye_corners[index]
    sx, sy = baked.placement.side / width, baked.placement.side / height
    maps: list[Affine] = []
    for dx, dy in ((0.0, 0.0), look):
        x = (c + cx - dx + 1) * sx - 2 * left / width - 1
        y = (f + cy - dy + 1) * sy - 2 * top / height - 1
        maps.append([[a * sx, b * sx, x], [d * sy, e * sy, y]])
    return maps
