"""What shows through the openings: teeth, tongue and cavity behind the lips, eyes behind the lids.

Both are pictures on rigid pieces of the head, so one affine map each brings a patch of the frame
to the picture; all pictures of a kind are sampled in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.motion.space import MOTION_INDEX
from pipelines.portrait.bake import Baked
from pipelines.portrait.flow import affine_grid
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.mouth import JAW_DROP
from pipelines.portrait.pose import Pose
from pipelines.portrait.teeth import BOTTOM, HALF_WIDTH, MILLIMETRE, TOP

_JAW = 0.86 * JAW_DROP / MILLIMETRE  # travel of the lower teeth at jawOpen 1, mm
_SHADOW = (0.36, 0.42, 0.45)  # of the upper lip on what is behind it: reddish
_EYE_RADIUS = 0.135  # of an eyeball, in interocular distances
_OPEN, _LEFT, _RIGHT = (MOTION_INDEX[n] for n in ("jawOpen", "jawLeft", "jawRight"))
_TONGUE = MOTION_INDEX["tongueOut"]
_YAW, _PITCH = MOTION_INDEX["gazeYaw"], MOTION_INDEX["gazePitch"]
_BLINK = (MOTION_INDEX["eyeBlinkRight"], MOTION_INDEX["eyeBlinkLeft"])

Affine = list[list[float]]  # 2 x 3


def paint_mouth(baked: Baked, values: Sequence[float], pose: Pose, patch: Patch) -> Tensor:
    """Teeth, tongue and cavity in the mouth's patch: [3, H, W]."""
    face = baked.face
    jaw = max(0.0, values[_OPEN] - 0.25 * values[MOTION_INDEX["mouthClose"]]) * _JAW
    side = 8.0 * (values[_LEFT] - values[_RIGHT])
    middle = face.mouth.middle / MILLIMETRE
    wide = 0.5 + 0.5 * min(face.mouth.half_width, 0.15) / (28.0 * MILLIMETRE)
    lift = min(values[_TONGUE], 0.3) / 0.3
    places = (
        (middle + 0.7 * side, 3.4 + 0.46 * jaw - 8.0 * lift * min(1.0, jaw / 8 + 0.2)),
        (middle + side, 1.2 + 0.93 * jaw),
        (middle, 2.2),
    )
    back = _to_mouth(baked, pose, patch)
    maps = [_to_picture(back, x, y, wide) for x, y in places]
    grid = affine_grid(torch.tensor(maps, device=baked.teeth.device), *patch.cover.shape)
    tongue, lower, upper = F.grid_sample(
        baked.teeth, grid, padding_mode="zeros", align_corners=False
    )
    inside = torch.addcmul(tongue[:3], baked.cavity, 1.0 - tongue[3:])
    inside = torch.addcmul(lower[:3], inside, 1.0 - lower[3:])
    inside = torch.addcmul(upper[:3], inside, 1.0 - upper[3:])
    unit = face.unit * baked.size / 2
    fade = baked.teeth.new_tensor([1.0 / (0.022 * unit), 1.0 / (0.012 * unit)]).view(2, 1, 1)
    near = torch.exp(patch.inside.clamp(max=0.0) * fade)  # [2, H, W]: under either lip
    warm = baked.teeth.new_tensor(_SHADOW).view(3, 1, 1)
    return inside * (1.0 - warm * near[0]) * (1.0 - 0.8 * warm * near[1])


def _to_mouth(baked: Baked, pose: Pose, patch: Patch) -> Affine:
    """Map the patch (-1..1) to millimetres in the mouth's frame."""
    face = baked.face
    dx, dy = pose.displace(baked.teeth_anchor)
    back = _inverse(pose.rows[2:])
    axes = face.axes.tolist()
    unit = face.unit * MILLIMETRE
    matrix = [[sum(axes[i][k] * back[k][j] for k in (0, 1)) / unit for j in (0, 1)] for i in (0, 1)]
    return _from_window(matrix, (float(face.origin[0]) + dx, float(face.origin[1]) + dy), patch)


def _to_picture(back: Affine, x: float, y: float, wide: float) -> Affine:
    """From millimetres to the coordinates of a mouth picture with its origin at (x, y)."""
    across, down, middle = 1 / (wide * HALF_WIDTH), 2 / (BOTTOM - TOP), (TOP + BOTTOM) / 2
    (a, b, c), (d, e, f) = back
    return [
        [a * across, b * across, (c - x) * across],
        [d * down, e * down, (f - y - middle) * down],
    ]


def paint_eyes(
    baked: Baked, values: Sequence[float], pose: Pose, patches: Sequence[Patch]
) -> list[Tensor]:
    """The eyeballs in the patches of both eyes: two of [3, H, W]."""
    face, eyes = baked.face, baked.eyeballs
    radius = _EYE_RADIUS * face.interocular * face.unit
    look = (
        radius * math.sin(math.radians(values[_YAW])),
        -radius * math.sin(math.radians(values[_PITCH])),
    )
    height, width = eyes.pictures.shape[-2:]
    back = _inverse(pose.rows[2:])
    maps: list[Affine] = []
    for dx, dy in ((0.0, 0.0), look):
        for i, patch in enumerate(patches):
            cx, cy = baked.eyes.centres[i]
            mx, my = pose.displace(baked.eyes.anchors[i])
            (a, b, c), (d, e, f) = _from_window(back, (cx + mx, cy + my), patch)
            left, top = eyes.corners[i]
            sx, sy = baked.size / width, baked.size / height
            x = (c + cx - dx + 1) * sx - 2 * left / width - 1
            y = (f + cy - dy + 1) * sy - 2 * top / height - 1
            maps.append([[a * sx, b * sx, x], [d * sy, e * sy, y]])
    grid = affine_grid(torch.tensor(maps, device=baked.teeth.device), *patches[0].cover.shape)
    found = F.grid_sample(eyes.pictures, grid, padding_mode="border", align_corners=False)
    inside = torch.addcmul(found[2:, :3], found[:2, :3], 1.0 - found[2:, 3:])  # [2, 3, H, W]
    unit = 0.010 * face.unit * baked.size / 2
    result = []
    for i, patch in enumerate(patches):
        shadow = torch.exp(patch.inside[0].clamp(max=0.0) / unit)
        strength = 0.45 * min(max(2 * values[_BLINK[i]], 0.0), 1.0)
        result.append(inside[i] * (1.0 - strength * shadow))
    return result


def _inverse(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    (a, b), (c, d) = rows
    det = a * d - b * c
    return [[d / det, -b / det], [-c / det, a / det]]


def _from_window(
    matrix: Sequence[Sequence[float]], centre: tuple[float, float], patch: Patch
) -> Affine:
    """Compose `matrix` (canvas offset from `centre` -> anything) with the patch's own map."""
    height, width = patch.cover.shape
    sx, sy = width / patch.size, height / patch.size
    ox = (2 * patch.left + width) / patch.size - 1 - centre[0]
    oy = (2 * patch.top + height) / patch.size - 1 - centre[1]
    return [[row[0] * sx, row[1] * sy, row[0] * ox + row[1] * oy] for row in matrix]
