"""Log-mel features: streaming equals whole, causality, and numbers with a meaning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pipelines.audio.mel import LogMel, MelConfig, mel_weights

RATE = 16_000


def noise(batch: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, size, generator=torch.Generator().manual_seed(seed)) * 0.1


def stream(mel: LogMel, samples: Tensor, chunk: int) -> Tensor:
    state = mel.init_state(len(samples))
    active = torch.ones(len(samples), dtype=torch.bool)
    return torch.cat([mel.step(part, state, active) for part in samples.split(chunk, 1)], 1)


@pytest.mark.parametrize("chunk", [160, 320, 640, 1_280, 4_800])
def test_chunked_equals_whole(chunk: int) -> None:
    mel = LogMel()
    samples = noise(3, 9_600)
    torch.testing.assert_close(stream(mel, samples, chunk), mel(samples), rtol=0, atol=1e-6)


def test_four_vectors_per_hop() -> None:
    mel = LogMel()
    assert mel.hop == 640
    assert mel(noise(2, 6_400)).shape == (2, 40, 80)


def test_a_vector_knows_nothing_after_its_step() -> None:
    mel = LogMel()
    samples = noise(1, 3_200).requires_grad_()
    features = mel(samples)
    (gradient,) = torch.autograd.grad(features[0, 9].sum(), samples)
    assert gradient[0, 10 * 160 :].abs().max() == 0
    assert gradient[0, 10 * 160 - 50 : 10 * 160].abs().max() > 0
    assert gradient[0, : 10 * 160 - 400].abs().max() == 0


def test_look_ahead_is_where_the_window_is_centred() -> None:
    mel = LogMel()
    samples = torch.zeros(1, 3_200)
    centre_of_step_9 = 9 * 160 + 80
    samples[0, centre_of_step_9 - mel.look_ahead] = 1.0
    assert int(mel(samples).sum(2).argmax()) == 9


def test_idle_slot_is_untouched() -> None:
    mel = LogMel()
    state = mel.init_state(2)
    mel.step(noise(2, 640), state, torch.tensor([True, True]))
    before = state.tail.clone()
    mel.step(noise(2, 640, seed=1), state, torch.tensor([True, False]))
    assert torch.equal(state.tail[1], before[1])
    assert not torch.equal(state.tail[0], before[0])


def test_reset_slot_equals_a_fresh_one() -> None:
    mel = LogMel()
    active = torch.ones(2, dtype=torch.bool)
    state = mel.init_state(2)
    mel.step(noise(2, 640), state, active)
    state.reset(torch.tensor([False, True]))
    samples = noise(2, 640, seed=1)
    fresh = mel.step(samples, mel.init_state(2), active)
    found = mel.step(samples, state, active)
    assert torch.equal(found[1], fresh[1])
    assert not torch.equal(found[0], fresh[0])


def test_bands_sum_to_the_mean_square() -> None:
    mel = LogMel()
    times = torch.arange(RATE) / RATE
    samples = 0.5 * torch.sin(2 * math.pi * 1_000.0 * times)[None]
    power = mel(samples).exp().sum(2)[0, 10:-10]
    torch.testing.assert_close(power, torch.full_like(power, 0.125), rtol=0.02, atol=0)


def test_a_tone_is_loudest_in_its_band() -> None:
    mel = LogMel()
    centres = mel.config.band_centres_hz()
    times = torch.arange(3_200) / RATE
    for band in (10, 30, 60):
        tone = 0.5 * torch.sin(2 * math.pi * float(centres[band]) * times)[None]
        assert abs(int(mel(tone)[0, 10].argmax()) - band) <= 1


def test_no_band_is_empty() -> None:
    assert (mel_weights(MelConfig()).sum(0) > 0.5).all()


def test_silence_is_finite() -> None:
    features = LogMel()(torch.zeros(1, 1_600))
    assert torch.isfinite(features).all()


@pytest.mark.parametrize(
    "wrong", [{"hop": 650}, {"window": 600}, {"window": 401}, {"high_hz": 9_000.0}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"hop|window|bands"):
        MelConfig(**wrong)  # type: ignore[arg-type]


def test_part_of_a_step_is_refused() -> None:
    mel = LogMel()
    with pytest.raises(ValueError, match="gather whole steps"):
        mel.step(noise(1, 100), mel.init_state(1), torch.tensor([True]))


def test_a_cleared_slot_hears_on_as_after_silence() -> None:
    mel, active = LogMel(), torch.ones(2, dtype=torch.bool)
    state, fresh = mel.init_state(2), mel.init_state(2)
    mel.step(noise(2, 640), state, active)
    state.clear(torch.tensor([True, False]))
    after, expected = (mel.step(noise(2, 640, 1), s, active) for s in (state, fresh))
    assert torch.equal(after[0], expected[0])
    assert not torch.equal(after[1], expected[1])
