"""Draws a planned frame with tensors, on any device: what `draw_bytes` has to match.

The whole canvas is one picture here: flow, sampled person, shading, composite, mouth and eyes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.i420 import write_i420
from kernels.warp import composite, warp
from pipelines.photo.placement import overlap
from pipelines.portrait.bake import Baked
from pipelines.portrait.frame import Plan
from pipelines.portrait.lips_and_lids import Patch, Traced
from pipelines.portrait.paint_tensors import paint_eye, paint_mouth


def draw(baked: Baked, frame: Plan) -> Tensor:
    """The frame's visible part of the canvas, RGB float32 [1, 3, h, w], about in [0, 1]."""
    patches = [patch for traced in frame.traced for patch in fine(traced)]
    flow = whole_flow(baked, frame, patches)
    layer = person_at(baked, flow[:2])
    layer[:, :3] *= 1.0 + flow[2]
    rgb = composite(layer, _floats(baked.behind[baked.visible]))
    for index, patch in enumerate(patches):
        shared = overlap(baked.visible, patch.box)
        if shared is not None:
            here, there = shared
            view = rgb[(0, slice(None), *here)]
            inside, cover = _inside(baked, frame, index, patch)
            view.copy_(torch.lerp(inside[(slice(None), *there)], view, cover[there]))
    return rgb


def _inside(baked: Baked, frame: Plan, index: int, patch: Patch) -> tuple[Tensor, Tensor]:
    if index == 0:
        return paint_mouth(baked, frame, patch), patch.cover
    return paint_eye(baked, frame, index - 1, patch)


def fine(traced: Traced) -> list[Patch]:
    """Patches in pixels."""
    return traced.parted(_refined(traced.nodes, traced.step))


def _refined(nodes: Tensor, step: int) -> Tensor:
    """Interpolate nodes [..., C, h, w], `step` pixels apart, to the pixels between them."""
    flat = nodes.reshape(-1, *nodes.shape[-3:])
    wide = F.interpolate(flat, scale_factor=float(step), mode="bilinear")
    inner = slice(step // 2, -(step // 2))
    return wide[..., inner, inner].reshape(*nodes.shape[:-2], *wide[..., inner, inner].shape[-2:])


def person_at(baked: Baked, places: Tensor) -> Tensor:
    """Sample the person at canvas coordinates [2, h, w]: RGBA float32 [1, 4, h, w] in [0, 1]."""
    inner = baked.placement.side / len(baked.person)
    return warp(_floats(baked.person), inner * places.permute(1, 2, 0)[None])


def whole_flow(baked: Baked, frame: Plan, patches: list[Patch]) -> Tensor:
    """Where each pixel of the canvas's visible part comes from: [3, h, w], as `Flow.nodes`."""
    rows, columns = baked.visible
    height, width = rows.stop - rows.start, columns.stop - columns.start
    flow = _refined(frame.flow.nodes, baked.placement.step)[:, :height, :width].contiguous()
    for patch in patches:
        shared = overlap(baked.visible, patch.box)
        if shared is not None:
            here, there = shared
            flow[(slice(0, 2), *here)] = patch.source[(slice(None), *there)]
            flow[(2, *here)] = patch.shade[there]
    return flow


def draw_i420(baked: Baked, frame: Plan, planes: Tensor) -> None:
    """Write the frame into I420 `planes`, uint8 [1, H * 3 / 2, W]."""
    planes[0] = baked.behind_i420
    rows, columns = baked.visible
    write_i420(draw(baked, frame), planes, rows.start, columns.start)


def draw_rgb(baked: Baked, frame: Plan) -> Tensor:
    """The frame as RGB uint8 [H, W, 3]."""
    picture = baked.behind.clone()
    drawn = (draw(baked, frame)[0] * 255.0).round().clamp_(0, 255)
    picture[baked.visible] = drawn.to(torch.uint8).permute(1, 2, 0)
    return picture


def _floats(picture: Tensor) -> Tensor:
    """Bytes [h, w, C] to float32 [1, C, h, w] in [0, 1]."""
    return picture.permute(2, 0, 1)[None].float() / 255.0
