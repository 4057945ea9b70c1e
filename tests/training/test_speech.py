"""Synthetic speech with phone times, the reference mouth, and figures made with both."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lips.figures import closures, false_closures, follow, in_speech
from training.motion.articulation import CLOSED, FPS, articulate
from training.speech.phones import (
    LABELS,
    RATE_HZ,
    VOWELS,
    Phone,
    Utterance,
    from_festvox,
    from_ipa,
)
from training.speech.phones_festival import from_festival
from training.speech.sentences import HELD_OUT, TRAINING
from training.speech.synthesis import (
    FESTIVAL_VOICES,
    HELD_OUT_VOICES,
    TRAINING_VOICES,
    at_speed,
    missing,
    synthesise,
    synthesise_all,
)
from training.speech.text import foreign

ENGINES = ("espeak:en-us+f2", "flite:slt", "festival:ked_diphone")
SENTENCE = "Maybe people buy a pair of blue mops."


def say(voice: str, text: str = SENTENCE, **how: float) -> Utterance:
    lack = missing(voice)
    if lack is not None:
        pytest.skip(lack)
    return synthesise(text, voice, **how)


def phones(text: str, each_s: float = 0.1) -> list[Phone]:
    return [Phone(p, i * each_s, (i + 1) * each_s) for i, p in enumerate(text.split())]


@pytest.mark.parametrize("voice", ENGINES)
def test_phones_cover_the_sound_in_order(voice: str) -> None:
    said = say(voice)
    assert said.samples.dtype == np.float32
    assert np.abs(said.samples).max() <= 1.0
    assert said.phones[0].start_s == 0.0
    assert said.phones[-1].end_s == pytest.approx(said.length_s)
    for one, following in zip(said.phones, said.phones[1:], strict=False):
        assert one.end_s == following.start_s > one.start_s
    assert {phone.label for phone in said.phones} <= LABELS
    spoken = [phone.label for phone in said.phones if phone.label != "SIL"]
    assert spoken[:8] == ["M", "EY", "B", "IY", "P", "IY", "P", "AX"]


@pytest.mark.parametrize("voice", ENGINES)
def test_times_agree_with_the_sound(voice: str) -> None:
    said = say(voice, "Pass the cup, Bob, and stop at the top of the map.")
    power = np.square(said.samples, dtype=np.float64)

    def level(phone: Phone) -> float:
        part = power[int(phone.start_s * RATE_HZ) : int(phone.end_s * RATE_HZ)]
        # the quietest 20 ms: a closure is silent somewhere, a vowel nowhere
        pieces = [part[i : i + 320].mean() for i in range(0, max(len(part) - 320, 1), 80)]
        return float(10 * np.log10(min(pieces) + 1e-9))

    closed = np.median([level(p) for p in said.phones if p.label in {"P", "T", "K"}])
    vowels = np.median([level(p) for p in said.phones if p.label in {"AE", "AA", "AH"}])
    assert vowels > closed + 15


def test_rate_and_pitch_do_what_they_say() -> None:
    plain = say("espeak:en-us+m3")
    fast = say("espeak:en-us+m3", rate=1.5)
    high = say("espeak:en-us+m3", pitch=1.6)
    assert fast.length_s < 0.8 * plain.length_s
    assert not np.array_equal(high.samples[:8_000], plain.samples[:8_000])
    again = say("espeak:en-us+m3")  # a call leaves no settings behind
    assert again.length_s == pytest.approx(plain.length_s, rel=0.02)
    assert say("flite:slt", rate=1.5).length_s < 0.8 * say("flite:slt").length_s


def test_voices_are_on_one_side_of_the_split() -> None:
    assert not set(TRAINING_VOICES) & set(HELD_OUT_VOICES)
    assert len(TRAINING_VOICES) == len(set(TRAINING_VOICES))
    for speaker in ("awb", "ked"):
        assert not any(speaker in voice for voice in TRAINING_VOICES)
    assert not set(TRAINING) & set(HELD_OUT)


def test_every_voice_is_installed_for_the_tests() -> None:
    script = (Path(__file__).parents[2] / "deploy" / "system-packages.sh").read_text()
    wanted = {"espeak-ng", "flite", "festival", *(v.package for v in FESTIVAL_VOICES.values())}
    assert wanted <= set(re.findall(r"[\w-]+", script))


@pytest.mark.parametrize("voice", [v for v in TRAINING_VOICES if v.startswith("espeak")])
def test_espeak_voices_speak_the_sentences(voice: str) -> None:
    for sentence in TRAINING[::4]:
        assert len(say(voice, sentence).phones) > 10


@pytest.mark.parametrize("name", [n for n, v in FESTIVAL_VOICES.items() if v.language != "en"])
def test_festival_speaks_other_languages_in_time(name: str) -> None:
    voice, language = f"festival:{name}", FESTIVAL_VOICES[name].language
    if missing(voice):
        pytest.skip(str(missing(voice)))
    chance = np.random.default_rng(0)
    said = synthesise_all([foreign(language, chance) for _ in range(3)], voice)
    assert len(said) == 3
    for utterance in said:
        power = np.square(utterance.samples, dtype=np.float64)
        vowels, silences = (
            np.concatenate(
                [
                    power[int(p.start_s * RATE_HZ) : int(p.end_s * RATE_HZ)]
                    for p in utterance.phones
                    if p.label in labels
                ]
            ).mean()
            for labels in (VOWELS, {"SIL"})
        )
        assert vowels > 10.0 * silences


def test_speed_moves_pitch_and_phones_together() -> None:
    said = say("flite:rms")
    for speed in (0.85, 1.0, 1.18):
        other = at_speed(said, speed)
        assert other.length_s == pytest.approx(said.length_s / speed, rel=0.002)
        assert [p.label for p in other.phones] == [p.label for p in said.phones]
        assert other.phones[-1].end_s == pytest.approx(other.length_s)
        for one, moved in zip(said.phones, other.phones, strict=True):
            assert moved.start_s == pytest.approx(one.start_s / speed, abs=0.01)
        loudest = np.argmax(np.abs(said.samples)) / RATE_HZ
        there = other.samples[int((loudest / speed - 0.01) * RATE_HZ) :][: RATE_HZ // 50]
        assert np.abs(there).max() > 0.8 * np.abs(other.samples).max()
    with pytest.raises(ValueError, match="speed"):
        at_speed(said, 3.0)


@pytest.mark.parametrize(
    ("name", "language", "label"),
    [("a1", "it", "AA"), ("rr", "ca", "D"), ("r~*", "cs", "SH"), ("@:", "fi", "AE"),
     ("nn", "ru", "N"), ("sch", "ru", "SH"), ("#", "fi", "SIL"), ("ss", "ru", "S")],
)  # fmt: skip
def test_festival_phones_become_labels(name: str, language: str, label: str) -> None:
    assert from_festival(name, language) == label


@pytest.mark.parametrize(
    ("symbol", "language", "labels"),
    [("y", "fr", ("UW",)), ("y", "ru", ("IH",)), ("ɑ̃", "fr", ("AA",)), ("(en)", "cmn", ()),
     ("r̝̊", "cs", ("ZH",)), ("tɕh", "cmn", ("CH",)), ("ʁ", "de", ("HH",)), ("øː", "de", ("ER",))],
)  # fmt: skip
def test_sounds_of_other_languages_have_the_nearest_lips(
    symbol: str, language: str, labels: tuple[str, ...]
) -> None:
    assert from_ipa(symbol, language) == labels


@pytest.mark.parametrize(
    ("symbol", "labels"),
    [("eɪ", ("EY",)), ("ˈɑːɹ", ("AA", "R")), ("əl", ("AX", "L")), ("tʃ", ("CH",)), ("", ("SIL",))],
)
def test_ipa_becomes_labels(symbol: str, labels: tuple[str, ...]) -> None:
    assert from_ipa(symbol) == labels


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown IPA"):
        from_ipa("ǃ")
    with pytest.raises(ValueError, match="unknown phone"):
        from_festvox("qq")
    with pytest.raises(ValueError, match="unknown phone"):
        from_festival("qq", "it")
    with pytest.raises(ValueError, match="expected espeak:NAME"):
        synthesise("hello", "klingon")
    with pytest.raises(ValueError, match="rate"):
        synthesise("hello", "flite:slt", rate=9.0)
    assert missing("festival:nobody") is not None


def test_lips_shut_for_p_b_m_and_open_for_vowels() -> None:
    spoken = phones("SIL SIL SIL SIL SIL AA B AA P AA M AA SIL SIL SIL SIL SIL", 0.12)
    gap = articulate(spoken, 51)
    for phone in spoken:
        near = gap[int(phone.start_s * FPS) - 1 : int(phone.end_s * FPS) + 1]
        if phone.label in {"B", "P", "M"}:
            assert near.min() < CLOSED
        elif phone.label == "AA":
            assert near.max() > 0.02
    assert gap[0] < CLOSED
    assert gap[-1] < CLOSED


def test_lips_lead_the_sound() -> None:
    spoken = [Phone("SIL", 0.0, 1.0), Phone("AA", 1.0, 1.4), Phone("SIL", 1.4, 2.4)]
    gap = articulate(spoken, 60)
    opened = int(np.flatnonzero(gap > 0.02)[0]) / FPS
    assert 0.02 <= 1.0 - opened <= 0.14


def test_open_vowels_part_the_lips_more_than_close_ones() -> None:
    heights = [articulate(phones(f"T {v} T", 0.2), 15).max() for v in ("AA", "EH", "IY", "UW")]
    assert heights == sorted(heights, reverse=True)


def test_the_reference_has_the_figures_of_real_mouths() -> None:
    gaps = []
    for voice in ("flite:slt", "flite:awb"):
        for sentence in HELD_OUT[:6]:
            said = say(voice, sentence)
            frames = int(said.length_s * FPS)
            gaps.append(articulate(said.phones, frames)[in_speech(said.phones, frames)])
    gap = np.concatenate(gaps)
    tenth, half, ninetieth = np.percentile(gap, (10, 50, 90))
    assert tenth <= 0.01
    assert 0.01 <= half <= 0.06
    assert 0.04 <= ninetieth <= 0.09
    assert 0.09 <= (gap < CLOSED).mean() <= 0.33


def test_follow_finds_the_lag() -> None:
    reference = np.sin(np.arange(60) / 3.0) + np.sin(np.arange(60) / 7.0)
    late = np.roll(reference, 2)
    found = follow(late, reference)
    assert found.lag == 2
    assert found.r == pytest.approx(1.0, abs=1e-6)
    assert follow(np.zeros(60), reference).r == 0.0
    with pytest.raises(ValueError, match="frames"):
        follow(late[:-1], reference)


def test_closures_are_counted_near_their_time() -> None:
    spoken = phones("AA P AA B AA", 0.4)
    gap = np.full(50, 0.05)
    middle = [int(p.middle_s * FPS) for p in spoken]
    gap[middle[1] + 2] = 0.0
    gap[middle[3] + 3] = 0.0
    assert (closures(gap, spoken).hits, closures(gap, spoken).total) == (1, 2)
    gap[middle[2]] = 0.0
    wrong = false_closures(gap, spoken)
    assert (wrong.hits, wrong.total) == (1, 3)
    reference = np.full(50, 0.05)
    reference[middle[2]] = 0.01
    wrong = false_closures(gap, spoken, reference=reference)
    assert (wrong.hits, wrong.total) == (0, 2)
