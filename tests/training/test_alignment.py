"""When phones of a recording are said: near the truth, and doubted where they cannot be."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from training.speech.alignment import Aligner, joined, pronunciation, words_of
from training.speech.alignment_checks import doubt, without_pauses
from training.speech.phones import RATE_HZ, Phone, Utterance
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import missing, synthesise

pytest.importorskip("pocketsphinx")


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner()


def say(voice: str, text: str) -> Utterance:
    lack = missing(voice)
    if lack is not None:
        pytest.skip(lack)
    return synthesise(text, voice)


def pcm(said: Utterance) -> NDArray[np.int16]:
    return np.round(said.samples * 32_767.0).astype(np.int16)


@pytest.mark.parametrize("voice", ["flite:slt", "flite:rms"])
def test_phones_are_found_where_the_voice_said_them(aligner: Aligner, voice: str) -> None:
    errors: list[float] = []
    spoken = 0
    for text in HELD_OUT[:6]:
        said = say(voice, text)
        found = [p for p in aligner.align(pcm(said), text) if p.label != "SIL"]
        true = [p for p in said.phones if p.label != "SIL"]
        names = [p.label for p in found], [p.label.replace("AX", "AH") for p in true]
        spoken += len(true)
        for same in SequenceMatcher(None, *names, autojunk=False).get_matching_blocks():
            pairs = zip(found[same.a :][: same.size], true[same.b :][: same.size], strict=True)
            errors += [abs(one.start_s - other.start_s) for one, other in pairs]
    assert len(errors) > 0.9 * spoken
    # Its frames begin every 10 ms and last 25: half a frame of ours (40 ms) is what it can promise,
    # and a boundary that is off by a whole one would teach wrong lips.
    assert np.median(errors) < 0.02
    assert np.percentile(errors, 90) < 0.04


def test_phones_cover_the_recording(aligner: Aligner) -> None:
    said = say("flite:slt", "Stop. The map is on top.")
    quiet = np.zeros(RATE_HZ, np.int16)
    phones = aligner.align(np.concatenate([quiet, pcm(said), quiet]), said.text)
    assert phones[0].label == phones[-1].label == "SIL"
    assert phones[0].end_s > 0.9
    assert phones[-1].start_s < 1.1 + said.length_s
    assert phones[-1].end_s == pytest.approx(2.0 + said.length_s)
    for one, following in pairwise(phones):
        assert one.end_s == following.start_s


def test_one_recording_leaves_nothing_to_the_next(aligner: Aligner) -> None:
    first, second = (say("flite:rms", text) for text in HELD_OUT[:2])
    alone = Aligner().align(pcm(second), second.text)
    aligner.align(pcm(first) // 8, first.text)
    assert aligner.align(pcm(second), second.text) == alone


@pytest.mark.parametrize(
    "text",
    [
        "Chapter 12. Mr. Zwickelbart counted 2,000 sheep in 1834 -- didn't he?",
        "“Café” 21st; O'Flannagan’s (3.5).",
    ],
)
def test_numbers_names_and_marks_are_aligned(aligner: Aligner, text: str) -> None:
    said = say("flite:rms", text)
    phones = aligner.align(pcm(said), text)
    assert doubt(phones, pcm(said)) is None


def test_years_are_said_in_two_ways(aligner: Aligner) -> None:
    said = say("flite:rms", "It was in nineteen thirty four.")
    phones = aligner.align(pcm(said), "It was in 1934.")
    assert "N AY N T IY N TH ER D IY F AO R" in " ".join(p.label for p in phones)


def test_words_are_read_from_writing() -> None:
    text = "Mrs. Ray's 2,000 feet—“high-flown”, 1st; Café 3.5?"
    assert words_of(text) == (
        "mrs", "ray's", "2000", "feet", "high", "flown", "1st", "cafe", "3.5",
    )  # fmt: skip
    assert words_of("... -- '") == ()


def test_espeak_pronounces_in_the_models_alphabet() -> None:
    assert pronunciation("banana") == ("B", "AH", "N", "AE", "N", "AH")
    assert pronunciation("10") == ("T", "EH", "N")
    assert not {"AX", "SIL"} & set(pronunciation("17 thousand about"))


def test_what_is_not_there_is_refused(aligner: Aligner) -> None:
    with pytest.raises(ValueError, match="no words"):
        aligner.align(np.zeros(RATE_HZ, np.int16), "...")
    with pytest.raises(ValueError, match=r"does not hold|lost its way"):
        aligner.align(np.zeros(RATE_HZ // 10, np.int16), "far too many words for so short a time")
    said = say("flite:slt", HELD_OUT[0])
    after = aligner.align(pcm(said), said.text)  # a failure does not stop the next
    assert len(after) > 10


def tone(*levels: tuple[float, float]) -> NDArray[np.int16]:
    """Noise of these (seconds, amplitude)."""
    chance = np.random.default_rng(0)
    parts = [chance.normal(0.0, level, int(length * RATE_HZ)) for length, level in levels]
    return np.concatenate(parts).astype(np.int16)


def test_pauses_within_phones_are_silence() -> None:
    samples = tone((0.5, 1.0), (0.1, 2_000.0), (0.4, 1.0), (0.2, 2_000.0))
    phones = joined([("K", 0.55), ("AA", 1.0), ("IY", 1.2)], 1.2)
    kept = without_pauses(phones, samples)
    assert [p.label for p in kept] == ["SIL", "K", "AA", "SIL", "IY"]
    times = [p.start_s for p in kept]
    assert times == pytest.approx([0.0, 0.4, 0.55, 0.6, 1.0], abs=0.011)
    assert without_pauses(kept, samples) == kept


def test_wrong_words_are_doubted() -> None:
    samples = tone((0.3, 2_000.0), (0.3, 1.0), (1.5, 2_000.0), (0.3, 1.0))
    right = (Phone("AA", 0.0, 0.3), Phone("SIL", 0.3, 2.4))
    why = doubt(right, samples)
    assert why is not None
    assert "speech without words" in why
    assert "does not end" in str(doubt((Phone("AA", 0.0, 2.4),), samples))
    quiet = tone((0.3, 2_000.0), (2.1, 1.0))
    assert doubt(right, quiet) is None
