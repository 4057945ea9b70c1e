"""What a warping generator does beside convolving: kernels are their twins, twins the formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kernels.bounds import H100, H200, Work
from kernels.demodulate import demodulate, smooth_demodulate
from kernels.demodulate import work as demodulate_work
from kernels.dispatch import interpreted
from kernels.flow_head import flow_head
from kernels.flow_head import work as head_work
from kernels.flow_warp import blend_work, colours_work, warp_blend, warp_colours

pytest.importorskip("triton", reason="the kernels are in the Triton language")

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# Sums in another order; a half precision is rounded once, so by half of its last place at the most,
# and where float32 sums fall on either side of a middle by a whole one.
TOLERANCE = {torch.float32: 3e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype is expected.dtype
    assert found.shape == expected.shape
    apart = (found.float() - expected.float()).abs().max() / expected.float().abs().max()
    assert float(apart) <= TOLERANCE[found.dtype]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scaled", [False, True], ids=["last", "scaled"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 3, 5, 5), (3, 17, 4, 4), (2, 64, 8, 8)], ids=str
)
def test_demodulation_is_its_twin_and_the_formula(
    shape: tuple[int, ...], scaled: bool, dtype: torch.dtype
) -> None:
    y, bias = values(*shape).to(dtype), values(shape[1], seed=1)
    power, then = values(*shape[:2], seed=2).square() + 0.1, values(*shape[:2], seed=3)
    scale = then if scaled else None
    expected = demodulate(y, power, bias, scale)
    with interpreted():
        assert_alike(demodulate(y, power, bias, scale), expected)
    plain = F.leaky_relu(
        y.double() * (2.0 / power[:, :, None, None]).sqrt() + bias[:, None, None], 0.2
    )
    plain = plain * then[:, :, None, None] if scaled else plain
    assert_alike(expected, plain.to(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(1, 1, 2, 2), (2, 3, 5, 7), (1, 17, 9, 9), (2, 64, 5, 5)], ids=str
)
def test_smoothing_first_is_its_twin_and_the_formula(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    y, smooth = values(*shape).to(dtype), values(shape[1], 1, 4, 4, seed=1).to(dtype)
    power, bias = values(*shape[:2], seed=2).square() + 0.1, values(shape[1], seed=3)
    then = values(*shape[:2], seed=4)
    for scale in (None, then):
        expected = smooth_demodulate(y, smooth, power, bias, scale)
        with interpreted():
            assert_alike(smooth_demodulate(y, smooth, power, bias, scale), expected)
        first = F.conv2d(y.double(), smooth.double(), padding=1, groups=shape[1])
        plain = demodulate(first.float(), power, bias, scale)
        assert_alike(expected, plain.to(dtype))


def flow(n: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where pixels look, some of them outside, on an edge, or on a pixel's middle; and a mask."""
    grid = values(n, 2, size, size, seed=4)
    grid[0, :, 0, 0] = torch.tensor([1.0 - 1.0 / size, -1.0])
    grid[0, :, -1, -1] = torch.tensor([-1.0 + 1.0 / size, 1.0])
    return grid, values(n, 1, size, size, seed=5).sigmoid()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("channels", "size", "slots"),
    [(1, 2, [0]), (3, 3, [1, 0]), (5, 8, [2, 2, 0]), (70, 6, [1]), (64, 8, [0, 2])],
    ids=str,
)
def test_the_blend_of_features_is_its_twin_and_the_formula(
    channels: int, size: int, slots: list[int], dtype: torch.dtype
) -> None:
    n, rows = len(slots), torch.tensor(slots)
    maps = values(3, channels, size, size, seed=6).to(dtype)
    table = maps.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
    x, then = values(n, channels, size, size, seed=7).to(dtype), values(n, channels, seed=8)
    grid, mask = flow(n, size)
    for scale in (None, then):
        expected = warp_blend(x, grid, mask, table, rows, scale)
        with interpreted():
            assert_alike(warp_blend(x, grid, mask, table, rows, scale), expected)
        places = grid.double().permute(0, 2, 3, 1)
        plain = F.grid_sample(maps[rows].double(), places, align_corners=False) * mask
        plain = plain + x.double() * (1.0 - mask)
        plain = plain if scale is None else plain * scale[:, :, None, None]
        assert_alike(expected, plain.to(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("size", "slots", "paints", "below"),
    [
        (2, [0], False, False),
        (8, [1, 0], True, True),
        (14, [2], False, True),
        (18, [0, 0], True, False),
    ],
    ids=str,
)
def test_the_picture_of_a_level_is_its_twin(
    size: int, slots: list[int], paints: bool, below: bool, dtype: torch.dtype
) -> None:
    n, rows = len(slots), torch.tensor(slots)
    colours, biases = values(3, 3, size, size, seed=9), values(3, 3, seed=10)
    grid, mask = flow(n, size)
    painted = values(n, 3, size, size, seed=11).to(dtype) if paints else None
    last = values(n, 3, size // 2, size // 2, seed=12) if below else None
    expected = warp_colours(colours, grid, mask, rows, biases, painted, last)
    with interpreted():
        found = warp_colours(colours, grid, mask, rows, biases, painted, last)
    assert_alike(found, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("channels", "size", "below"),
    [(1, 2, False), (3, 6, True), (33, 10, True), (70, 8, False)],
    ids=str,
)
def test_a_flow_is_its_twin_and_the_formula(
    channels: int, size: int, below: bool, dtype: torch.dtype
) -> None:
    n = 2
    x, weight = values(n, channels, size, size).to(dtype), values(3, channels, seed=1)
    style, bias = values(n, channels, seed=2), values(3, seed=3)
    base = values(1, 2, size, size, seed=4)
    last = values(n, 3, size // 2, size // 2, seed=5) if below else None
    expected = flow_head(x, weight, style, bias, base, last)
    with interpreted():
        found = flow_head(x, weight, style, bias, base, last)
    plain = torch.einsum("nchw,kc,nc->nkhw", x.double(), weight.double(), style.double())
    plain = plain + bias[:, None, None]
    if last is not None:
        wide = F.interpolate(F.pad(last.double(), (1, 1, 1, 1)), scale_factor=2, mode="bilinear")
        plain = plain + wide[..., 2:-2, 2:-2]
    formula = plain, plain[:, :2].tanh() + base, plain[:, 2:].sigmoid()
    for a, b, c in zip(found, expected, formula, strict=True):
        assert a.dtype is b.dtype is torch.float32
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(b, c.float(), atol=1e-5, rtol=1e-5)


def test_features_in_any_order_of_memory_are_taken() -> None:
    y, power, bias = values(2, 6, 4, 4), values(2, 6).square() + 0.1, values(6)
    with interpreted():
        first = demodulate(y, power, bias)
        second = demodulate(y.contiguous(memory_format=torch.channels_last), power, bias)
    assert torch.equal(first, second)
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_what_does_not_fit_is_refused() -> None:
    y = values(2, 6, 4, 4)
    with pytest.raises(ValueError, match="power is"):
        demodulate(y, values(2, 5), values(6))
    with pytest.raises(ValueError, match="bias is"):
        demodulate(y, values(2, 6), values(5))
    with pytest.raises(ValueError, match="are not smoothed"):
        smooth_demodulate(y, values(6, 1, 3, 3), values(2, 6), values(6))
    with pytest.raises(ValueError, match="weight "):
        flow_head(y, values(3, 5), values(2, 6), values(3), values(1, 2, 4, 4))
    with pytest.raises(ValueError, match="base is"):
        flow_head(y, values(3, 6), values(2, 6), values(3), values(1, 2, 3, 4))
    grid, mask = flow(2, 4)
    rows, table = torch.tensor([0, 1]), values(32, 6)
    with pytest.raises(ValueError, match="grid, mask and slots"):
        warp_blend(y, grid[:1], mask, table, rows)
    with pytest.raises(ValueError, match="a table"):
        warp_blend(y, grid, mask, table.half(), rows)
    with pytest.raises(ValueError, match="then is"):
        warp_blend(y, grid, mask, table, rows, values(1, 6))
    with pytest.raises(ValueError, match="last is"):
        warp_colours(values(2, 3, 4, 4), grid, mask, rows, values(3, 3), None, values(2, 3, 3, 3))


def total(parts: list[Work]) -> Work:
    return Work(sum(part.bytes for part in parts), sum(part.flops for part in parts))


def test_the_work_is_what_the_kernels_say() -> None:
    sizes = [8, 16, 32, 64, 128, 256]
    published, ours = [512, 512, 512, 256, 128, 64], [96, 64, 48, 32, 16, 8]
    layers = {
        widths[0]: total(
            [demodulate_work(1, first, 4, 2)]
            + [
                demodulate_work(1, c, s, 2, smoothed=up)
                for c, s in zip(widths, sizes, strict=True)
                for up in (True, False)
            ]
        )
        for first, widths in ((512, published), (128, ours))
    }
    for width, moved, flops, on_h200, on_h100 in (
        (512, 64e6, 0.34e9, 13e-6, 19e-6),
        (96, 7.9e6, 42e6, 1.7e-6, 2.4e-6),
    ):
        assert layers[width].bytes == pytest.approx(moved, rel=0.03)
        assert layers[width].flops == pytest.approx(flops, rel=0.03)
        assert layers[width].least_s(H200) == pytest.approx(on_h200, rel=0.05)
        assert layers[width].least_s(H100) == pytest.approx(on_h100, rel=0.05)
    for widths, moved, flops, head_bytes, head_flops in (
        (published, 24e6, 42e6, 18e6, 77e6),
        (ours, 3.1e6, 5.1e6, 4.3e6, 14e6),
    ):
        blends = zip(widths[:-1], sizes[:-1], strict=True)
        blended = total([blend_work(1, c, s, 2) for c, s in blends])
        assert blended.bytes == pytest.approx(moved, rel=0.04)
        assert blended.flops == pytest.approx(flops, rel=0.04)
        heads = zip(widths, sizes, strict=True)
        headed = total([head_work(1, c, s, 2, first=s == 8) for c, s in heads])
        assert headed.bytes == pytest.approx(head_bytes, rel=0.04)
        assert headed.flops == pytest.approx(head_flops, rel=0.04)
    colours = total([colours_work(1, s, first=s == 8) for s in sizes])
    assert colours.bytes == pytest.approx(3.4e6, rel=0.04)
    assert colours.flops == pytest.approx(6.6e6, rel=0.04)
