"""Resampling, concealment and shortening of sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtime.sources.microphone.conceal import Concealer, compress
from realtime.sources.resample import DELAY_SAMPLES, Decimator


def tone(hz: float, samples: int, amplitude: float = 8_000) -> NDArray[np.int16]:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(samples) / 48_000)).astype(np.int16)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_decimating_in_pieces_equals_decimating_at_once(thirds: list[int], seed: int) -> None:
    pcm = np.random.default_rng(seed).integers(-32768, 32768, 3 * sum(thirds)).astype(np.int16)
    whole = Decimator()(pcm)
    piecewise = Decimator()
    parts = [piecewise(part) for part in np.split(pcm, 3 * np.cumsum(thirds)[:-1])]
    assert np.allclose(np.concatenate(parts), whole, atol=1e-6)
    assert len(whole) == sum(thirds)


def test_decimation_delays_by_exactly_what_it_says() -> None:
    pcm = np.zeros(960, np.int16)
    pcm[300] = 32767
    assert int(np.argmax(Decimator()(pcm))) == 100 + DELAY_SAMPLES


@pytest.mark.parametrize(("hz", "gain_db"), [(100, 0), (3000, 0), (6500, 0), (9000, -60)])
def test_decimation_keeps_speech_and_rejects_aliases(hz: float, gain_db: float) -> None:
    y = Decimator()(tone(hz, 9_600, 16_000))[200:]
    level = 20 * np.log10(np.sqrt(np.mean(y**2)) / (16_000 / 32_768 / np.sqrt(2)))
    assert level == pytest.approx(0, abs=0.2) if gain_db == 0 else level < -50


def test_decimation_wants_whole_samples() -> None:
    with pytest.raises(ValueError, match="multiple of 3"):
        Decimator()(np.zeros(100, np.int16))


def test_a_short_gap_in_a_voice_is_hardly_noticed() -> None:
    x = tone(200, 9_600)
    present = np.ones(9_600, np.bool_)
    present[4_800:5_760] = False  # one packet
    conceal = Concealer()
    broken = np.where(present, x, 0).astype(np.int16)
    parts = [conceal(broken[i : i + 1920], present[i : i + 1920]) for i in range(0, 9_600, 1_920)]
    y = np.concatenate(parts)
    error = y[200:].astype(float) - x[200:]
    assert np.sqrt(np.mean(error[4_600:5_400] ** 2)) < 0.15 * 8_000 / np.sqrt(2)
    steps = np.abs(np.diff(y.astype(int)))
    assert steps.max() <= 1.6 * np.abs(np.diff(x.astype(int))).max()


def test_a_long_gap_fades_to_true_silence() -> None:
    conceal = Concealer()
    conceal(tone(200, 9_600), np.ones(9_600, np.bool_))
    y = conceal(np.zeros(9_600, np.int16), np.zeros(9_600, np.bool_))
    assert np.abs(y[:480]).max() > 6_000
    assert not y[2_880:].any()  # 60 ms
    assert not conceal(np.zeros(1_920, np.int16), np.zeros(1_920, np.bool_)).any()


def test_before_the_first_sound_there_is_silence() -> None:
    assert not Concealer()(np.zeros(1_920, np.int16), np.zeros(1_920, np.bool_)).any()


def test_compression_through_a_voice_cuts_whole_periods() -> None:
    shorter, cut = compress(tone(200, 960), 480, at_pitch=True)
    assert cut % 240 == pytest.approx(0, abs=2) or cut % 240 > 237
    assert len(shorter) == 960 - cut
    assert np.abs(np.diff(shorter.astype(int))).max() <= 1.6 * 8_000 * 2 * np.pi * 200 / 48_000


def test_compression_of_noise_through_a_voice_is_refused() -> None:
    noise = np.random.default_rng(0).integers(-8_000, 8_000, 960).astype(np.int16)
    shorter, cut = compress(noise, 480, at_pitch=True)
    assert cut == 0
    assert np.array_equal(shorter, noise)


@given(st.integers(1, 2_000), st.integers(120, 5_760))
def test_compression_in_a_pause_is_exact(surplus: int, length: int) -> None:
    shorter, cut = compress(np.zeros(length, np.int16), surplus, at_pitch=False)
    assert cut == max(0, min(surplus, length - 120))
    assert len(shorter) == length - cut
