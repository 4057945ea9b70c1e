"""Log-mel energies: the kernel in the interpreter against PyTorch in float64."""

from __future__ import annotations

import pytest
import torch

from kernels import reference
from kernels.bounds import H200
from kernels.dispatch import interpreted
from kernels.log_mel import log_mel, mel_bins, work
from pipelines.audio.mel import LogMel, MelConfig

pytest.importorskip("triton", reason="no Triton language on this machine")

SHAPES = [  # slots, windows, size, step, bins, bands
    pytest.param(1, 1, 7, 3, 5, 3, id="tiny"),
    pytest.param(3, 5, 31, 7, 17, 16, id="prime"),
    pytest.param(5, 4, 61, 20, 37, 19, id="17 or more of everything"),
    pytest.param(2, 4, 400, 160, 257, 80, id="a hop"),
]


def tables(size: int, bins: int, bands: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A window, and triangles over all bins."""
    centres = torch.linspace(0.0, bins - 1.0, bands + 2)
    place = torch.arange(bins)[:, None]
    rising = (place - centres[:-2]) / (centres[1:-1] - centres[:-2])
    falling = (centres[2:] - place) / (centres[2:] - centres[1:-1])
    return torch.hann_window(size), torch.minimum(rising, falling).clamp_min(0.0)


@pytest.mark.parametrize(("slots", "windows", "size", "step", "bins", "bands"), SHAPES)
def test_the_kernel_is_its_twin(
    slots: int, windows: int, size: int, step: int, bins: int, bands: int
) -> None:
    chance = torch.Generator().manual_seed(0)
    sound = torch.randn(slots, size + (windows - 1) * step, generator=chance)
    window, weights = tables(size, bins, bands)
    sides = [sound, window, weights]
    exact = reference.log_mel(*(x.double() for x in sides), step=step, floor=1e-10)
    with interpreted():
        made = log_mel(*sides, mel_bins(weights), step=step, floor=1e-10)
    assert made.shape == (slots, windows, bands)
    # A sum of `size` products rounds by 2^-24 of the loudest, which is far above a quiet band.
    power, right = made.double().exp(), exact.exp()
    loudest = right.amax(2, keepdim=True)
    assert ((power - right).abs() <= 1e-5 * right + 1e-6 * size**0.5 * loudest).all()


def test_a_stream_is_heard_by_the_kernel_as_without_it() -> None:
    mel = LogMel(MelConfig())
    hops = 0.1 * torch.randn(2, 3, mel.hop, generator=torch.Generator().manual_seed(1))
    states = mel.init_state(2), mel.init_state(2)
    for n, active in enumerate(([True, True], [True, False], [True, True])):
        mask = torch.tensor(active)
        expected = mel.step(hops[:, n], states[0], mask)
        with interpreted():
            made = mel.step(hops[:, n], states[1], mask)
        assert torch.allclose(made[mask], expected[mask], atol=1e-4)  # of 10 to 20
        assert torch.equal(states[0].tail, states[1].tail)


def test_silence_is_the_floor() -> None:
    mel = LogMel(MelConfig())
    with interpreted():
        made = mel(torch.zeros(1, 640))
    assert torch.equal(made, torch.full_like(made, 1e-10).log())


def test_bins_that_nobody_hears_are_left_out() -> None:
    weights = LogMel(MelConfig()).weights
    first, last = mel_bins(weights).unbind(1)
    for group, (begin, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        heard = weights[:, 16 * group : 16 * group + 16]
        assert heard[begin].any()
        assert heard[end - 1].any()
        assert not heard[:begin].any()
        assert not heard[end:].any()
    assert int((last - first).max()) <= 128  # of 257, as the kernel's docstring says


def test_what_does_not_fit_is_refused() -> None:
    window, weights = tables(8, 5, 3)
    bins = mel_bins(weights)
    with pytest.raises(ValueError, match=r"must be \[B, 8 \+ n \* 3\], whole steps, got \(1, 9\)"):
        log_mel(torch.zeros(1, 9), window, weights, bins, step=3, floor=0.0)
    with pytest.raises(ValueError, match="a window of 9 samples does not fit spectra of 5 bins"):
        log_mel(torch.zeros(1, 9), torch.ones(9), weights, bins, step=3, floor=0.0)
    with pytest.raises(ValueError, match=r"bins must be \[1, 2\] for 3 bands, got \(2, 2\)"):
        log_mel(torch.zeros(1, 8), window, weights, bins.repeat(2, 1), step=3, floor=0.0)


def test_the_docstring_s_figures_are_the_formula_s() -> None:
    found = work(64)
    assert round(found.flops / 1e6) == 116
    assert round(found.bytes / 1e6, 1) == 1.2
    assert round(found.least_s(H200) * 1e6, 1) == 1.7
