"""What shows between parted lips: teeth, tongue and cavity, lit through the opening, and the wet
inner side of the lips.

The pictures lie on rigid pieces of the head, so one affine map each brings a patch of the frame to
them, and all are sampled in one batch. Light comes in from outside: what lies deep is dark behind a
slit and lit behind a wide opening, and the upper lip casts its shadow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.portrait_layout import STRIP
from kernels.reference_mouth_and_eyes import (
    LEAST,
    LEAST_WET,
    LIT_HALF,
    LOWER_SHADOW,
    SHADOW_MM,
    WET_MM,
)
from pipelines.motion.space import MOTION_INDEX
from pipelines.photo.geometry import Array, Face, single, smoothstep
from pipelines.photo.tones import colourfulness, tone_of, toned, toned_over
from pipelines.portrait.lip_line import opening
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.neutral import meeting
from pipelines.portrait.own_teeth import own_teeth
from pipelines.portrait.pose import Pose, pose_fields
from pipelines.portrait.rules import (
    BACK,
    FRONT,
    JAW_SIDE,
    LOWER_EDGE,
    LOWER_TRAVEL,
    TONGUE_TIP,
    TONGUE_TOP,
    TONGUE_TRAVEL,
    UPPER_EDGE,
)
from pipelines.portrait.teeth import (
    BOTTOM,
    HALF_WIDTH,
    MILLIMETRE,
    TOP,
    lower_teeth,
    tongue,
    upper_teeth,
    width_scale,
)
from pipelines.portrait.window import Affine, from_window, inverse

_TINT = 0.4  # of the cast of the light that painted teeth take: they are wet, and white
_UNSHADED, _MOST_GAIN = 0.85, 1.5  # of that light, teeth of the photo have at least; by what gain
_BRIGHTER = 0.75  # exponent of the light's brightness: in dim light, teeth still are what is white

_SHADOW = (0.20, 0.36, 0.42)  # of the upper lip, next to it: reddish, for lips shine through
_WET_LIGHT = (0.68, 0.88)  # of the light on their outside
_CORNER_LIGHT = 0.2  # by which it is brighter in the corners, where it fills a slit: a dark one
# would run out as a line
_CAVITY = (0.27, 0.11, 0.10)
_BACK_MM = 0.05  # how far the teeth lie behind the lips, face units
_LINE = (0.004, 0.013)  # least and most of the dark line between lips, face units

_OPEN, _CLOSE = MOTION_INDEX["jawOpen"], MOTION_INDEX["mouthClose"]
_LEFT, _RIGHT = MOTION_INDEX["jawLeft"], MOTION_INDEX["jawRight"]
_TONGUE = MOTION_INDEX["tongueOut"]
_SPREAD, _ROUND = MOTION_INDEX["mouthStretchLeft"], MOTION_INDEX["mouthFunnel"]


@dataclass(frozen=True)
class InsideMouth:
    """Of one identity, at one frame size."""

    pictures: Tensor  # uint8 [3, h, w, 4] tongue, lower and upper teeth, premultiplied
    cavity: Array  # [3, 1, 1] colour of what is behind them all
    shadow: Array  # [3, 1, 1] light that the lips take, next to them
    lips: Array  # [2, 3, STRIP] inner side of the upper and the lower lip, right to left corner
    across: tuple[float, float, float]  # canvas pixels x, y, 1 to the position along the strip
    anchor: tuple[float, ...]  # pose fields of the teeth
    meet: float  # mm below the origin of the face at which lips meet,
    edge: float  # and where the upper teeth end
    pixels_per_mm: float


def inside_mouth(
    face: Face,
    skin: Tensor,
    tint: Array,
    size: int,
    blur_px: float,
    line: tuple[float, float],
    shown: tuple[Face, Tensor],
) -> InsideMouth:
    """Paint it for a face whose photo `skin` is [3, S, S], lit by `tint` [3]; `line` as `lip_line`.

    `blur_px` is how many canvas pixels one pixel of the photo covers: nothing drawn is sharper.
    `shown` are the face, its mouth as found, and the photo: teeth that show in it are used.
    """
    per_mm = MILLIMETRE * face.unit * size / 2
    scale = float(np.clip(1.3 * per_mm, 0.8, 5.0))
    own = own_teeth(*shown, scale)
    tint, light = (_paled(tint), 1.0) if own is None else _out_of_shade(own.tint, _paled(tint))
    parts = torch.stack([tongue(scale, tint), lower_teeth(scale, tint), upper_teeth(scale, tint)])
    blur = 0.45 * blur_px * size / skin.shape[-1] * scale / per_mm
    grey = 1.0 - colourfulness(face, skin)
    parts = _blurred(parts, blur)
    if own is not None:
        parts[2] = own.upper
        parts[2, :3] = (parts[2, :3] * light).minimum(parts[2, 3:])
    parts[:, :3] = torch.lerp(parts[:, :3], _grey(parts[:, :3]), grey)
    cavity = torch.tensor(_CAVITY).view(1, 3, 1, 1) * torch.from_numpy(tint).view(1, 3, 1, 1)
    shadow = torch.tensor(_SHADOW).view(1, 3, 1, 1)
    tone = tone_of(skin)
    if not torch.equal(tone, torch.eye(3, 4)):
        parts, cavity = toned_over(parts, tone), toned(cavity, tone[None]).clamp(0.0, 1.0)
    meet = meeting(face) / MILLIMETRE
    zero = np.zeros(1, dtype=np.float32)
    row = np.append(face.axes[0], -face.origin @ face.axes[0]) / face.unit
    row[2] -= face.mouth.left
    a, b, c = row * (STRIP - 1) / (2 * face.mouth.half_width)
    return InsideMouth(
        pictures=_bytes(parts),
        cavity=torch.lerp(cavity, _grey(cavity), grey)[0].numpy(),
        shadow=torch.lerp(shadow, shadow.mean(1, True).expand_as(shadow), grey)[0].numpy(),
        lips=_inner_lips(face, skin, line).numpy(),
        across=(a * 2 / size, b * 2 / size, c + (a + b) * (1 / size - 1)),
        meet=meet,
        edge=meet + UPPER_EDGE,
        anchor=tuple(float(v) for v in pose_fields(face, zero, zero, _BACK_MM)[:, 0]),
        pixels_per_mm=per_mm,
    )


def paint_mouth(inside: InsideMouth, patch: Patch, pictures: Array) -> Array:
    """What the patch of the mouth shows where there is no skin: [3, H, W].

    pictures: `InsideMouth.pictures` as `place_pictures` puts them, [3, 4, H, W] in [0, 1].
    """
    below, above = np.maximum(-patch.inside, 0.0) * (1.0 / inside.pixels_per_mm)  # mm to the lips
    gap = below + above
    front, deep = (
        least + (1.0 - least) * gap / (gap + half)
        for least, half in zip(LEAST, LIT_HALF, strict=True)
    )
    tongue, lower, upper = pictures
    shown = (tongue[:3] + inside.cavity * (1.0 - tongue[3:])) * deep
    for teeth in (lower, upper):
        shown = teeth[:3] * front + shown * (1.0 - teeth[3:])
    dark = inside.shadow
    shown *= 1.0 - dark * np.exp(below * (-1.0 / SHADOW_MM[0]))
    shown *= 1.0 - LOWER_SHADOW * dark * np.exp(above * (-1.0 / SHADOW_MM[1]))
    return _lips_turned_in(inside, patch, shown, (below, above))


def _lips_turned_in(
    inside: InsideMouth, patch: Patch, shown: Array, away: tuple[Array, Array]
) -> Array:
    """Continue the red of both lips inwards by a millimetre or so, never by under a pixel.

    The less so, and the darker, the narrower the opening is there.
    """
    x, y = patch.source
    a, b, c = inside.across
    place = np.clip(np.rint(a * x + b * y + c), 0, STRIP - 1).astype(np.intp)
    gap = away[0] + away[1]
    lit = 0.5 + 0.5 * gap / (gap + 1.0)
    for i in (0, 1):
        reach = np.clip(0.4 * gap, LEAST_WET / inside.pixels_per_mm, WET_MM[i])
        share = np.exp(-np.square(away[i] / reach))
        shown += (inside.lips[i][:, place] * lit - shown) * share
    return shown


def place_pictures(
    inside: InsideMouth, face: Face, values: Sequence[float], pose: Pose, patch: Patch
) -> list[Affine]:
    """From the patch to tongue, lower and upper teeth."""
    jaw = max(0.0, values[_OPEN] - 0.25 * values[_CLOSE])
    side = JAW_SIDE * (values[_LEFT] - values[_RIGHT])
    middle, wide = mouth_place(face)
    room = min(1.0, 4.0 * jaw)  # a tongue has no place to move in a shut mouth
    lift = TONGUE_TIP * min(values[_TONGUE] / 0.3, 1.0) * min(1.0, 2.0 * jaw + 0.2)
    lift += room * (FRONT * values[_SPREAD] - BACK * values[_ROUND])
    places = (
        (middle + 0.7 * side, inside.meet + TONGUE_TOP + TONGUE_TRAVEL * jaw - lift),
        (middle + side, inside.meet + LOWER_EDGE + LOWER_TRAVEL * jaw),
        (middle, inside.edge),
    )
    back = _to_mouth(inside, face, pose, patch)
    return [_to_picture(back, x, y, wide) for x, y in places]


def mouth_place(face: Face) -> tuple[float, float]:
    """x of the mouth's middle, mm, and how much wider than an average one it is."""
    left, right = opening(face)
    return face.mouth.middle / MILLIMETRE, width_scale((right - left) / 2)


