"""Figures of a mouth, and the conditions it is measured under."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.lips.conditions import MICROPHONES, backgrounds, far_talk, phrases, through
from benchmarks.lips.figures import MAX_LAG, Gaps, follow, onset_ms
from benchmarks.lips.measure import figures, table
from benchmarks.lips.sounds import Clip, Samples
from tests.support.said import TEXT, phones_of
from training.motion.articulation import FPS, articulate
from training.speech.lexicon_languages import LANGUAGES
from training.speech.phones import RATE_HZ, Phone, Utterance


def tone(length_s: float, level: float = 0.1) -> Samples:
    times = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    parts = [np.sin(2 * np.pi * hz * times) for hz in (100.0, 1_000.0, 5_000.0)]
    return np.asarray(level * np.mean(parts, 0), np.float32)


def clip(text: str) -> Clip:
    phones = phones_of(text)
    return Clip(tone(round(phones[-1].end_s * FPS) / FPS), phones)


def opening(frame: int, frames: int = 60) -> Gaps:
    return np.where(np.arange(frames) >= frame, 0.05, 0.003)


@pytest.mark.parametrize(("frame", "ms"), [(20, 20.0), (22, 100.0), (18, -60.0), (99, 1_600.0)])
def test_onset_is_from_the_first_sound_to_open_lips(frame: int, ms: float) -> None:
    found = onset_ms(opening(frame), phones_of("AA T AA"))
    # lips that never open count as opening after the last frame
    assert found == pytest.approx(ms if frame < 60 else (60.5 / FPS - 0.8) * 1_000.0)


def test_no_onset_for_a_sentence_that_begins_with_closed_lips() -> None:
    assert onset_ms(opening(20), phones_of("M AA")) is None


SAID = clip(TEXT)


@pytest.mark.parametrize("late", [0, 2])
def test_figures_of_the_reference_itself(late: int) -> None:
    gap = np.roll(articulate(SAID.phones, SAID.frames), late)
    found = figures([(gap, SAID), (gap, SAID)])
    assert found["r"] > 0.999
    assert found["lag_frames"] == late
    assert found["closures"] == 1.0
    assert found["closures_of"] == 2 * 5
    assert late or found["false_closures"] == 0.0
    assert found["stillness"] < 0.1  # lips part before the sound
    onset = found["onset_ms"]
    assert onset["median"] == onset["reference_median"] + late * 40
    assert onset["reference_on_time"] == 1.0
    assert onset["on_time"] == float(onset["median"] <= 40.0)
    lines = table({"reference": found}, "mouth").splitlines()
    assert lines[1].startswith("reference")
    assert lines[1].endswith(f"{onset['on_time']:.0%} of 2 within 40")


def test_lags_beyond_two_frames_are_not_looked_for() -> None:
    reference = articulate(SAID.phones, SAID.frames)
    found = follow(np.roll(reference, 4), reference)
    assert found.lag == MAX_LAG == 2
    assert found.r < 0.95


def test_frames_without_a_face_do_not_count() -> None:
    reference = articulate(SAID.phones, SAID.frames)
    gap, seen = np.roll(reference, 1), reference.copy()
    seen[30:40] = np.nan
    found = follow(gap, seen)
    assert (found.lag, found.r) == (1, pytest.approx(1.0))
    seen[5:] = np.nan
    with pytest.raises(ValueError, match="need more than 6 frames, got 5"):
        follow(gap, seen)


def test_speech_that_begins_at_once_has_no_stillness_to_measure() -> None:
    phones = tuple(
        Phone(p.label, max(p.start_s - 0.8, 0.0), p.end_s - 0.8) for p in SAID.phones[1:]
    )
    begun = Clip(SAID.samples[round(0.8 * RATE_HZ) :], phones)
    found = figures([(articulate(begun.phones, begun.frames), begun)])
    assert found["stillness"] is None
    assert found["r"] > 0.999


def test_false_closures_are_counted_where_the_reference_is_open() -> None:
    gap = articulate(SAID.phones, SAID.frames)
    gap[:] = np.where(gap > 0.03, 0.0, gap)
    found = figures([(gap, SAID)])
    assert found["false_closures_where_reference_open"] > 0.5


def test_lips_that_never_move_are_no_success() -> None:
    found = figures([(np.full(SAID.frames, 0.003), SAID)])
    assert found["r"] == 0.0
    assert found["false_closures"] == 1.0
    assert found["stillness"] is None
    table({"dead": found}, "mouth")


def band(samples: Samples, hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum[round(hz * len(samples) / RATE_HZ)])


@pytest.mark.parametrize("name", MICROPHONES)
def test_microphones_keep_time_and_repeat(name: str) -> None:
    heard = through(SAID, name, seed=3)
    assert heard.phones == SAID.phones
    assert heard.samples.shape == SAID.samples.shape
    assert heard.samples.dtype == np.float32
    np.testing.assert_array_equal(heard.samples, through(SAID, name, seed=3).samples)
    assert not np.array_equal(heard.samples, through(SAID, name, seed=4).samples)


def test_microphones_do_what_they_say() -> None:
    faint = through(SAID, "peaks at -40 dBFS", 0).samples
    assert np.abs(faint).max() == pytest.approx(0.01, rel=0.1)
    plain = SAID.samples / np.abs(SAID.samples).max()
    phone = through(SAID, "telephone band", 0).samples
    phone = phone / np.abs(phone).max()
    for hz in (100.0, 5_000.0):
        assert band(phone, hz) < 0.2 * band(plain, hz)
    assert band(phone, 1_000.0) > 0.8 * band(plain, 1_000.0)


def test_backgrounds_have_something_to_measure() -> None:
    made = backgrounds(2.0)
    assert {"digital silence", "music at -24 dBFS"} <= set(made)
    for sound in made.values():
        frames = len(sound.samples) * FPS // RATE_HZ
        assert sound.begin + FPS <= frames
        assert np.abs(sound.samples).max() <= 1.0


def test_far_talk_is_measured_after_the_speaker() -> None:
    said = Utterance(tone(1.0), (Phone("AA", 0.0, 0.9), Phone("SIL", 0.9, 1.0)), "a", "test")
    others = [np.random.default_rng(n).standard_normal(9_000).astype(np.float32) for n in (1, 2)]
    made = far_talk(said, others, 2.0)
    rest = made.samples[made.begin * RATE_HZ // FPS :]
    assert made.begin / FPS > 0.8 + 0.9 + 0.4
    assert 20 * np.log10(np.sqrt(np.mean(rest**2))) == pytest.approx(-48.0, abs=2.0)


def test_phrases_are_of_the_language_and_the_same_each_time() -> None:
    found = phrases("pl", 4)
    assert found == phrases("pl", 4)
    assert len(set(found)) == 4
    for text in found:
        said = text.rstrip(".?!").replace(",", "").split()
        assert len(said) >= 5
        assert all(word.isdigit() or word in LANGUAGES["pl"] for word in said)
