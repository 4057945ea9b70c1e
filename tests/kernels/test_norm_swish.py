"""Normalisation and swish in one: kernels are their twins, twins the formulas."""

from __future__ import annotations

import pytest
import torch

from kernels.bounds import H100, H200
from kernels.dispatch import interpreted
from kernels.norm_swish import group_norm_swish, pixel_norm_swish, work

pytest.importorskip("triton", reason="the kernels are in the Triton language")

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# Sums in another order; a half precision is rounded once, by half of its last place, or where
# float32 sums fall on either side of a middle by a whole one.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
SHAPES = [  # of maps, and groups
    ((1, 1, 1, 2), 1),
    ((2, 6, 3, 5), 3),
    ((1, 24, 4, 4), 8),
    ((2, 10, 7, 1), 5),
    ((1, 4, 33, 65), 2),  # more values than a group takes at once
]


def maps(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Maps far from 0, so that a sum of squares less a square would have lost its spread."""
    chance = torch.Generator().manual_seed(sum(shape))
    x = (torch.randn(shape, generator=chance) + 5.0).to(dtype)
    weight, bias = (torch.randn(shape[1], generator=chance) for _ in range(2))
    return x, weight, bias


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype is expected.dtype
    apart = (found.float() - expected.float()).abs().max()
    assert float(apart) <= TOLERANCE[found.dtype] * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "groups"), SHAPES, ids=str)
def test_groups_are_normalised_as_by_the_twin_and_the_formula(
    shape: tuple[int, ...], groups: int, dtype: torch.dtype
) -> None:
    x, weight, bias = maps(shape, dtype)
    expected = group_norm_swish(x, weight, bias, groups, 1e-5)
    with interpreted():
        assert_alike(group_norm_swish(x, weight, bias, groups, 1e-5), expected)
    parted = x.double().view(shape[0], groups, -1)
    spread, mean = torch.var_mean(parted, 2, correction=0, keepdim=True)
    plain = ((parted - mean) / (spread + 1e-5).sqrt()).view(shape)
    plain = plain * weight[:, None, None] + bias[:, None, None]
    assert_alike(expected, (plain * plain.sigmoid()).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [shape for shape, _ in SHAPES], ids=str)
def test_cells_are_normalised_as_by_the_twin_and_the_formula(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x, weight, bias = maps(shape, dtype)
    expected = pixel_norm_swish(x, weight, bias, 1e-6)
    with interpreted():
        assert_alike(pixel_norm_swish(x, weight, bias, 1e-6), expected)
    plain = x.double() / (x.double().square().mean(1, keepdim=True) + 1e-6).sqrt()
    plain = plain * weight[:, None, None] + bias[:, None, None]
    assert_alike(expected, (plain * plain.sigmoid()).to(dtype))


def test_rows_of_larger_maps_are_taken() -> None:
    """A decoder normalises rows that are cut off."""
    x, weight, bias = maps((2, 6, 8, 5), torch.float32)
    part = x[:, :, 3:]
    with interpreted():
        assert_alike(
            pixel_norm_swish(part, weight, bias, 1e-6),
            pixel_norm_swish(part.contiguous(), weight, bias, 1e-6),
        )


def test_what_does_not_fit_is_refused() -> None:
    x, weight, bias = maps((2, 6, 3, 5), torch.float32)
    with pytest.raises(ValueError, match="cannot be scaled"):
        pixel_norm_swish(x, weight[:5], bias, 1e-6)
    with pytest.raises(ValueError, match="into 4 groups"):
        group_norm_swish(x, weight, bias, 4, 1e-6)


def test_the_work_is_what_the_kernels_say() -> None:
    ours = work(1, 110_080 + 1_012_224, 4)
    assert ours.bytes == pytest.approx(9.0e6, rel=0.01)
    assert ours.flops == pytest.approx(13.5e6, rel=0.01)
    assert ours.least_s(H200) == pytest.approx(1.9e-6, rel=0.03)
    assert ours.least_s(H100) == pytest.approx(2.7e-6, rel=0.03)
    public = work(1, 83_361_792, 4)
    assert public.bytes == pytest.approx(0.67e9, rel=0.01)
    assert public.least_s(H200) == pytest.approx(0.14e-3, rel=0.03)
    assert public.least_s(H100) == pytest.approx(0.2e-3, rel=0.03)
