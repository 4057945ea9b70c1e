"""What of squares is shown: the kernel is its twin, and detail is lost where it has to be."""

from __future__ import annotations

import pytest
import torch

from kernels.bounds import H100, H200
from kernels.dispatch import interpreted
from kernels.shown_squares import shown_squares, work

pytest.importorskip("triton", reason="the kernel is in the Triton language")

SLOTS = 3


def made(n: int, side: int, shift: float) -> list[torch.Tensor]:
    """Squares that look up to `shift` elsewhere, and those of three slots at rest."""
    chance = torch.Generator().manual_seed(side)

    def values(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=chance)

    resting = values(SLOTS, 9, side, side)
    resting[:, 2:5] = resting[:, 2:5] * 2.0 - 1.0
    pictures = resting[:1, 2:5] + values(n, 3, side, side) * 0.2
    looks = resting[:1, :2] + (values(n, 2, side, side) - 0.5) * shift
    return [pictures, looks, values(n, 1, side, side), resting, values(1, 1, side, side)]


@pytest.mark.parametrize("shift", [0.02, 3.0])
@pytest.mark.parametrize(
    ("side", "rows"), [(2, [0]), (3, [2, 0]), (8, [1, 1, 0]), (17, [0, 2])], ids=str
)
def test_the_kernel_is_its_twin(side: int, rows: list[int], shift: float) -> None:
    pictures, looks, masks, resting, fade = made(len(rows), side, shift)
    given = pictures, looks, masks, resting, torch.tensor(rows), fade, 0.8
    expected = shown_squares(*given)
    with interpreted():
        found = shown_squares(*given)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    alone = shown_squares(pictures, looks, masks, resting[rows], None, fade, 0.8)
    assert torch.equal(alone, expected)


def test_at_rest_all_detail_is_kept_and_elsewhere_it_is_lost() -> None:
    side = 16
    resting = made(1, side, 0.0)[3][:1]
    still = resting[:, 2:5], resting[:, :2], resting[:, 5:6]
    fade = torch.ones(1, 1, side, side)

    def share(pictures: torch.Tensor, looks: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return shown_squares(pictures, looks, masks, resting, torch.zeros(1).long(), fade, 1.0)[
            :, 5
        ]

    visible = resting[:, 5] > 0.05
    assert float(share(*still)[visible].min()) > 0.999
    pictures, looks, masks = still
    assert float(share(-pictures.sign(), looks, masks).mean()) < 0.1
    assert float(share(pictures, looks, 0.0 * masks).max()) == 0.0
    torn = looks.clone()
    torn[:, 0, :, ::2] += 0.3
    assert float(share(pictures, torn, masks).mean()) < 0.05
    hidden = shown_squares(*still, resting, None, 0.0 * fade, 1.0)
    assert float(hidden[:, :3].abs().max()) == 0.0  # and all the detail there is
    assert float(hidden[:, 5].min()) == 1.0


def test_what_does_not_fit_is_refused() -> None:
    pictures, looks, masks, resting, fade = made(2, 4, 0.1)
    rows = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="squares are"):
        shown_squares(pictures, looks[:1], masks, resting, rows, fade, 1.0)
    with pytest.raises(ValueError, match="at rest and a fade"):
        shown_squares(pictures, looks, masks, resting[:, :8], rows, fade, 1.0)
    with pytest.raises(ValueError, match="2 squares"):
        shown_squares(pictures, looks, masks, resting, rows[:1], fade, 1.0)


def test_the_work_is_what_the_kernel_says() -> None:
    one, many = work(1, 256), work(64, 256)
    assert one.bytes == pytest.approx(5.5e6, rel=0.01)
    assert one.flops == pytest.approx(48e6, rel=0.01)
    assert many.least_s(H200) == pytest.approx(73e-6, rel=0.02)
    assert many.least_s(H100) == pytest.approx(105e-6, rel=0.02)
