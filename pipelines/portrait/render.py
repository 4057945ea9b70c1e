"""The `portrait` renderer: motion and cached identities to frames, slot by slot.

Two layers of skin part at the lips and at each pair of lids. All motion is a displacement of the
photo, kept on coarse lattices; each layer's displacement is inverted there (fixed point), brought
to pixels, and the person is sampled once. What lies behind the openings is painted into small
windows that follow the head. The background never moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import reference
from kernels.i420 import rgb_to_i420
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.portrait.bake import BASE, CACHE, Baked, Region
from pipelines.portrait.eyeball import Eyeball
from pipelines.portrait.mouth import JAW_DROP
from pipelines.portrait.pose import depth, pose_fields, pose_matrix
from pipelines.portrait.teeth import (
    LOWER_FRAME,
    MILLIMETRE,
    TONGUE_FRAME,
    UPPER_FRAME,
    TeethFrame,
)

SIZES = (256, 512)
_ITERATIONS = 3
_SHAPES = len(BLENDSHAPES)


class PortraitRenderer:
    """Renders the portraits of up to `slots` sessions at one size."""

    def __init__(self, slots: int, size: int = 512, device: torch.device | str = "cpu") -> None:
        if size not in SIZES:
            raise ValueError(f"size must be one of {SIZES}, got {size}")
        if slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        self.slots = slots
        self.size = size
        self.device = torch.device(device)
        self._identities: list[Baked | None] = [None] * slots
        self._pixels = _pixel_grid(size)

    def set_identity(self, slot: int, identity: IdentityFeatures) -> None:
        """Give `slot` a face, from the next render on. Instant once `bake.prepare` has run."""
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot must be in 0..{self.slots - 1}, got {slot}")
        self._identities[slot] = CACHE.get(identity, self.size)

    def render(self, motion: Tensor, slots: Sequence[int]) -> Tensor:
        """Draw one frame per row of `motion` [N, MOTION_DIM] as I420 uint8 [N, S * 3 / 2, S]."""
        with torch.inference_mode():
            frames = [rgb_to_i420(rgb) for rgb in self._frames(motion, slots)]
            return torch.cat(frames) if len(frames) != 1 else frames[0]

    def render_rgb(self, motion: Tensor, slots: Sequence[int]) -> Tensor:
        """Draw one frame per row of `motion` [N, MOTION_DIM] as RGB uint8 [N, S, S, 3]."""
        with torch.inference_mode():
            frames = [(rgb * 255.0).round().to(torch.uint8) for rgb in self._frames(motion, slots)]
            return torch.cat(frames).permute(0, 2, 3, 1).contiguous()

    def _frames(self, motion: Tensor, slots: Sequence[int]) -> list[Tensor]:
        if motion.dim() != 2 or motion.shape != (len(slots), MOTION_DIM):
            raise ValueError(
                f"motion must be [{len(slots)}, {MOTION_DIM}] for {len(slots)} slots, "
                f"got {tuple(motion.shape)}"
            )
        frames = []
        for row, slot in zip(motion, slots, strict=True):
            baked = self._identities[slot]
            if baked is None:
                raise ValueError(f"slot {slot} has no identity; call set_identity first")
            frames.append(_draw(baked, row, self._pixels))
        return frames


def _pixel_grid(size: int) -> Tensor:
    """Canvas coordinates of pixel centres: [1, S, S, 2]."""
    x = (2 * torch.arange(size, dtype=torch.float32) + 1) / size - 1
    return torch.stack(torch.meshgrid(x, x, indexing="xy"), dim=-1)[None].contiguous()


class _Pose:
    """The head's pose in canvas coordinates."""

    def __init__(self, baked: Baked, values: Sequence[float]) -> None:
        at = MOTION_INDEX["headYaw"]
        rows, rotation = pose_matrix(values[at : at + 6], baked.face.interocular)
        axes = torch.from_numpy(baked.face.axes)
        self.coefficients = axes.T @ torch.tensor(rows) * baked.face.unit  # [2, 4]
        self.rotation = axes.T @ torch.tensor(rotation) @ axes  # [2, 2]

    def affine(self, baked: Baked, x: float, y: float, z_back: float) -> tuple[Tensor, Tensor]:
        """Where a rigid piece of the head at face point (x, y) goes: matrix [2, 2], offset [2]."""
        import numpy as np

        fx, fy = np.array([x], np.float32), np.array([y], np.float32)
        z = depth(baked.face, fx, fy) - z_back
        field = torch.from_numpy(pose_fields(baked.face, fx, fy, z))[:, 0]
        return self.rotation, self.coefficients @ field


