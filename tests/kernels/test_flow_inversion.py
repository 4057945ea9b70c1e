"""Following flat lattices back: the twin against a map that can be inverted by hand, and the kernel
against the twin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels.bounds import H100, H200
from kernels.dispatch import interpreted
from kernels.flow_inversion import invert, work

# lattices, rows, columns, nodes of room, points, planes carried, iterations
CASES = [
    (1, 1, 1, 1, 1, 1, 1),
    (1, 2, 3, 6, 5, 1, 4),
    (3, 7, 5, 50, 131, 2, 5),
    (2, 65, 65, 65 * 65, 257, 1, 4),
]


def lattices(
    n: int, rows: int, columns: int, room: int, points: int, carried: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Rough displacements, of which the last lattice has a column less; places partly outside."""
    random = torch.Generator().manual_seed(n * rows + points)
    moves = torch.randn(n, 2, room, generator=random) * 0.4
    shape = torch.tensor([rows, columns], dtype=torch.int32).repeat(n, 1)
    shape[-1, 1] = max(1, columns - 1)
    to = torch.rand(n, 2, points, generator=random) * (max(rows, columns) + 2) - 1.0
    start = to + torch.randn(n, 2, points, generator=random)
    return moves, shape, to, start, torch.randn(n, carried, room, generator=random)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_kernel_finds_what_its_twin_finds(case: tuple[int, ...]) -> None:
    pytest.importorskip("triton", reason="kernels run in Triton's interpreter here")
    *shape, iterations = case
    moves, shapes, to, start, carried = lattices(*shape)
    counts = torch.full((len(moves),), to.shape[2], dtype=torch.int32)
    counts[0] = max(1, to.shape[2] - 3)
    where, found = invert(moves, shapes, to, start, counts, carried, iterations)
    with interpreted():
        kernel_where, kernel_found = invert(moves, shapes, to, start, counts, carried, iterations)
    for held in (where, found, kernel_where, kernel_found):
        held[0, :, counts[0] :] = 0.0  # nobody asked for these
    # Sums of products in another order; steps of up to 1 / 0.35 carry it on.
    torch.testing.assert_close(kernel_where, where, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(kernel_found, found, rtol=1e-3, atol=1e-3)


def test_a_smooth_map_is_inverted() -> None:
    rows, columns = 33, 41
    row, column = torch.meshgrid(torch.arange(33.0), torch.arange(41.0), indexing="ij")
    moves = torch.stack([torch.sin(row / 5) + 0.02 * column, torch.cos(column / 7)])
    shape = torch.tensor([[rows, columns]], dtype=torch.int32)
    to = torch.rand(1, 2, 100, generator=torch.Generator().manual_seed(0)) * 25 + 4
    flat = moves.reshape(1, 2, -1)
    where, moved = invert(flat, shape, to, to, torch.tensor([100], dtype=torch.int32), flat, 12)
    torch.testing.assert_close(where + moved, to, rtol=0.0, atol=1e-3)


def test_whatever_is_asked_for_lies_on_the_lattice() -> None:
    moves, shape, to, start, carried = lattices(1, 7, 5, 35, 9, 1)
    to[0, 0, 0], start[0, 1, 1] = float("nan"), float("inf")
    _, found = invert(moves, shape, to, start, torch.tensor([9], dtype=torch.int32), carried, 3)
    assert found[0, 0, 2:].isfinite().all(), "other places"


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    moves, shape, to, start, carried = lattices(2, 3, 3, 9, 4, 1)
    counts = torch.full((2,), 4, dtype=torch.int32)
    with pytest.raises(ValueError, match="belong together"):
        invert(moves, shape[:1], to, start, counts, carried, 1)
    with pytest.raises(ValueError, match="points and start"):
        invert(moves, shape, to, start[:, :, :2], counts, carried, 1)
    with pytest.raises(ValueError, match="counts"):
        invert(moves, shape, to, start, counts[:1], carried, 1)


def test_work_counts_every_node_and_point_once() -> None:
    one = work(1, nodes=10, points=7, carried=1, iterations=2)
    assert one.bytes == 4 * (3 * 10 + 4 * 7 + 3 * 7)
    assert one.least_s(H200) < one.least_s(H100)
