"""The ops' definitions against plain arithmetic."""

from __future__ import annotations

import pytest
import torch

from kernels.i420 import rgb_to_i420, write_i420
from kernels.reference import mean_of_four
from kernels.warp import composite, warp


def identity_grid(height: int, width: int) -> torch.Tensor:
    y = (2 * torch.arange(height) + 1) / height - 1
    x = (2 * torch.arange(width) + 1) / width - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    [
        ((0.0, 0.0, 0.0), (16, 128, 128)),
        ((1.0, 1.0, 1.0), (235, 128, 128)),
        ((1.0, 0.0, 0.0), (81, 90, 240)),
        ((0.0, 1.0, 0.0), (145, 54, 34)),
        ((0.0, 0.0, 1.0), (41, 240, 110)),
    ],
    ids=["black", "white", "red", "green", "blue"],
)
def test_i420_of_the_bt601_colour_bars(
    rgb: tuple[float, float, float], yuv: tuple[int, int, int]
) -> None:
    picture = torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 4, 6)
    planes = rgb_to_i420(picture)
    assert planes.shape == (1, 6, 6)
    flat = planes.flatten()
    assert set(flat[:24].tolist()) == {yuv[0]}
    assert set(flat[24:30].tolist()) == {yuv[1]}
    assert set(flat[30:].tolist()) == {yuv[2]}


@pytest.mark.parametrize("shape", [(2, 2), (6, 10), (34, 16)])
def test_i420_is_the_conversion_written_out(shape: tuple[int, int]) -> None:
    height, width = shape
    rgb = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    r, g, b = (rgb[:, i].double() for i in range(3))
    luma = 16 + 219 * (0.299 * r + 0.587 * g + 0.114 * b)
    blue = 128 + 224 * (b - (0.299 * r + 0.587 * g + 0.114 * b)) / 1.772
    red = 128 + 224 * (r - (0.299 * r + 0.587 * g + 0.114 * b)) / 1.402
    small = [c.view(2, height // 2, 2, width // 2, 2).mean((2, 4)) for c in (blue, red)]
    expected = torch.cat([c.reshape(2, -1) for c in (luma, *small)], dim=1)
    got = rgb_to_i420(rgb).double().reshape(2, -1)
    assert (got - expected).abs().max() <= 0.51  # rounding alone


def test_i420_wants_even_sides() -> None:
    with pytest.raises(ValueError, match="even"):
        rgb_to_i420(torch.zeros(1, 3, 3, 4))
    with pytest.raises(ValueError, match=r"\[N, 3, H, W\]"):
        rgb_to_i420(torch.zeros(3, 4, 4))


def test_i420_stays_in_range_for_overshooting_light() -> None:
    assert int(rgb_to_i420(torch.full((1, 3, 2, 2), 2.0)).flatten()[0]) == 255


def test_mean_of_four() -> None:
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    assert mean_of_four(picture).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_warp_by_the_identity_changes_nothing() -> None:
    picture = torch.rand(1, 4, 7, 5)
    assert torch.allclose(warp(picture, identity_grid(7, 5)), picture, atol=1e-6)


def test_warp_extends_edges() -> None:
    picture = torch.tensor([[[[0.25, 0.75]]]])
    grid = torch.tensor([[[[-9.0, 0.0], [9.0, 0.0]]]])
    assert warp(picture, grid).flatten().tolist() == [0.25, 0.75]


def test_warp_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="grid"):
        warp(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, 3))
    with pytest.raises(ValueError, match="2 pictures"):
        warp(torch.zeros(2, 3, 4, 4), torch.zeros(1, 4, 4, 2))


def test_composite_is_premultiplied_over() -> None:
    layer = torch.tensor([0.2, 0.1, 0.0, 0.5]).view(1, 4, 1, 1)
    behind = torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)
    expected = [0.7, 0.35, 0.125]
    assert composite(layer, behind).flatten().tolist() == pytest.approx(expected)
    with pytest.raises(ValueError, match="RGBA"):
        composite(layer, layer)


def test_i420_in_bands_is_i420_at_once() -> None:
    rgb = torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(2))
    planes = torch.zeros(2, 18, 8, dtype=torch.uint8)
    for top in (0, 4, 10):
        write_i420(rgb[:, :, top : top + {0: 4, 4: 6, 10: 2}[top]].contiguous(), planes, top)
    assert torch.equal(planes, rgb_to_i420(rgb))


def test_a_box_changes_nothing_beside_it() -> None:
    rgb = torch.rand(1, 3, 12, 8, generator=torch.Generator().manual_seed(3))
    planes = rgb_to_i420(rgb)
    write_i420(torch.zeros(1, 3, 4, 2), planes, 4, 6)
    rgb[:, :, 4:8, 6:8] = 0.0
    assert torch.equal(planes, rgb_to_i420(rgb))


@pytest.mark.parametrize(("top", "left"), [(1, 0), (14, 0), (-2, 0), (0, 3), (0, 6)])
def test_a_box_has_to_fit(top: int, left: int) -> None:
    planes = torch.zeros(1, 24, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"does not fit|leaves a frame"):
        write_i420(torch.zeros(1, 3, 4, 4), planes, top, left)