def _draw(baked: Baked, motion: Tensor, pixels: Tensor) -> Tensor:
    values = motion.tolist()
    weights = torch.cat([motion[:_SHAPES].float(), torch.ones(1)])[None]
    pose = _Pose(baked, values)
    grid, shade = _base(baked, weights, pose, pixels)
    openings = [_open(baked, baked.mouth, weights, pose, grid, shade)]
    openings += [_open(baked, eye, weights, pose, grid, shade) for eye in baked.eyes]
    layer = reference.warp(baked.person, grid)
    layer[:, :3] *= shade
    frame = reference.composite(layer, baked.behind)
    _paint(frame, openings[0], _mouth_inside(baked, values, pose, openings[0], pixels))
    for i in (0, 1):
        inside = _eye_inside(baked, i, values, pose, openings[1 + i], pixels)
        _paint(frame, openings[1 + i], inside)
    return frame.clamp_(0.0, 1.0)


def _base(baked: Baked, weights: Tensor, pose: _Pose, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel of the frame comes from, [1, S, S, 2], and its shading [1, 1, S, S]."""
    field = (weights @ baked.fields).view(3, -1)
    moved = pose.rotation @ field[:2] + pose.coefficients @ baked.pose
    lattice = torch.cat([moved, field[2:]]).view(1, 3, BASE, BASE)
    points = _cells(BASE)
    shift = lattice[:, :2]
    for _ in range(_ITERATIONS):
        where = points - shift.permute(0, 2, 3, 1)
        shift = reference.warp(lattice[:, :2], where)
    where = points - shift.permute(0, 2, 3, 1)
    found = reference.warp(lattice, where)
    size = (baked.size, baked.size)
    flow = found[:, :2].contiguous(memory_format=torch.channels_last)
    large = F.interpolate(flow, size, mode="bilinear", align_corners=False)
    shade = F.interpolate(found[:, 2:], size, mode="bilinear", align_corners=False)
    return pixels - large.permute(0, 2, 3, 1), shade + 1.0


_CELLS: dict[int, Tensor] = {}


def _cells(side: int) -> Tensor:
    if side not in _CELLS:
        _CELLS[side] = _pixel_grid(side)
    return _CELLS[side]


class _Opening:
    """A window of the frame around an opening, and how much skin covers it."""

    def __init__(self, left: int, top: int, distance: Tensor) -> None:
        self.left = left
        self.top = top
        self.height, self.width = distance.shape[-2:]
        self.distance = distance  # [2, H, W] px inside the upper and the lower skin
        self.cover = (distance + 0.5).clamp(0.0, 1.0).sum(0).clamp(max=1.0)  # [H, W]


def _open(
    baked: Baked, region: Region, weights: Tensor, pose: _Pose, grid: Tensor, shade: Tensor
) -> _Opening:
    """Trace both layers of `region` and write the nearer one into `grid` and `shade`."""
    size = baked.size
    moved = pose.coefficients @ region.anchor
    left = round((region.centre[0] + float(moved[0]) + 1) / 2 * size) - region.width // 2
    top = round((region.centre[1] + float(moved[1]) + 1) / 2 * size) - region.height // 2
    left = max(0, min(left, size - region.width))
    top = max(0, min(top, size - region.height))
    rows, columns = region.rows, region.columns
    field = (weights @ region.fields).view(2, 4, -1)
    lattice = field.clone()
    lattice[:, :2] = pose.rotation @ field[:, :2] + pose.coefficients @ region.pose
    lattice = lattice.view(2, 4, rows, columns)
    width, height = region.width // 2 + 1, region.height // 2 + 1
    x = (2 * torch.linspace(left, left + region.width - 1, width) + 1) / size - 1
    y = (2 * torch.linspace(top, top + region.height - 1, height) + 1) / size - 1
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]  # [1, h, w, 2]
    box = region.box
    scale = torch.tensor([2 / (box[2] - box[0]), 2 / (box[3] - box[1])])
    middle = torch.tensor([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    local = (points - middle) * scale
    shift = moved.view(1, 2, 1, 1).expand(2, 2, height, width)
    for _ in range(4):
        shift = reference.warp(lattice[:, :2], local - shift.permute(0, 2, 3, 1) * scale)
    found = reference.warp(lattice, local - shift.permute(0, 2, 3, 1) * scale)
    found[:, :2] = points.permute(0, 3, 1, 2) - found[:, :2]
    fine = F.interpolate(found, (region.height, region.width), mode="bilinear", align_corners=True)
    upper, lower = fine[0], fine[1]
    choose = (upper[2] - lower[2] + 0.5).clamp(0.0, 1.0)
    mixed = torch.lerp(lower, upper, choose)
    rows_, columns_ = slice(top, top + region.height), slice(left, left + region.width)
    grid[0, rows_, columns_] = mixed[:2].permute(1, 2, 0)
    shade[0, 0, rows_, columns_] = mixed[3] + 1.0
    return _Opening(left, top, fine[:, 2])


def _paint(frame: Tensor, opening: _Opening, inside: Tensor) -> None:
    """Show `inside` [3, H, W] where no skin covers the opening."""
    rows = slice(opening.top, opening.top + opening.height)
    columns = slice(opening.left, opening.left + opening.width)
    window = frame[0, :, rows, columns]
    window.copy_(torch.lerp(inside, window, opening.cover))


def _window(pixels: Tensor, opening: _Opening) -> Tensor:
    return pixels[
        0, opening.top : opening.top + opening.height, opening.left : opening.left + opening.width
    ]


def _mouth_inside(
    baked: Baked, values: list[float], pose: _Pose, opening: _Opening, pixels: Tensor
) -> Tensor:
    """Teeth, tongue and cavity in the mouth's window: [3, H, W]."""
    face = baked.face
    matrix, offset = pose.affine(baked, 0.0, 0.0, 0.05)
    origin = torch.from_numpy(face.origin)
    axes = torch.from_numpy(face.axes)
    back = torch.linalg.inv(matrix)
    flat = _window(pixels, opening) - (origin + offset)
    local = (flat @ (axes @ back).T) / (face.unit * MILLIMETRE)  # mm, mouth frame
    jaw = (values[MOTION_INDEX["jawOpen"]] * 0.86 * JAW_DROP) / MILLIMETRE
    side = values[MOTION_INDEX["jawLeft"]] - values[MOTION_INDEX["jawRight"]]
    out = values[MOTION_INDEX["tongueOut"]]
    middle = face.mouth.middle / MILLIMETRE
    wide = face.mouth.half_width / MILLIMETRE / 26.0
    upper = _sample(baked.upper_teeth, UPPER_FRAME, local, middle, 2.2, wide)
    lower = _sample(
        baked.lower_teeth, LOWER_FRAME, local, middle + 8 * side, 1.2 + 0.93 * jaw, wide
    )
    rise = 5.5 + 0.93 * jaw - 11.0 * min(out, 0.3) / 0.3 * min(1.0, jaw / 8 + 0.2)
    tongue = _sample(baked.tongue, TONGUE_FRAME, local, middle + 6 * side, rise, wide)
    depth_ = torch.exp(-((local[..., 0] / 30) ** 2))
    inside = baked.cavity.view(3, 1, 1) * (0.55 + 0.45 * depth_)
    for layer in (tongue, lower, upper):
        inside = layer[:3] + (1 - layer[3:]) * inside
    unit = face.unit * baked.size / 2
    lip = torch.exp(opening.distance[0].clamp(max=0) / (0.022 * unit))
    low = torch.exp(opening.distance[1].clamp(max=0) / (0.012 * unit))
    return inside * (1 - 0.55 * lip) * (1 - 0.35 * low)


def _sample(
    picture: Tensor, frame: TeethFrame, local: Tensor, x: float, y: float, wide: float
) -> Tensor:
    """Sample a mouth picture laid with its origin at (x, y) mm: [4, H, W]."""
    scale = torch.tensor([2 / (frame.right - frame.left), 2 / (frame.bottom - frame.top)])
    middle = torch.tensor([(frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2])
    shape = torch.tensor([1 / wide, 1.0])
    grid = ((local - torch.tensor([x, y])) * shape - middle) * scale
    return F.grid_sample(picture, grid[None], padding_mode="zeros", align_corners=False)[0]


def _eye_inside(
    baked: Baked, index: int, values: list[float], pose: _Pose, opening: _Opening, pixels: Tensor
) -> Tensor:
    """The eyeball in its window: [3, H, W]."""
    eye: Eyeball = baked.eyeballs[index]
    region = baked.eyes[index]
    at = baked.face.to_face(__import__("numpy").array(region.centre, dtype="float32")[None])[0]
    matrix, offset = pose.affine(baked, float(at[0]), float(at[1]), 0.0)
    centre = torch.tensor(region.centre)
    source = (_window(pixels, opening) - centre - offset) @ torch.linalg.inv(matrix).T + centre
    yaw = math.sin(math.radians(values[MOTION_INDEX["gazeYaw"]]))
    pitch = math.sin(math.radians(values[MOTION_INDEX["gazePitch"]]))
    radius = 0.135 * baked.face.interocular * baked.face.unit
    look = torch.tensor([yaw * radius, -pitch * radius])
    white = _patch(eye.white, eye, source, baked.size)
    iris = _patch(eye.iris, eye, source - look, baked.size, "zeros")
    inside = iris[:3] + (1 - iris[3:]) * white
    unit = baked.face.unit * baked.size / 2
    lid = torch.exp(opening.distance[0].clamp(max=0) / (0.010 * unit))
    closing = max(values[MOTION_INDEX["eyeBlinkRight" if index == 0 else "eyeBlinkLeft"]], 0.0)
    return inside * (1 - 0.45 * min(closing * 2, 1.0) * lid)


def _patch(
    picture: Tensor, eye: Eyeball, source: Tensor, size: int, padding: str = "border"
) -> Tensor:
    height, width = picture.shape[-2:]
    x = ((source[..., 0] + 1) / 2 * size - eye.left) / width * 2 - 1
    y = ((source[..., 1] + 1) / 2 * size - eye.top) / height * 2 - 1
    grid = torch.stack([x, y], dim=-1)[None]
    return F.grid_sample(picture[None], grid, padding_mode=padding, align_corners=False)[0]
