"""Sampling a layer where a flow points, and putting it over what lies behind."""

from __future__ import annotations

from torch import Tensor

from kernels import reference


def warp(picture: Tensor, grid: Tensor) -> Tensor:
    """Sample `picture` float32 [N, C, H, W] at `grid` [N, h, w, 2], edges extended."""
    if picture.dim() != 4 or grid.dim() != 4 or grid.shape[-1] != 2:
        raise ValueError(
            "warp takes a picture [N, C, H, W] and a grid [N, h, w, 2], got "
            f"{tuple(picture.shape)} and {tuple(grid.shape)}"
        )
    if picture.shape[0] != grid.shape[0]:
        raise ValueError(f"{picture.shape[0]} pictures cannot be warped by {grid.shape[0]} grids")
    return reference.warp(picture, grid)


def composite(layer: Tensor, behind: Tensor, out: Tensor | None = None) -> Tensor:
    """Put premultiplied RGBA `layer` [N, 4, H, W] over opaque `behind` [N, 3, H, W].

    The result goes to `out` (float32 [N, 3, H, W]) if given.
    """
    if layer.shape[1] != 4 or behind.shape[1] != 3 or layer.shape[2:] != behind.shape[2:]:
        raise ValueError(
            "composite takes RGBA [N, 4, H, W] over RGB [N, 3, H, W], got "
            f"{tuple(layer.shape)} over {tuple(behind.shape)}"
        )
    return reference.composite(layer, behind, out)
