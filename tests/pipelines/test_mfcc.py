"""MFCC: equal to the published features, and equal however the stream is cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipelines.audio.mfcc import Mfcc, MfccConfig, MfccState
from tests.support.fill import fixture, relative_error, wave


def noise(batch: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, size, generator=torch.Generator().manual_seed(seed)) * 0.1


def everyone(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.bool)


def stream(mfcc: Mfcc, samples: Tensor, cuts: list[int]) -> tuple[Tensor, MfccState]:
    """Rows of `samples` fed in chunks of `cuts` steps; the rows before the first are dropped."""
    state = mfcc.init_state(len(samples))
    chunks = samples.split([160 * cut for cut in cuts], 1)
    rows = [mfcc.step(chunk, state, everyone(len(samples))) for chunk in chunks]
    return torch.cat(rows, 1)[:, mfcc.config.row_delay :], state


def test_fixture_rows() -> None:
    arrays = fixture("audio")
    rows = Mfcc()(torch.from_numpy(arrays["in.wave"])[None])
    assert relative_error(rows[0], arrays["mfcc"]) <= 1e-5


def test_fixture_row_that_reaches_past_the_end() -> None:
    """The last of another fixture, on the scale of int16: silence follows the emphasis."""
    arrays = fixture("syncnet_v2", "wav2lip")
    rows = Mfcc()(torch.from_numpy(arrays["audio_int16"]).float()[None])
    assert relative_error(rows[0, :, :13], arrays["mfcc"]) <= 1e-5


def test_fixture_filters_and_spectra() -> None:
    arrays = fixture("audio")
    mfcc = Mfcc()
    sound = torch.from_numpy(arrays["in.wave"])[None]
    power = mfcc.power(torch.nn.functional.pad(sound, (1, 800)))[0]
    assert relative_error(mfcc.filters.T, arrays["mfcc.filterbank"]) <= 1e-5
    assert relative_error(power[7], arrays["mfcc.powspec.frame7"]) <= 1e-5
    assert relative_error((power @ mfcc.filters)[:161:8], arrays["mfcc.fbank"]) <= 1e-5


def test_fixture_lengths() -> None:
    arrays = fixture("audio")
    mfcc = Mfcc()
    for samples, rows in arrays["mfcc.lengths"].tolist():
        assert mfcc(noise(1, samples)).shape == (1, rows, 39)
    assert len(arrays["mfcc"]) == arrays["mfcc.frames"]
    assert len(arrays["mfcc"]) // 4 == arrays["mfcc.video_frames"]


def test_fixture_wave_is_the_formula() -> None:
    assert (fixture("audio")["in.wave"] == wave("anitalker.wave", 26_000)).all()


@given(cuts=st.lists(st.integers(1, 9), min_size=1, max_size=12), odd=st.integers(0, 159))
def test_chunked_equals_whole(cuts: list[int], odd: int) -> None:
    mfcc = Mfcc()
    samples = noise(2, 160 * sum(cuts) + odd)
    whole = mfcc(samples)
    streamed, state = stream(mfcc, samples[:, : 160 * sum(cuts)], cuts)
    owed, valid = mfcc.flush(state, samples[:, 160 * sum(cuts) :])
    before = max(0, mfcc.config.row_delay - sum(cuts))  # rows of a stream that never got so far
    ended = torch.cat([streamed, owed[:, before : int(valid[0])]], 1)
    assert ended.shape == whole.shape
    torch.testing.assert_close(ended, whole, rtol=0, atol=1e-6)


def test_slots_of_different_age_flush_together() -> None:
    mfcc = Mfcc()
    samples = noise(2, 1_600)
    state = mfcc.init_state(2)
    mfcc.step(samples[:, :640], state, torch.tensor([True, False]))
    mfcc.step(samples[:, 640:1_280], state, torch.tensor([True, True]))
    owed, valid = mfcc.flush(state)
    old, young = mfcc(samples[:1, :1_280])[0], mfcc(samples[1:, 640:1_280])[0]
    assert valid.tolist() == [3, 3]
    torch.testing.assert_close(owed[0, :3], old[4:], rtol=0, atol=1e-6)
    torch.testing.assert_close(owed[1, :3], young, rtol=0, atol=1e-6)


def test_rows_before_the_first_are_zero() -> None:
    mfcc = Mfcc()
    state = mfcc.init_state(1)
    first = mfcc.step(noise(1, 800), state, everyone(1))
    assert first[:, : mfcc.config.row_delay].abs().max() == 0
    assert first[:, mfcc.config.row_delay].abs().max() > 1


def test_look_ahead_is_where_a_row_leaves() -> None:
    """Row r leaves with the hop that ends `look_ahead` after its own step; it needs 560 of them."""
    mfcc = Mfcc()
    assert mfcc.look_ahead == 640
    samples = noise(1, 4_800).requires_grad_()
    state = mfcc.init_state(1)
    rows = torch.cat([mfcc.step(part, state, everyone(1)) for part in samples.split(160, 1)], 1)
    (gradient,) = torch.autograd.grad(rows[0, 14].sum(), samples)  # row 10, samples 1600...
    needed = gradient[0].nonzero().flatten()
    assert needed.min() == (10 - 2) * 160 - 1
    assert needed.max() == (10 + 2) * 160 + 399
    assert needed.max() < (10 + 1) * 160 + mfcc.look_ahead


def test_idle_slot_is_untouched() -> None:
    mfcc = Mfcc()
    state = mfcc.init_state(2)
    mfcc.step(noise(2, 640), state, everyone(2))
    before = [value.clone() for value in (state.tail, state.rows, state.position)]
    mfcc.step(noise(2, 640, seed=1), state, torch.tensor([True, False]))
    for held, value in zip(before, (state.tail, state.rows, state.position), strict=True):
        assert torch.equal(held[1], value[1])
        assert not torch.equal(held[0], value[0])


def test_reset_slot_equals_a_fresh_one() -> None:
    mfcc = Mfcc()
    state = mfcc.init_state(2)
    mfcc.step(noise(2, 1_280), state, everyone(2))
    state.reset(torch.tensor([False, True]))
    samples = noise(2, 1_280, seed=1)
    fresh = mfcc.step(samples, mfcc.init_state(2), everyone(2))
    found = mfcc.step(samples, state, everyone(2))
    assert torch.equal(found[1], fresh[1])
    assert not torch.equal(found[0], fresh[0])


def test_digital_silence_is_the_documented_floor() -> None:
    rows = Mfcc()(torch.zeros(1, 16_000))
    assert rows[0, :, 0].sub(-36.0437).abs().max() < 1e-3
    assert rows[0, :, 1:].abs().max() < 1e-9


@pytest.mark.parametrize("wrong", [{"hop": 650}, {"window": 600}, {"coefficients": 27}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"hop|window|bands"):
        MfccConfig(**wrong)


@pytest.mark.parametrize("size", [0, 100])
def test_part_of_a_step_is_refused(size: int) -> None:
    mfcc = Mfcc()
    with pytest.raises(ValueError, match="gather whole steps"):
        mfcc.step(noise(1, size), mfcc.init_state(1), everyone(1))


def test_flush_refuses_a_whole_step() -> None:
    mfcc = Mfcc()
    with pytest.raises(ValueError, match="fewer than 160"):
        mfcc.flush(mfcc.init_state(1), noise(1, 160))


def test_a_cleared_slot_hears_on_as_a_fresh_one() -> None:
    mfcc = Mfcc()
    state, fresh = mfcc.init_state(2), mfcc.init_state(2)
    mfcc.step(noise(2, 640), state, everyone(2))
    state.clear(torch.tensor([True, False]))
    after, expected = (mfcc.step(noise(2, 640, 1), s, everyone(2)) for s in (state, fresh))
    assert torch.equal(after[0], expected[0])
    assert not torch.equal(after[1], expected[1])
