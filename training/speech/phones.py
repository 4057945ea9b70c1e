"""Phones with times, and one alphabet for what the speech engines call them.

Labels are ARPAbet without stress, plus AX (schwa) and SIL (silence).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VOWELS = _names("AA AE AH AO AW AX AY EH ER EY IH IY OW OY UH UW")
CONSONANTS = _names("P B T D K G M N NG F V TH DH S Z SH ZH HH CH JH L R W Y")
LABELS = VOWELS | CONSONANTS | {"SIL"}
BILABIALS = _names("P B M")
OPEN_VOWELS = _names("AA AE AH AO AW AY")


@dataclass(frozen=True)
class Phone:
    label: str  # one of LABELS
    start_s: float
    end_s: float

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2.0

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Utterance:
    samples: NDArray[np.float32]  # [S] mono at RATE_HZ, in [-1, 1]
    phones: tuple[Phone, ...]  # in order, without gaps, SIL included
    text: str
    voice: str
    gap: NDArray[np.float32] | None = None  # real lips' [frames at 25 fps], over face height

    @property
    def length_s(self) -> float:
        return len(self.samples) / RATE_HZ


_IPA: dict[str, str] = {
    "ɑː": "AA", "ɑ": "AA", "ɒ": "AA", "a": "AA", "aː": "AA", "æ": "AE", "ʌ": "AH", "ɐ": "AX",
    "ɔː": "AO", "ɔ": "AO", "o": "AO", "oː": "AO", "aʊ": "AW", "ə": "AX", "aɪ": "AY", "ɛ": "EH",
    "e": "EH", "ɜː": "ER", "ɜ": "ER", "ɚ": "ER", "eɪ": "EY", "ɪ": "IH", "ᵻ": "IH", "iː": "IY",
    "i": "IY", "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY", "ʊ": "UH", "uː": "UW", "u": "UW", "ʉ": "UW",
    "p": "P", "b": "B", "t": "T", "d": "D", "ɾ": "D", "ʔ": "HH", "k": "K", "ɡ": "G", "g": "G",
    "m": "M", "n": "N", "ŋ": "NG", "f": "F", "v": "V", "θ": "TH", "ð": "DH", "s": "S", "z": "Z",
    "ʃ": "SH", "ʒ": "ZH", "h": "HH", "x": "K", "tʃ": "CH", "dʒ": "JH", "l": "L", "ɫ": "L",
    "ɹ": "R", "r": "D", "w": "W", "ʍ": "W", "j": "Y",
    # Sounds of other languages take the label whose lips are nearest: rounded front vowels those
    # of UW and ER, uvulars and pharyngeals none of their own (HH), palatals spread ones.
    "y": "UW", "ʏ": "UW", "ø": "ER", "œ": "ER", "ɔø": "OY", "œy": "OY", "ɵ": "UH", "ɤ": "UH",
    "ɨ": "IH", "ɯ": "IH", "i̪": "IH", "i.": "IH", "ε": "EH", "ɘ": "AX", "ɶ": "AE",
    "β": "V", "ʋ": "V", "ɸ": "F", "ɱ": "V", "ɥ": "W", "ʝ": "Y", "ç": "Y", "ʎ": "Y", "ɲ": "N",
    "ɳ": "N", "ɭ": "L", "ɬ": "L", "ɽ": "D", "ʈ": "T", "ɖ": "D", "c": "K", "ɟ": "G", "q": "K",
    "ɣ": "G", "ɰ": "G", "χ": "HH", "ʁ": "HH", "ʀ": "HH", "ħ": "HH", "ɦ": "HH", "ʕ": "AA",
    "ɕ": "SH", "ʑ": "ZH", "ʂ": "SH", "ʐ": "ZH", "s.": "SH", "z.": "ZH", "r.": "D", "r̝": "ZH",
    "tɕ": "CH", "tɕh": "CH", "dʑ": "JH", "ts.": "CH", "ts.h": "CH", "ph": "P", "th": "T", "kh": "K",
}  # fmt: skip
_IPA_OF: dict[str, dict[str, str]] = {  # what espeak-ng writes otherwise in one language
    "ru": {"y": "IH"}, "pt": {"y": "IH"}, "hi": {"c": "CH", "ɟ": "JH"},
}  # fmt: skip
_IPA_LENGTHS = sorted({len(name) for name in _IPA}, reverse=True)
_MARKS = {ord(mark): None for mark in "ˈˌʲʰʷˠˤʱ͡_|^?"}


def from_ipa(symbol: str, language: str = "") -> tuple[str, ...]:
    """Labels of one espeak-ng symbol, which may hold several sounds ('ɛɹ', 'əl'); SIL if empty.

    `language` is espeak-ng's name of it. A change of language ('(en)') has no sound. Raises
    ValueError for a symbol that no label stands for.
    """
    if symbol.startswith("(") and symbol.endswith(")"):
        return ()
    own = _IPA_OF.get(language.partition("-")[0], {})
    rest, labels = symbol.translate(_MARKS), []
    while rest:
        for length in _IPA_LENGTHS:
            if rest[:length] in _IPA:
                labels.append(own.get(rest[:length], _IPA[rest[:length]]))
                rest = rest[length:]
                break
        else:
            if not unicodedata.combining(rest[0]) and rest[0] not in "ː:ˑ-.":
                raise ValueError(f"unknown IPA symbol {rest[0]!r} in {symbol!r}")
            rest = rest[1:]
    return tuple(labels) or ("SIL",)


def from_festvox(name: str) -> str:
    """Label of one flite or festival phone ('ax', 'pau')."""
    label = name.rstrip("0123456789").upper()
    if label in {"PAU", "SSIL", "H#", "BRTH"}:
        return "SIL"
    if label not in LABELS:
        raise ValueError(f"unknown phone {name!r}")
    return label
