"""The `portrait` renderer: motion and cached identities to frames, slot by slot.

Two layers of skin part at the lips and at each pair of lids. All motion is a displacement of the
photo, kept on coarse lattices; each layer's displacement is inverted there (fixed point), brought
to pixels, and the person is sampled once. What lies behind the openings is painted into small
windows that follow the head. The background never moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from kernels.i420 import rgb_to_i420
from kernels.warp import composite, warp
from pipelines.identity import IdentityFeatures
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.portrait.bake import CACHE, NODES, Baked
from pipelines.portrait.flow import invert, mirror_edges, refine, sample
from pipelines.portrait.inside import eyes_inside, mouth_inside
from pipelines.portrait.openings import Window, trace
from pipelines.portrait.pose import Pose, head_pose

SIZES = (256, 512)
_ITERATIONS = 4
_BANDS = 8  # small enough for a core's cache: half the time of the whole frame at once
_SHAPES = len(BLENDSHAPES)
_OPEN, _CLOSE = MOTION_INDEX["jawOpen"], MOTION_INDEX["mouthClose"]


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

    def set_identity(self, slot: int, identity: IdentityFeatures) -> None:
        """Give `slot` a face, from the next render on. Instant once `bake.prepare` has run."""
        if not 0 <= slot < self.slots:
            raise ValueError(f"slot must be in 0..{self.slots - 1}, got {slot}")
        self._identities[slot] = CACHE.get(identity, self.size, self.device)

    def render(self, motion: Tensor, slots: Sequence[int]) -> Tensor:
        """Draw one frame per row of `motion` [N, MOTION_DIM] as I420 uint8 [N, S * 3 / 2, S]."""
        with torch.inference_mode():
            frames = [rgb_to_i420(rgb) for rgb in self._frames(motion, slots)]
            return torch.cat(frames) if len(frames) != 1 else frames[0]

    def render_rgb(self, motion: Tensor, slots: Sequence[int]) -> Tensor:
        """Draw one frame per row of `motion` [N, MOTION_DIM] as RGB uint8 [N, S, S, 3]."""
        with torch.inference_mode():
            frames = [
                (rgb * 255.0).round().clamp(0, 255).to(torch.uint8)
                for rgb in self._frames(motion, slots)
            ]
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
            frames.append(self._draw(baked, row))
        return frames

    def _draw(self, baked: Baked, motion: Tensor) -> Tensor:
        """One frame, float32 [1, 3, S, S] in [0, 1] but for rounding."""
        values = motion.tolist()
        weights = shape_weights(motion.to(self.device))
        pose = head_pose(values, baked.face, self.device)
        source, shade, bands = base_flow(baked, weights, pose)
        windows = trace(baked.mouth, weights, pose, self.size)
        windows += trace(baked.eyes, weights, pose, self.size)
        for window in windows:
            source[(slice(None), *window.box)] = window.source
            shade[window.box] = window.shade
        mirror_edges(source, self.size // 8)
        frame = draw_person(baked, source, shade, bands)
        opened = windows[0].opened()
        if opened is not None:
            _paint(frame[0], opened, mouth_inside(baked, values, pose, opened))
        for window, eye in zip(
            windows[1:], eyes_inside(baked, values, pose, windows[1:]), strict=True
        ):
            _paint(frame[0], window, eye)
        return frame


def shape_weights(motion: Tensor) -> Tensor:
    """Weights of the fields, [1, K + 1]: the blendshapes of `motion` [D], then the resting face.

    The lips cannot close further than the jaw has opened them.
    """
    weights = torch.cat([motion[:_SHAPES], motion.new_ones(1)])
    weights[_CLOSE] = torch.minimum(weights[_CLOSE], weights[_OPEN].clamp(min=0.0))
    return weights[None]


Bands = list[tuple[slice, slice]]  # rows and columns of the frame


def base_flow(baked: Baked, weights: Tensor, pose: Pose) -> tuple[Tensor, Tensor, Bands]:
    """Where each pixel of the frame comes from, [2, S, S], and its shading [S, S], added to 1.

    And the parts of the frame that the person may touch.
    """
    field = (weights @ baked.fields).view(3, -1)
    field[:2] = pose.rotation @ field[:2] + pose.coefficients @ baked.pose
    lattice = field.view(1, 3, NODES, NODES)
    points = _nodes(field.device)
    where = invert(lattice[:, :2], points, points, _ITERATIONS)
    found = torch.cat([where.permute(0, 3, 1, 2), sample(lattice[:, 2:], where)], dim=1)
    large = refine(found[0], baked.size)
    near = sample(baked.present, where)[0, 0] > 0.0
    return large[:2], large[2], _bands(near, baked.size)


def _bands(near: Tensor, size: int) -> Bands:
    """Cut the frame into bands, each as wide as the nodes `near` the person in it."""
    cells, each = NODES - 1, size // (NODES - 1)
    tall = cells // _BANDS
    bands = []
    for i in range(_BANDS):
        columns = torch.nonzero(near[i * tall : (i + 1) * tall + 1].any(dim=0)).flatten().tolist()
        left, right = (max(0, columns[0] - 1), min(cells, columns[-1] + 1)) if columns else (0, 0)
        rows = slice(i * tall * each, (i + 1) * tall * each)
        bands.append((rows, slice(left * each, right * each)))
    return bands


def draw_person(baked: Baked, source: Tensor, shade: Tensor, bands: Bands) -> Tensor:
    """Sample and shade the person in `bands`, over what lies behind: [1, 3, S, S]."""
    frame = torch.empty_like(baked.behind)
    grid = source.permute(1, 2, 0)[None]
    for rows, columns in bands:
        for beside in (slice(0, columns.start), slice(columns.stop, baked.size)):
            frame[:, :, rows, beside] = baked.behind[:, :, rows, beside]
        if columns.stop > columns.start:
            layer = warp(baked.person, grid[:, rows, columns])
            _shade(layer, shade, rows, columns, baked.lit)
            composite(layer, baked.behind[:, :, rows, columns], out=frame[:, :, rows, columns])
    return frame


def _shade(
    layer: Tensor, shade: Tensor, rows: slice, columns: slice, lit: tuple[slice, slice]
) -> None:
    """Multiply the colours of `layer`, which covers (rows, columns), by 1 + `shade` in `lit`."""
    top, bottom = max(rows.start, lit[0].start), min(rows.stop, lit[0].stop)
    left, right = max(columns.start, lit[1].start), min(columns.stop, lit[1].stop)
    if top < bottom and left < right:
        r, c = (
            slice(top - rows.start, bottom - rows.start),
            slice(left - columns.start, right - columns.start),
        )
        colour = layer[:, :3, r, c]
        colour.addcmul_(colour, shade[top:bottom, left:right])


@cache
def _nodes(device: torch.device) -> Tensor:
    """Canvas coordinates of the nodes: [1, NODES, NODES, 2]."""
    line = torch.linspace(-1.0, 1.0, NODES, device=device)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)[None]


def _paint(frame: Tensor, window: Window, inside: Tensor) -> None:
    """Show `inside` [3, H, W] in `frame` [3, S, S] where no skin covers the opening."""
    view = frame[(slice(None), *window.box)]
    view.copy_(torch.lerp(inside, view, window.cover))
