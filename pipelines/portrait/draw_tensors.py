"""Draws a planned frame with tensors, on any device: what `draw_bytes` has to match.

The whole canvas is one picture here: flow, sampled person, shading, composite, mouth and eyes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.i420 import write_i420
from kernels.warp import composite, warp
from pipelines.photo.geometry import Array
from pipelines.photo.placement import overlap
from pipelines.portrait.bake import Baked
from pipelines.portrait.frame import Plan
from pipelines.portrait.lips_and_lids import Patch
from pipelines.portrait.paint_tensors import paint_eye, paint_mouth


def draw(baked: Baked, frame: Plan) -> Tensor:
    """The frame's visible part of the canvas, RGB float32 [1, 3, h, w] in [0, 1].

    Each colour is cut to that before it is mixed, as it is where these are bytes.
    """
    flow = whole_flow(baked, frame)
    layer = person_at(baked, flow[:2])
    layer[:, :3] *= 1.0 + flow[2]
    rgb = composite(layer, _floats(baked.behind[baked.visible])).clamp_(0.0, 1.0)
    for index, patch in enumerate(frame.patches):
        shared = overlap(baked.visible, patch.box)
        if shared is not None:
            here, there = shared
            view = rgb[(0, slice(None), *here)]
            inside, cover = (
                torch.from_numpy(part).to(rgb.device)
                for part in inside_of(baked, frame, index, patch)
            )
            colour = inside[(slice(None), *there)].clamp(0.0, 1.0)
            view.copy_(torch.lerp(colour, view, cover[there]))
    return rgb


def inside_of(baked: Baked, frame: Plan, index: int, patch: Patch) -> tuple[Array, Array]:
    """What shows in patch `index`, RGB float32 [3, H, W], and the share of skin over it, [H, W]."""
    if index == 0:
        return paint_mouth(baked, frame, patch), patch.cover
    return paint_eye(baked, frame, index - 1, patch)


def _refined(nodes: Tensor, step: int) -> Tensor:
    """Interpolate nodes [C, h, w], `step` pixels apart, to the pixels between them."""
    wide = F.interpolate(nodes[None], scale_factor=float(step), mode="bilinear")
    inner = slice(step // 2, -(step // 2))
    return wide[0, :, inner, inner]


def person_at(baked: Baked, places: Tensor) -> Tensor:
    """Sample the person at canvas coordinates [2, h, w]: RGBA float32 [1, 4, h, w] in [0, 1]."""
    inner = baked.placement.side / len(baked.person)
    return warp(_floats(baked.person), inner * places.permute(1, 2, 0)[None])


def whole_flow(baked: Baked, frame: Plan) -> Tensor:
    """Where each pixel of the canvas's visible part comes from: x and y in canvas coordinates, and
    its shade, [3, h, w]."""
    rows, columns = baked.visible
    height, width = rows.stop - rows.start, columns.stop - columns.start
    nodes = torch.from_numpy(frame.flow.nodes).to(baked.person.device)
    flow = _refined(nodes, baked.placement.step)[:, :height, :width].contiguous()
    for patch in frame.patches:
        shared = overlap(baked.visible, patch.box)
        if shared is not None:
            here, there = shared
            found = torch.from_numpy(np.stack([*patch.source, patch.shade])[(slice(None), *there)])
            flow[(slice(None), *here)] = found.to(flow.device)
    flow[:2].add_(0.5).mul_(2.0 / baked.placement.side).sub_(1.0)
    return flow


def draw_i420(baked: Baked, frame: Plan, planes: Tensor) -> None:
    """Write the frame into I420 `planes`, uint8 [1, H * 3 / 2, W]."""
    planes[0] = baked.behind_i420
    rows, columns = baked.visible
    write_i420(draw(baked, frame), planes, rows.start, columns.start)


def draw_rgb(baked: Baked, frame: Plan) -> Tensor:
    """The frame as RGB uint8 [H, W, 3]."""
    picture = baked.behind.clone()
    drawn = (draw(baked, frame)[0] * 255.0).round()
    picture[baked.visible] = drawn.to(torch.uint8).permute(1, 2, 0)
    return picture


def _floats(picture: Tensor) -> Tensor:
    """Bytes [h, w, C] to float32 [1, C, h, w] in [0, 1]."""
    return picture.permute(2, 0, 1)[None].float() / 255.0
