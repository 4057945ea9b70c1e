"""Text to speak: whole, seeded, rich in sounds, never a sentence kept for evaluation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from training.speech import lexicon
from training.speech.lexicon_languages import (
    HELD_OUT_LANGUAGES,
    LANGUAGES,
    TRAINING_LANGUAGES,
)
from training.speech.phones import BILABIALS, LABELS, OPEN_VOWELS
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import missing, synthesise
from training.speech.text import english, foreign, invented_word, sentence


def test_sentences_are_single_whole_and_not_held_out() -> None:
    chance = np.random.default_rng(0)
    texts = [english(chance) for _ in range(2_000)]
    assert not set(texts) & set(HELD_OUT)
    assert len(set(texts)) > 1_500
    for text in texts:
        assert text[-1] in ".!?"
        assert not any(mark in text[:-1] for mark in ".!?{}_")
        assert text[0].isupper() or text[0].isdigit()


def test_the_lexicon_has_words_enough() -> None:
    stocks = [getattr(lexicon, name) for name in dir(lexicon) if name.isupper()]
    words = {word for stock in stocks for entry in stock for word in entry.split()}
    assert len(words) >= 600


def test_text_depends_on_the_seed_alone() -> None:
    def said(seed: int) -> list[str]:
        chance = np.random.default_rng(seed)
        return [sentence("en", chance) for _ in range(20)] + [foreign("de", chance)]

    assert said(3) == said(3)
    assert said(3) != said(4)


def test_invented_words_bring_every_beginning_and_end() -> None:
    chance = np.random.default_rng(1)
    words = [invented_word(chance) for _ in range(4_000)]
    assert all(word.isalpha() for word in words)
    for onset in set(lexicon.ONSETS):
        assert any(word.startswith(onset) for word in words), onset
    for coda in set(lexicon.CODAS):
        assert any(word.endswith(coda) for word in words), coda


def test_every_english_sound_is_spoken_in_natural_proportion() -> None:
    voice = "espeak:en-us+f2"
    if missing(voice):
        pytest.skip(str(missing(voice)))
    chance = np.random.default_rng(2)
    heard = Counter(
        phone.label for _ in range(90) for phone in synthesise(english(chance), voice).phones
    )
    assert set(heard) == LABELS
    total = sum(count for label, count in heard.items() if label != "SIL")
    assert 0.06 < sum(heard[label] for label in BILABIALS) / total < 0.16
    assert 0.06 < sum(heard[label] for label in OPEN_VOWELS) / total < 0.25


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_words_and_a_label_for_each_sound(language: str) -> None:
    assert len(LANGUAGES[language]) >= 55
    voice = f"espeak:{language}+m3"
    if missing(voice):
        pytest.skip(str(missing(voice)))
    chance = np.random.default_rng(0)
    everything = [" ".join(LANGUAGES[language][n : n + 10]) for n in range(0, 60, 10)]
    for text in (*everything, *(foreign(language, chance) for _ in range(5))):
        assert len({phone.label for phone in synthesise(text, voice).phones}) > 5


def test_languages_are_on_one_side_of_the_split() -> None:
    assert len(TRAINING_LANGUAGES) >= 8
    assert len(HELD_OUT_LANGUAGES) == 2
    assert set(TRAINING_LANGUAGES) | set(HELD_OUT_LANGUAGES) == set(LANGUAGES)
    assert not set(TRAINING_LANGUAGES) & set(HELD_OUT_LANGUAGES)
    with pytest.raises(ValueError, match="no words of 'tlh'"):
        foreign("tlh", np.random.default_rng(0))
