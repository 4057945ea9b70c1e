"""Lower faces back into frames: the kernel is its twin, and averages are averages."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kernels.bounds import H100, H200
from kernels.dispatch import interpreted
from kernels.paste_lower import Clips, paste_lower, work
from kernels.reference_paste_lower import _averaged

pytest.importorskip("triton", reason="the kernel is in the Triton language")

FRAMES = 3


def clips(size: tuple[int, int], mask: tuple[int, int], by: int, seed: int) -> Clips:
    """Squares that are turned, reach beyond the picture, or do not touch it at all."""
    chance = torch.Generator().manual_seed(seed)
    width, height = size

    def values(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, shape, generator=chance, dtype=torch.uint8)

    step = 2.0 / min(size)
    places = torch.tensor(
        [
            [step, 0.3 * step, -0.3 * step, step, width * 0.4, height * 0.2],
            [1.3 * step, 0.0, 0.0, 1.3 * step, -1.0, 0.0],
            [step, 0.0, 0.0, step, 3.0 * width, 3.0 * height],
        ]
    )
    whole = [0, 0, height, width, by]
    boxes = [whole, [0, 0, height // 4 * 2, width // 4 * 2, 1], [0, 0, 0, 0, 1]]
    return Clips(
        planes=values(FRAMES, width * height * 3 // 2 + 3),
        masks=values(FRAMES, *mask),
        places=places,
        boxes=torch.tensor(boxes, dtype=torch.int32),
    )


@pytest.mark.parametrize(
    ("size", "lower", "mask", "by", "rows"),
    [
        ((2, 2), (1, 2), (1, 1), 1, [0]),
        ((10, 6), (4, 8), (2, 3), 1, [1, 0]),
        ((26, 14), (7, 15), (3, 5), 2, [0, 2, 0]),
        ((130, 6), (9, 18), (4, 8), 3, [0, 1]),
        ((48, 40), (32, 64), (8, 16), 4, [2, 0, 1]),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_the_kernel_is_its_twin(
    size: tuple[int, int], lower: tuple[int, int], mask: tuple[int, int], by: int, rows: list[int]
) -> None:
    tables = clips(size, mask, by, seed=size[0])
    chance = torch.Generator().manual_seed(by)
    drawn = torch.rand(len(rows), 3, *lower, generator=chance)
    colours = torch.randn(len(rows), 3, 3, generator=chance) * 0.1
    held = torch.full((2, len(rows), size[0] * size[1] * 3 // 2 + 5), 7, dtype=torch.uint8)
    expected, found = held[0, :, :-5], held[1, :, :-5]
    paste_lower(drawn, colours, torch.tensor(rows), tables, size, expected)
    with interpreted():
        paste_lower(drawn, colours, torch.tensor(rows), tables, size, found)
    apart = (expected.int() - found.int()).abs()
    assert int(apart.max()) <= 1  # a sum in another order falls to the other side of a whole number
    assert float((apart > 0).float().mean()) < 0.02
    assert (held[:, :, -5:] == 7).all()
    for picture, row in zip(found, rows, strict=True):
        same = torch.equal(picture, tables.planes[row, :-3])
        assert same == (row == 2)  # to the bit, where nothing is drawn


@pytest.mark.parametrize("by", [1, 2, 3, 5])
def test_averages_are_those_of_pooling(by: int) -> None:
    chance = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 3, 11, 23, generator=chance)
    u, v = (torch.rand(2, 6, 7, generator=chance) * 2.4 - 1.2 for _ in range(2))
    found = _averaged(pictures, torch.full((2,), by), u, v)
    expected = F.grid_sample(
        F.avg_pool2d(pictures, by), torch.stack([u, v], -1), padding_mode="border",
        align_corners=False,
    )  # fmt: skip
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0.0)


def test_what_does_not_fit_is_refused() -> None:
    tables, rows = clips((8, 8), (2, 4), 1, 0), torch.tensor([0])
    drawn, colours = torch.zeros(1, 3, 4, 8), torch.zeros(1, 3, 3)
    out = torch.zeros(1, 96, dtype=torch.uint8)
    with pytest.raises(ValueError, match="lower halves"):
        paste_lower(drawn[:, :2], colours, rows, tables, (8, 8), out)
    with pytest.raises(ValueError, match="pictures of 8 x 10"):
        paste_lower(drawn, colours, rows, tables, (8, 10), out)
    with pytest.raises(ValueError, match="have none of 8 x 16"):
        paste_lower(drawn, colours, rows, tables, (8, 16), out.new_zeros(1, 192))


def test_the_work_is_what_the_kernel_says() -> None:
    one = work(1, (512, 512), (256, 128))
    assert one.bytes == pytest.approx(1.2e6, rel=0.03)
    assert one.flops == pytest.approx(2.8e6, rel=0.03)
    many = work(64, (512, 512), (256, 128))
    assert many.least_s(H200) == pytest.approx(16e-6, rel=0.03)
    assert many.least_s(H100) == pytest.approx(23e-6, rel=0.03)
