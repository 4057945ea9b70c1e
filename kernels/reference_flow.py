"""Flat lattices and pictures in plain PyTorch: reading between their nodes, and inverting a
displacement.

Lattices of different shapes lie in one tensor [N, C, M], each row by row in as much of M as it
takes. Whatever places are asked for, even NaN, nothing is read outside of a lattice.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

LEAST_SLOPE = 0.35  # of the map being inverted; keeps a step finite where it nearly folds


def invert(
    moves: Tensor, shape: Tensor, points: Tensor, start: Tensor, carried: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    """See `kernels.flow_inversion.invert`; here all points are followed."""
    field = torch.cat([moves, 1.0 / slopes(moves, shape)], dim=1)
    where = start
    for _ in range(iterations):
        found = sample_lattice(field, shape, where)
        where = where - (found[:, :2] + where - points) * found[:, 2:]
    return where, sample_lattice(carried, shape, where)


def slopes(moves: Tensor, shape: Tensor) -> Tensor:
    """How fast x grows along x and y along y under `moves` [N, 2, M], at each node, at least
    `LEAST_SLOPE`; 1 in the first and last column, or row."""
    n, _, nodes = moves.shape
    rows, columns = shape[:, :1].long(), shape[:, 1:].long()
    at = torch.arange(nodes, device=moves.device).expand(n, -1)
    row, column = at // columns, at % columns

    def slope(plane: Tensor, by: Tensor, inner: Tensor) -> Tensor:
        ahead, behind = (at + by).clamp(max=nodes - 1), (at - by).clamp(min=0)
        rise = 0.5 * (plane.gather(1, ahead) - plane.gather(1, behind))
        return (1.0 + torch.where(inner, rise, 0.0)).clamp(min=LEAST_SLOPE)

    across = slope(moves[:, 0], torch.ones_like(columns), (column > 0) & (column < columns - 1))
    down = slope(moves[:, 1], columns, (row > 0) & (row < rows - 1))
    return torch.stack([across, down], dim=1)


def sample_lattice(lattice: Tensor, shape: Tensor, where: Tensor) -> Tensor:
    """Read `lattice` [N, C, M] bilinearly at `where` [N, 2, P] (x, y in cells, edges extended):
    [N, C, P]."""
    n, channels, _ = lattice.shape
    total = lattice.new_zeros(n, channels, where.shape[2])
    for index, weight in around(where[:, 0], where[:, 1], shape[:, 1:], shape[:, :1]):
        nodes = lattice.gather(2, index[:, None].expand(-1, channels, -1))
        total = total + nodes * weight[:, None]
    return total


def around(x: Tensor, y: Tensor, columns: Tensor, rows: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Of the four nodes around places [N, P] in lattices of so many `columns` and `rows` [N, 1]:
    flat index int64 and weight float32, each [N, P]. Edges are extended."""
    x = torch.minimum(x.clamp(min=0.0), columns - 1.0)
    y = torch.minimum(y.clamp(min=0.0), rows - 1.0)
    return [(index, weight) for index, weight, _ in _corners(x, y, columns, rows)]


def around_or_nothing(
    x: Tensor, y: Tensor, columns: Tensor, rows: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """As `around`, but there is nothing beyond the edges: nodes there weigh 0."""
    x = torch.minimum(x.clamp(min=-1.0), columns * 1.0)
    y = torch.minimum(y.clamp(min=-1.0), rows * 1.0)
    return [
        (index, torch.where(within, weight, 0.0))
        for index, weight, within in _corners(x, y, columns, rows)
    ]


def _corners(
    x: Tensor, y: Tensor, columns: Tensor, rows: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Index, weight, and whether there is such a node."""
    left, top = x.floor(), y.floor()
    for down in (0, 1):
        for right in (0, 1):
            column, row = left.long() + right, top.long() + down
            within = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
            column = torch.minimum(column.clamp(min=0), columns - 1)
            row = torch.minimum(row.clamp(min=0), rows - 1)
            weight = (1.0 - (x - left - right).abs()) * (1.0 - (y - top - down).abs())
            yield row * columns + column, weight, within
