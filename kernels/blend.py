"""Shapes of many faces, each mixed by its own weights."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.bounds import Work
from kernels.dispatch import use_triton


def blend(weights: Tensor, table: Tensor, rows: Tensor, counts: Tensor) -> Tensor:
    """Sum the shapes of the faces `rows` by `weights`: float32 [n, C, M].

    Args:
        weights: float32 [n, K].
        table: float32 [R, K, C, M], shapes of all faces, C planes each.
        rows: int64 [n], which of the faces.
        counts: int32 [n], how many of the M values of a plane are wanted; the others are anything.

    Raises:
        ValueError: shapes that do not belong together.
    """
    n, shapes = weights.shape
    if table.shape[1] != shapes or rows.shape != (n,) or counts.shape != (n,):
        raise ValueError(
            "weights [n, K], table [R, K, C, M], rows [n] and counts [n] belong together, got "
            f"{tuple(weights.shape)}, {tuple(table.shape)}, {tuple(rows.shape)}, "
            f"{tuple(counts.shape)}"
        )
    if use_triton(weights, as_they_lie=(table, rows, counts)):
        from kernels.blend_triton import blend as launch

        return launch(weights, table, rows, counts)
    return torch.einsum("nk,nkcm->ncm", weights, table[rows])


def work(faces: int, shapes: int, planes: int, count: int) -> Work:
    """Of one launch, where no weight is 0."""
    values = faces * planes * count
    return Work(4 * values * (shapes + 1), 2 * values * shapes)
