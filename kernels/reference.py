"""Every op in plain PyTorch: the specification that faster kernels must match.

Pictures are float32 [N, C, H, W] in [0, 1]. Coordinates are those of
`torch.nn.functional.grid_sample` with `align_corners=False`: -1 and 1 are the picture's edges.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# BT.601, limited range (16..235, 16..240): what WebRTC stacks assume for VP8 and H.264 without
# colour tags. Rows Y, Cb, Cr over R, G, B in [0, 1]; offsets in 8-bit steps.
BT601 = (
    (65.481, 128.553, 24.966),
    (-37.797, -74.203, 112.0),
    (112.0, -93.786, -18.214),
)
OFFSET = (16.0, 128.0, 128.0)


def warp(picture: Tensor, grid: Tensor) -> Tensor:
    """Sample `picture` [N, C, H, W] at `grid` [N, h, w, 2] bilinearly, edges extended."""
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


def composite(layer: Tensor, behind: Tensor) -> Tensor:
    """Put premultiplied RGBA `layer` [N, 4, H, W] over opaque `behind` [N, 3, H, W]."""
    return torch.addcmul(layer[:, :3], behind, 1.0 - layer[:, 3:])


def rgb_to_i420(rgb: Tensor) -> Tensor:
    """Convert [N, 3, H, W] in [0, 1], H and W even, to I420 planes uint8 [N, H * 3 / 2, W].

    Chroma is the mean of 2 x 2 pixels (sited at their centre, as in MPEG-1 and JPEG).
    """
    n, _, height, width = rgb.shape
    matrix = rgb.new_tensor(BT601)
    y = torch.einsum("c,nchw->nhw", matrix[0], rgb) + OFFSET[0]
    small = F.avg_pool2d(rgb, 2)
    chroma = torch.einsum("kc,nchw->nkhw", matrix[1:], small) + OFFSET[1]
    planes = torch.cat([y.reshape(n, -1), chroma.reshape(n, -1)], dim=1)
    return planes.round().clamp(0, 255).to(torch.uint8).view(n, height * 3 // 2, width)
