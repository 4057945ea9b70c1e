"""Turning where skin goes into where a pixel comes from, for all lattices of a batch at once."""

from __future__ import annotations

from torch import Tensor

from kernels import reference_flow
from kernels.bounds import Work
from kernels.dispatch import use_triton


def invert(
    moves: Tensor,
    shape: Tensor,
    points: Tensor,
    start: Tensor,
    counts: Tensor,
    carried: Tensor,
    iterations: int,
) -> tuple[Tensor, Tensor]:
    """Find q with q + moves(q) = `points` by Newton steps with a diagonal Jacobian, from `start`,
    and what is `carried` there.

    Lattices lie flat, row by row, each in as much of its row of a tensor as its shape says; places
    are counted in cells, x and y from a lattice's first node, and lie on it.

    Args:
        moves: float32 [N, 2, M], displacement at the nodes, x and y.
        shape: int32 [N, 2], rows and columns of each lattice; their product is at most M.
        points, start: float32 [N, 2, P].
        counts: int32 [N], how many of the points of each lattice are wanted; the others may be
            anything, and what is found of them is.
        carried: float32 [N, C, M], planes on the same nodes.

    Returns:
        Places float32 [N, 2, P] and what is carried there, float32 [N, C, P].

    Raises:
        ValueError: shapes that do not belong together.
    """
    n, _, nodes = moves.shape
    if moves.shape[1] != 2 or shape.shape != (n, 2) or carried.shape[::2] != (n, nodes):
        raise ValueError(
            "moves [N, 2, M], shape [N, 2] and carried [N, C, M] belong together, got "
            f"{tuple(moves.shape)}, {tuple(shape.shape)} and {tuple(carried.shape)}"
        )
    if points.shape != start.shape or points.shape[:2] != (n, 2):
        raise ValueError(
            f"points and start must be [{n}, 2, P], got {tuple(points.shape)} and "
            f"{tuple(start.shape)}"
        )
    if counts.shape != (n,):
        raise ValueError(f"counts must be [{n}], got {tuple(counts.shape)}")
    if use_triton(moves, shape, points, start, counts, carried):
        from kernels.flow_inversion_triton import invert as launch

        return launch(moves, shape, points, start, counts, carried, iterations)
    return reference_flow.invert(moves, shape, points, start, carried, iterations)


def work(lattices: int, nodes: int, points: int, carried: int, iterations: int) -> Work:
    """Of one launch over so many lattices of `nodes` nodes each."""
    read = (2 + carried) * nodes + 4 * points
    written = (2 + carried) * points
    each = iterations * 90 + 10 + 8 * carried
    return Work(4 * lattices * (read + written), lattices * points * each)
