"""Shapes mixed by weights: the kernel against its twin."""

from __future__ import annotations

import pytest
import torch

from kernels.blend import blend, work
from kernels.bounds import H100, H200
from kernels.dispatch import interpreted

# faces drawn, rows of the table, shapes, planes, room, wanted
CASES = [(1, 1, 1, 1, 1, 1), (2, 3, 5, 2, 7, 6), (3, 2, 41, 3, 600, 513)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_kernel_sums_what_its_twin_sums(case: tuple[int, ...]) -> None:
    pytest.importorskip("triton", reason="kernels run in Triton's interpreter here")
    n, held, shapes, planes, room, wanted = case
    random = torch.Generator().manual_seed(n)
    weights = torch.randn(n, shapes, generator=random)
    weights[:, shapes // 2 + 1 :] = 0.0
    table = torch.randn(held, shapes, planes, room, generator=random)
    rows = torch.arange(n).flip(0) % held
    counts = torch.full((n,), wanted, dtype=torch.int32)
    twin = blend(weights, table, rows, counts)[..., :wanted]
    with interpreted():
        by_kernel = blend(weights, table, rows, counts)[..., :wanted]
    torch.testing.assert_close(by_kernel, twin, rtol=1e-5, atol=1e-5)  # another order of the sum


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    table, rows = torch.zeros(2, 3, 1, 4), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ValueError, match="belong together"):
        blend(torch.zeros(1, 4), table, rows, torch.ones(1, dtype=torch.int32))


def test_a_table_that_lies_otherwise_is_not_misread() -> None:
    table = torch.zeros(2, 1, 4, 3).permute(0, 3, 1, 2)
    weights, rows = torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)
    with interpreted(), pytest.raises(ValueError, match="must be contiguous"):
        blend(weights, table, rows, torch.ones(1, dtype=torch.int32))


def test_reading_the_shapes_is_the_bound() -> None:
    one = work(64, 41, 3, 4225)
    assert one.bytes == 4 * 64 * 3 * 4225 * 42
    assert one.least_s(H200) < one.least_s(H100) == one.bytes / H100.bytes_per_s