def _to_mouth(inside: InsideMouth, face: Face, pose: Pose, patch: Patch) -> Affine:
    """Map the patch (-1..1) to millimetres in the mouth's frame."""
    dx, dy = pose.displace(inside.anchor)
    back = inverse(pose.rows[2:])
    axes = face.axes.tolist()
    unit = face.unit * MILLIMETRE
    matrix = [[sum(axes[i][k] * back[k][j] for k in (0, 1)) / unit for j in (0, 1)] for i in (0, 1)]
    return from_window(matrix, (float(face.origin[0]) + dx, float(face.origin[1]) + dy), patch)


def _to_picture(back: Affine, x: float, y: float, wide: float) -> Affine:
    """From millimetres to the coordinates of a mouth picture with its origin at (x, y)."""
    across, down, middle = 1 / (wide * HALF_WIDTH), 2 / (BOTTOM - TOP), (TOP + BOTTOM) / 2
    (a, b, c), (d, e, f) = back
    return [
        [a * across, b * across, (c - x) * across],
        [d * down, e * down, (f - y - middle) * down],
    ]


def _inner_lips(face: Face, skin: Tensor, line: tuple[float, float]) -> Tensor:
    """Colours just outside the dark line between the lips, darkened as their inner side is."""
    rim = face.mouth
    pixel = 2.0 / skin.shape[-1] / face.unit
    left, right = opening(face)
    inset = 0.1 * (right - left)  # at the corners is skin, not lip
    x = np.linspace(rim.left, rim.right, STRIP, dtype=np.float32)
    ends = smoothstep(0.80, 0.98, np.abs(2.0 * (x - left) / (right - left) - 1.0))
    rounded = torch.from_numpy(1.0 + _CORNER_LIGHT * ends)
    x = np.clip(x, left + inset, right - inset)
    strips = []
    for edge, outwards, light, dark in zip(
        (rim.upper_at(x), rim.lower_at(x)), (-1.0, 1.0), _WET_LIGHT, line, strict=True
    ):
        away = [outwards * (dark + n * pixel) for n in range(3)]
        points = np.stack([np.stack([x, edge + d], axis=-1) for d in away])
        where = torch.from_numpy(face.to_canvas(points))[None]
        red = F.grid_sample(skin[None], where, align_corners=False)[0].mean(dim=1)  # [3, STRIP]
        smooth = F.avg_pool1d(F.pad(red[None], (4, 4), mode="replicate"), 9, stride=1)[0]
        strips.append(smooth * light * rounded)
    return torch.stack(strips)


