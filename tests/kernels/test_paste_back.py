"""Squares back into pictures: the kernel is its twin, and the twin is the formula."""

from __future__ import annotations

import pytest
import torch

from kernels.bounds import H100, H200
from kernels.dispatch import interpreted
from kernels.paste_back import Behind, paste_back, work

pytest.importorskip("triton", reason="the kernel is in the Triton language")

SLOTS = 3


def behind(pixels: int, side: int, seed: int) -> Behind:
    """Pictures of which a slot's mask covers a disc, and squares that leave the picture."""
    chance = torch.Generator().manual_seed(seed)

    def values(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, shape, generator=chance, dtype=torch.uint8)

    mask = values(SLOTS, pixels)
    mask[:, ::3] = 0
    mask[:, : pixels // 3] = 0
    return Behind(
        planes=values(SLOTS, pixels * 3 // 2),
        mask=mask,
        fixed=values(SLOTS, 3 * pixels),
        detail=(torch.rand(SLOTS, 3, side, side, generator=chance) - 0.5).half(),
        places=torch.tensor(
            [[-3, 2, side, side], [1, -5, side - 2, side - 2], [0, 0, side + 4, side]],
            dtype=torch.int32,
        ),
    )


def squares(n: int, side: int, seed: int = 0) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    drawn = torch.rand(n, 6, side, side, generator=chance) * 1.4 - 0.2
    drawn[:, 3:5] = (drawn[:, 3:5] - 0.5) * 0.3
    return drawn


@pytest.mark.parametrize(
    ("size", "inner", "reach", "side", "rows"),
    [
        ((2, 2), 1, 0, 3, [0]),
        ((10, 6), 5, 1, 7, [2, 0]),
        ((22, 14), 8, 1, 19, [1, 1, 0]),
        ((134, 10), 16, 2, 41, [2, 1]),
        ((64, 48), 16, 2, 56, [0, 1, 2]),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_the_kernel_is_its_twin(
    size: tuple[int, int], inner: int, reach: int, side: int, rows: list[int]
) -> None:
    pixels = size[0] * size[1]
    tables = behind(pixels + 4, side, seed=pixels)  # rows are longer than the picture
    drawn, slots = squares(len(rows), inner), torch.tensor(rows)
    held = torch.full((2, len(rows), pixels * 3 // 2 + 5), 7, dtype=torch.uint8)
    expected, found = (each[:, : pixels * 3 // 2] for each in held)
    paste_back(drawn, slots, tables, size, reach, expected)
    with interpreted():
        paste_back(drawn, slots, tables, size, reach, found)
    apart = (expected.int() - found.int()).abs()
    assert int(apart.max()) <= 1  # a sum in another order falls to the other side of a whole number
    assert float((apart > 0).float().mean()) < 0.02
    assert (held[:, :, pixels * 3 // 2 :] == 7).all()


def test_where_nothing_is_drawn_the_picture_is_itself_to_the_bit() -> None:
    tables = behind(64, 5, 0)
    tables.mask[1] = 0
    for form in (False, True):
        out = torch.zeros(1, 96, dtype=torch.uint8)
        if form:
            with interpreted():
                paste_back(squares(1, 4), torch.tensor([1]), tables, (8, 8), 0, out)
        else:
            paste_back(squares(1, 4), torch.tensor([1]), tables, (8, 8), 0, out)
        assert torch.equal(out[0], tables.planes[1])


def test_what_does_not_fit_is_refused() -> None:
    tables, rows = behind(64, 5, 0), torch.tensor([0])
    out = torch.zeros(1, 96, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"\[n, 6, side, side\]"):
        paste_back(torch.zeros(1, 5, 4, 4), rows, tables, (8, 8), 0, out)
    with pytest.raises(ValueError, match="do not make pictures of 8 x 10"):
        paste_back(squares(1, 4), rows, tables, (8, 10), 0, out)
    with pytest.raises(ValueError, match="hold no pictures of 8 x 16"):
        paste_back(squares(1, 4), rows, tables, (8, 16), 0, out.new_zeros(1, 192))


def test_the_work_is_what_the_kernel_says() -> None:
    one = work(1, (512, 512), 256)
    assert one.bytes == pytest.approx(3.6e6, rel=0.02)
    assert one.flops == pytest.approx(16e6, rel=0.02)
    many = work(64, (512, 512), 256)
    assert many.least_s(H200) == pytest.approx(48e-6, rel=0.02)
    assert many.least_s(H100) == pytest.approx(68e-6, rel=0.02)
