"""Unlimited text to speak: English sentences, invented English words, phrases of other languages.

Sentences are filled from the project's own lexicon, so they make grammar more often than sense.
Invented words bring the clusters that common words lack. One text is one sentence: flite's phone
times start anew after a full stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from training.speech import lexicon as words
from training.speech.lexicon_languages import LANGUAGES
from training.speech.sentences import HELD_OUT, TRAINING

Chance = np.random.Generator
_HELD_OUT = frozenset(HELD_OUT)

_TEMPLATES = (
    "{person} {verb} the {adjective} {thing} {place}.",
    "{person} {verb} a {thing} {time}.",
    "{adverb}, {person} {verb} the {thing}, {link} {person} {verb} another {thing}.",
    "The {adjective} {thing} and the {thing} were {place} {time}.",
    "Could you {doing} {time}?",
    "Why did {person} want to {doing} {place}?",
    "I think that {person} should {doing}, {link} the {thing} is {adjective}.",
    "{time}, {person} {verb} {number} {adjective} {thing}s.",
    "The {thing} {place} was {adjective}, {adjective} and {adjective}.",
    "{reply}, {person} will {doing} {time}.",
    "If {person} {verb} the {thing}, we may {doing}.",
    "{person} and {person} {verb} it {place} {time}.",
    "My {thing} is more {adjective} than your {thing}.",
    "What a {adjective} {thing}!",
    "How many {thing}s do you have {place}?",
    "It was a {adjective} {thing}, {adverb}, {link} {person} {verb} it.",
    "Please {doing} {link} the {thing} arrives.",
    "There are {number} {thing}s {place}.",
    "{reply}!",
    "{reply}, {reply}.",
    "{person} told me to {doing}, {link} I {verb} the {thing} instead.",
    "Nobody knows whether the {adjective} {thing} belongs to {person}.",
)


def english(chance: Chance) -> str:
    """One English sentence, never one of `sentences.HELD_OUT`."""
    makers: tuple[Callable[[Chance], str], ...] = (_filled, _training, _invented, _listed, _counted)
    maker = makers[chance.choice(len(makers), p=(0.68, 0.06, 0.14, 0.08, 0.04))]
    text = maker(chance)
    return text if text not in _HELD_OUT else english(chance)


def foreign(language: str, chance: Chance) -> str:
    """A phrase of 3 to 9 shuffled words and numbers of one of LANGUAGES."""
    if language not in LANGUAGES:
        raise ValueError(f"no words of {language!r}; known: {', '.join(LANGUAGES)}")
    stock = LANGUAGES[language]
    count = int(chance.integers(3, 10))
    said = [_pick(stock, chance) for _ in range(count)]
    if chance.random() < 0.25:
        said[int(chance.integers(count))] = str(int(chance.integers(0, 2_000)))
    if count > 5:
        said[count // 2] += ","
    return " ".join(said) + _end(chance)


def sentence(language: str, chance: Chance) -> str:
    """`english` for 'en', else `foreign`."""
    return english(chance) if language == "en" else foreign(language, chance)


def _filled(chance: Chance) -> str:
    text = _pick(_TEMPLATES, chance)
    stocks = {
        "person": words.PEOPLE, "verb": words.VERBS, "thing": words.THINGS,
        "adjective": words.ADJECTIVES, "place": words.PLACES, "time": words.TIMES,
        "adverb": words.ADVERBS, "link": words.LINKS, "doing": words.DOINGS,
        "reply": words.REPLIES,
    }  # fmt: skip
    for name, stock in stocks.items():
        while (slot := "{" + name + "}") in text:
            text = text.replace(slot, _pick(stock, chance), 1)
    text = text.replace("{number}", str(int(chance.integers(2, 130))))
    return text[0].upper() + text[1:]


def _training(chance: Chance) -> str:
    return _pick(TRAINING, chance)


def _invented(chance: Chance) -> str:
    """Invented words among short common ones."""
    said = []
    for _ in range(int(chance.integers(3, 8))):
        said.append(_pick(("the", "a", "to", "of", "my", "we", "by", "for", "more"), chance))
        said.append(invented_word(chance))
    return " ".join(said[1:]).capitalize() + _end(chance)


def invented_word(chance: Chance) -> str:
    """One to three syllables of English spelling."""
    syllables = []
    for _ in range(1 + int(chance.choice(3, p=(0.5, 0.35, 0.15)))):
        syllable = _pick(words.ONSETS, chance) if chance.random() < 0.88 else ""
        syllables.append(syllable + _pick(words.NUCLEI, chance))
    if chance.random() < 0.75:
        syllables.append(_pick(words.CODAS, chance))
    return "".join(syllables)


def _listed(chance: Chance) -> str:
    stock = words.THINGS if chance.random() < 0.6 else words.ADJECTIVES
    listed = [_pick(stock, chance) for _ in range(int(chance.integers(2, 7)))]
    return (", ".join(listed[:-1]) + " and " + listed[-1]).capitalize() + "."


def _counted(chance: Chance) -> str:
    low = int(chance.integers(1, 2_000))
    form = _pick(
        ("From {} to {}.", "{} plus {} makes {}.", "Chapter {}, page {}.", "{}, {}, {}."), chance
    )
    return form.format(low, low + int(chance.integers(1, 99)), int(chance.integers(1, 999)))


def _pick(stock: Sequence[str], chance: Chance) -> str:
    return stock[int(chance.integers(len(stock)))]


def _end(chance: Chance) -> str:
    return "!" if (draw := chance.random()) < 0.06 else "?" if draw < 0.2 else "."
