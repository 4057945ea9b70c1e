"""Nearest codes that are held on to: the kernel is its twin, and the twin is what it says."""

from __future__ import annotations

import pytest
import torch

from kernels.bounds import H200
from kernels.dispatch import interpreted
from kernels.nearest_codes import nearest_codes, work
from kernels.reference_codes import distances

pytest.importorskip("triton", reason="the kernel is in the Triton language")

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = [  # maps, cells, parts, codes, numbers of a code
    (1, 1, 1, 1, 1),
    (1, 3, 1, 5, 7),
    (2, 33, 3, 70, 4),
    (1, 9, 16, 70, 2),
    (1, 40, 1, 130, 48),
]


def made(
    n: int, m: int, parts: int, codes: int, dim: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cells, a book, and codes before, of which every third is missing."""
    chance = torch.Generator().manual_seed(m + codes)
    cells = torch.randn(n, parts * dim, m, generator=chance).to(dtype)
    book = torch.randn(parts, codes, dim, generator=chance)
    last = torch.randint(codes, (n, m, parts), generator=chance) + torch.arange(parts) * codes
    last.view(-1)[::3] = -1
    return cells, book, last


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_kernel_is_its_twin(
    shape: tuple[int, int, int, int, int], held: bool, dtype: torch.dtype
) -> None:
    """Random distances lie further apart than float32 sums in another order differ."""
    cells, book, last = made(*shape, dtype)
    before = last if held else None
    values, indices = nearest_codes(cells, book, before, 0.3)
    with interpreted():
        found, codes = nearest_codes(cells, book, before, 0.3)
    assert torch.equal(codes, indices)
    # The interpreter cuts a bfloat16 off where PyTorch rounds: up to its last place.
    torch.testing.assert_close(
        found, values, rtol=2**-7 if dtype is torch.bfloat16 else 0.0, atol=0.0
    )


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_a_cell_leaves_its_code_for_one_that_is_nearer_by_the_margin(
    shape: tuple[int, int, int, int, int],
) -> None:
    cells, book, last = made(*shape, torch.float32)
    _, free = nearest_codes(cells, book)
    _, held = nearest_codes(cells, book, last, 0.3)
    parts = free.shape[2]
    first = torch.arange(parts) * shape[3]
    x = cells.double().mT.unflatten(2, (parts, shape[4]))
    away = (x[:, :, :, None] - book.double()).square().sum(4)  # [n, m, parts, codes]
    assert torch.equal(free - first, away.argmin(3))
    least = away.min(3).values
    kept = away.gather(3, (last - first).clamp_min(0)[..., None])[..., 0]
    stays = (last >= 0) & (least >= 0.7 * kept)
    assert torch.equal(held, torch.where(stays, last, free))
    torch.testing.assert_close(distances(cells, book).double(), away, atol=1e-4, rtol=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    cells, book, last = made(2, 3, 2, 5, 4, torch.float32)
    with pytest.raises(ValueError, match="have no codes in a book"):
        nearest_codes(cells[:, :7], book)
    with pytest.raises(ValueError, match="before are not those"):
        nearest_codes(cells, book, last[:1])


@pytest.mark.parametrize(
    ("sizes", "moved", "flops", "one_us", "many_us"),
    [
        ((128, 16, 512, 4), 0.098e6 + 0.131e6, 11.5e6, 0.17, 11.0),
        ((128, 1, 1024, 256), 0.26e6 + 1.05e6, 67.5e6, 1.0, 64.0),
    ],
    ids=["ours", "public"],
)
def test_the_work_is_what_the_kernel_says(
    sizes: tuple[int, int, int, int], moved: float, flops: float, one_us: float, many_us: float
) -> None:
    one = work(1, *sizes)
    assert one.bytes == pytest.approx(moved, rel=0.03)
    assert one.flops == pytest.approx(flops, rel=0.03)
    assert one.least_s(H200) * 1e6 == pytest.approx(one_us, rel=0.05)
    assert work(64, *sizes).least_s(H200) * 1e6 == pytest.approx(many_us, rel=0.05)
