"""Mel windows of the Wav2Lip family: the published numbers, however the stream is cut."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipelines.audio.mel_windows import (
    SILENCE,
    MelWindows,
    MelWindowState,
    Padding,
    inference_starts,
    window_indices,
    window_starts,
)
from tests.support.fill import fixture

LEADS = (0, 1, 2)


def noise(batch: int, hops: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 640 * hops, generator=random) * 0.1


def everyone(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.bool)


def given_wave() -> Tensor:
    return torch.from_numpy(fixture("mel", "wav2lip")["wav"])[None]


@pytest.mark.parametrize("padding", ["reflect", "constant"])
def test_fixture_spectrogram(padding: Padding) -> None:
    expected = torch.from_numpy(fixture("mel", "wav2lip")[f"mel_{padding}"])
    found = MelWindows().spectrogram(given_wave(), padding)
    torch.testing.assert_close(found[0].T, expected, rtol=0, atol=1e-6)


def test_paddings_differ_in_two_frames_at_either_end() -> None:
    mel = MelWindows()
    reflect, constant = (
        mel.spectrogram(noise(1, 20), padding) for padding in ("reflect", "constant")
    )
    differ = (reflect != constant).any(2)[0].nonzero().flatten().tolist()
    assert differ == [0, 1, 63, 64]


def test_fixture_filters_and_window() -> None:
    arrays, mel = fixture("mel", "wav2lip"), MelWindows()
    basis, window = torch.from_numpy(arrays["mel_basis"]), torch.from_numpy(arrays["window"])
    torch.testing.assert_close(mel.basis.float().T, basis, rtol=0, atol=1e-8)
    torch.testing.assert_close(mel.window.float(), window, rtol=0, atol=1e-7)


def test_fixture_windows() -> None:
    arrays = fixture("mel_windows", "wav2lip")
    frames = int(arrays["n_mel_frames"])
    assert inference_starts(frames).tolist() == arrays["inference_start"].tolist()
    indices = window_indices(int(arrays["n_video_frames"]), frames, lead=2)
    assert indices.tolist() == arrays["sadtalker_indices"].tolist()


def test_starts_are_truncated_toward_zero() -> None:
    video = torch.arange(7)
    assert window_starts(video, 0).tolist() == [0, 3, 6, 9, 12, 16, 19]
    assert window_starts(video, 1).tolist() == [-3, 0, 3, 6, 9, 12, 16]
    assert window_starts(video, 2).tolist() == [-6, -3, 0, 3, 6, 9, 12]


@pytest.mark.parametrize("lead", LEADS)
def test_a_stream_has_the_windows_of_the_spectrogram(lead: int) -> None:
    """Silence around: the offline form with zeros as padding, and its table of windows."""
    mel, samples = MelWindows(lead), given_wave()
    spectrogram = mel.spectrogram(F.pad(samples, (0, 6_400)))[0]
    expected = spectrogram[window_indices(30, len(spectrogram), lead)].transpose(1, 2)
    torch.testing.assert_close(mel(samples)[0], expected, rtol=0, atol=1e-6)


@given(lead=st.sampled_from(LEADS), cuts=st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_chunked_equals_whole(lead: int, cuts: list[int]) -> None:
    mel, samples = MelWindows(lead), noise(2, sum(cuts))
    state = mel.init_state(2)
    chunks = samples.split([640 * cut for cut in cuts], 1)
    streamed = torch.cat([mel.step(chunk, state, everyone(2)) for chunk in chunks], 1)
    delay = mel.look_ahead // mel.hop
    begun, whole = streamed[:, delay:], mel(samples)
    torch.testing.assert_close(begun, whole[:, : begun.shape[1]], rtol=0, atol=1e-6)
    assert (streamed[:, :delay] == SILENCE).all()


@pytest.mark.parametrize(
    ("lead", "look_ahead_ms", "reach_ms"), [(0, 200, 212.5), (1, 160, 172.5), (2, 120, 132.5)]
)
def test_look_ahead_is_what_a_window_needs(lead: int, look_ahead_ms: int, reach_ms: float) -> None:
    """By gradients: no window needs more, and with a hop less the longest would not be whole."""
    mel = MelWindows(lead)
    assert mel.look_ahead == look_ahead_ms * 16
    samples = noise(1, 20).requires_grad_()
    windows, reach = mel(samples), []
    for video in range(8, 13):  # one of each phase
        (gradient,) = torch.autograd.grad(windows[0, video].sum(), samples, retain_graph=True)
        reach.append(int(gradient[0].nonzero().max()) + 1 - 640 * video)
    assert max(reach) == reach_ms * 16
    assert mel.look_ahead < max(reach) <= mel.look_ahead + mel.hop


def test_slots_of_different_age_step_together() -> None:
    mel, samples = MelWindows(), noise(2, 12)
    state = mel.init_state(2)
    for hop in samples[:, : 3 * 640].split(640, 1):
        mel.step(hop, state, torch.tensor([True, False]))
    hops = samples[:, 3 * 640 :].split(640, 1)
    found = torch.cat([mel.step(hop, state, everyone(2)) for hop in hops], 1)
    old, young = mel(samples[:1])[0], mel(samples[1:, 3 * 640 :])[0]
    torch.testing.assert_close(found[0, 2:], old[:7], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[1, 5:], young[:4], rtol=0, atol=1e-6)


def tensors_of(state: MelWindowState) -> list[Tensor]:
    return [state.tail, state.frames, state.position]


def test_idle_slot_is_untouched() -> None:
    mel = MelWindows()
    state = mel.init_state(2)
    mel.step(noise(2, 2), state, everyone(2))
    before = [value.clone() for value in tensors_of(state)]
    mel.step(noise(2, 1, seed=1), state, torch.tensor([True, False]))
    for held, value in zip(before, tensors_of(state), strict=True):
        assert torch.equal(held[1], value[1])
        assert not torch.equal(held[0], value[0])


@pytest.mark.parametrize("verb", ["reset", "clear"])
def test_a_slot_started_over_equals_a_fresh_one(verb: str) -> None:
    mel = MelWindows()
    state = mel.init_state(2)
    mel.step(noise(2, 7), state, everyone(2))
    getattr(state, verb)(torch.tensor([False, True]))
    samples = noise(2, 6, seed=1)
    found = mel.step(samples, state, everyone(2))
    fresh = mel.step(samples, mel.init_state(2), everyone(2))
    assert torch.equal(found[1], fresh[1])
    assert not torch.equal(found[0], fresh[0])


def test_silence_is_the_floor() -> None:
    mel = MelWindows()
    assert (mel(torch.zeros(1, 6_400)) == SILENCE).all()
    assert (mel.spectrogram(torch.zeros(1, 6_400), "reflect") == SILENCE).all()


@pytest.mark.parametrize("size", [0, 200, 700])
def test_part_of_a_hop_is_refused(size: int) -> None:
    mel = MelWindows()
    with pytest.raises(ValueError, match="gather whole hops"):
        mel.step(torch.zeros(1, size), mel.init_state(1), everyone(1))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lead must lie in 0\.\.5 video frames, got 6"):
        MelWindows(lead=6)
    with pytest.raises(ValueError, match="16 mel frames, the clip has 15"):
        inference_starts(15)