def lip_line(face: Face, picture: Tensor) -> tuple[float, float]:
    """How far the dark line between closed lips reaches into the upper and the lower lip, in face
    units: to where the lips are nearly as bright as further out."""
    rim, n = face.mouth, 12
    pixel = 2.0 / picture.shape[-1] / face.unit
    x = np.linspace(0.7 * rim.left, 0.7 * rim.right, 25, dtype=np.float32)
    found = []
    for edge, outwards in ((rim.upper_at(x), -1.0), (rim.lower_at(x), 1.0)):
        away = single(np.arange(n) * 0.75 * pixel)
        points = np.stack(
            [np.broadcast_to(x, (n, len(x))), edge + outwards * away[:, None]], axis=-1
        )
        where = torch.from_numpy(face.to_canvas(points))[None]
        level = F.grid_sample(picture[None], where, align_corners=False)[0].mean(0).median(1)[0]
        darker = torch.nonzero(level[: int(level.argmax())] < 0.88 * level.max()).flatten()
        last = int(darker[-1]) + 1 if len(darker) else 0
        found.append(float(np.clip(away[min(last, n - 1)], _LINE[0], _LINE[1])))
    return found[0], found[1]


def _bytes(pictures: Tensor) -> Tensor:
    """[N, 4, H, W] in [0, 1] to uint8 [N, H, W, 4]."""
    rounded = (pictures * 255.0).round().clamp(0.0, 255.0).to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous()


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [N, C, H, W], none below a third of a pixel."""
    if sigma < 0.33:
        return pictures
    reach = max(1, round(2.5 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    n, c, h, w = pictures.shape
    flat = F.pad(pictures.reshape(n * c, 1, h, w), (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(flat, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).view(
        n, c, h, w
    )


def _paled(tint: Array) -> Array:
    luma = float(tint @ np.array([0.299, 0.587, 0.114]))
    return single((luma + _TINT * (tint - luma)) * min(luma, 1.0) ** (_BRIGHTER - 1.0))


def _out_of_shade(own: Array, usual: Array) -> tuple[Array, float]:
    """The light on teeth of a photo, and what brings them there if they were in the lips' shade.

    `usual` is the light that painted teeth would be in.
    """
    gain = float(np.clip(_UNSHADED * usual.mean() / own.mean(), 1.0, _MOST_GAIN))
    return single(own * gain), gain


def _grey(colours: Tensor) -> Tensor:
    """Luma of [N, 3, H, W], in all three channels."""
    luma = (colours * colours.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, True)
    return luma.expand_as(colours)
