"""When each phone of a recording is said, from its words: forced alignment by pocketsphinx.

The acoustic model and the dictionary (CMU's) are those in its wheel, of American English. What the
dictionary lacks, numbers too, is pronounced as espeak-ng reads it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.speech.espeak import library
from training.speech.phones import LABELS, RATE_HZ, Phone, from_ipa

_LANGUAGE = "en-us"
_FRAMES_PER_S = 100
_BEAM = 1e-80  # its own of 1e-48 ends the search at a slip in the words
_WORD = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?(?:st|nd|rd|th)?|[a-z]+(?:'[a-z]+)*")
_YEAR = re.compile(r"1[1-9][0-9][0-9]")


def words_of(text: str) -> tuple[str, ...]:
    """Words and numbers of a written text in lower case: 'Mrs. Ray, 2,000 feet' -> 'mrs' 'ray'
    '2000' 'feet'."""
    plain = unicodedata.normalize("NFKD", text.replace("’", "'")).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return tuple(word.replace(",", "") for word in _WORD.findall(plain))


class Aligner:
    """One decoder, used for one recording after another; none leaves anything to the next."""

    @cached_property
    def _decoder(self) -> Any:
        from pocketsphinx import Decoder  # not needed where all phone times are given

        return Decoder(
            samprate=RATE_HZ, lm=None, cmn="batch", loglevel="FATAL",
            bestpath=False,  # its lattice gives words fewer frames than their phones have states
            beam=_BEAM, pbeam=_BEAM, wbeam=_BEAM,
        )  # fmt: skip

    def align(self, samples: NDArray[np.int16], text: str) -> tuple[Phone, ...]:
        """Phones of `samples` [S] at 16 kHz, without gaps from 0 s to the end, silences as SIL.

        Raises ValueError if there are no words or the recording does not hold them.
        """
        words = words_of(text)
        if not words:
            raise ValueError(f"no words in {text!r}")
        for word in words:
            self._know(word)
        self._decoder.set_align_text(" ".join(words))
        self._hear(samples)
        if self._decoder.hyp() is None:
            raise ValueError(f"the recording does not hold {text!r}")
        self._decoder.set_alignment()
        self._hear(samples)
        found = [
            (_label(phone.name), (phone.start + phone.duration) / _FRAMES_PER_S)
            for word in self._decoder.get_alignment()
            for phone in word
        ]
        return joined(found, len(samples) / RATE_HZ)

    def _hear(self, samples: NDArray[np.int16]) -> None:
        try:
            self._decoder.start_utt()
            self._decoder.process_raw(samples.tobytes(), full_utt=True)
            self._decoder.end_utt()
        except RuntimeError as error:
            raise ValueError(f"pocketsphinx lost its way: {error}") from error

    def _know(self, word: str) -> None:
        """Add to the dictionary what it lacks."""
        if self._decoder.lookup_word(word) is not None:
            return
        readings = [word]
        if _YEAR.fullmatch(word) and not word.endswith("00"):
            readings.append(f"{word[:2]} {word[2:]}")  # as years are said
        for n, reading in enumerate(readings):
            name = word if n == 0 else f"{word}({n + 1})"
            self._decoder.add_word(name, " ".join(pronunciation(reading)), True)


def pronunciation(text: str) -> tuple[str, ...]:
    """Labels of a word or number as espeak-ng reads it, schwa as AH: the acoustic model has none.

    Raises ValueError if it reads nothing.
    """
    _, marks = library().say(text, _LANGUAGE, 1.0, 1.0)
    labels = [label for _, symbol in marks for label in from_ipa(symbol, _LANGUAGE)]
    said = tuple("AH" if label == "AX" else label for label in labels if label != "SIL")
    if not said:
        raise ValueError(f"espeak-ng reads nothing in {text!r}")
    return said


def joined(ends: list[tuple[str, float]], length_s: float) -> tuple[Phone, ...]:
    """Phones from (label, end in seconds), silence to the end, neighbouring silences as one."""
    phones: list[Phone] = []
    start = 0.0
    for label, end in [*ends, ("SIL", length_s)]:
        end = min(end, length_s)
        if end - start < 1e-4:
            continue
        if phones and label == "SIL" == phones[-1].label:
            phones[-1] = Phone("SIL", phones[-1].start_s, end)
        else:
            phones.append(Phone(label, start, end))
        start = end
    return tuple(phones)


def _label(name: str) -> str:
    """Fillers ('+NSN+' and its like) are no speech."""
    return name if name in LABELS else "SIL"
