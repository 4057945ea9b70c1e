"""What festival's voices of other languages call their phones, as labels of our alphabet.

The label is the one whose lips are nearest. Marks of length (':'), stress ('1') and Russian
palatalisation (a doubled letter) leave the lips as they are.
"""

from __future__ import annotations

_COMMON = {
    "#": "SIL", "pau": "SIL", "a": "AA", "e": "EH", "i": "IY", "o": "AO", "u": "UW", "p": "P",
    "b": "B", "t": "T", "d": "D", "k": "K", "g": "G", "m": "M", "n": "N", "f": "F", "v": "V",
    "s": "S", "z": "Z", "h": "HH", "l": "L", "r": "D", "j": "Y", "w": "W", "y": "UW", "N": "NG",
    "ng": "NG", "S": "SH", "Z": "ZH", "ts": "S", "dz": "Z", "tS": "CH", "dZ": "JH", "J": "N",
    "L": "Y", "E": "EH", "O": "AO", "ax": "AX", "rr": "D",
}  # fmt: skip
_OF: dict[str, dict[str, str]] = {
    "ca": {},
    "cs": {
        "_": "HH", "i": "IH", "c": "S", "c~": "CH", "ch": "K", "d~": "D", "dz~": "JH", "n~": "N",
        "r~": "ZH", "r~*": "SH", "s~": "SH", "t~": "T", "z~": "ZH",
    },
    "fi": {"@": "AE", "7": "ER"},
    "it": {"nf": "V"},
    "ru": {
        "ae": "AX", "ay": "AX", "y": "IH", "ur": "UH", "ui": "UH", "c": "S", "ch": "CH", "h": "K",
        "sh": "SH", "sch": "SH", "zh": "ZH",
    },
}  # fmt: skip


def from_festival(name: str, language: str) -> str:
    """Label of one phone of a voice of `language`: ca, cs, fi, it or ru. ValueError if unknown."""
    own = _OF[language]
    plain = name.rstrip("1:") or name
    halved = plain[: len(plain) // 2] if plain[: len(plain) // 2] * 2 == plain else plain
    for form in (name, plain, halved):
        label = own.get(form) or _COMMON.get(form)
        if label is not None:
            return label
    raise ValueError(f"unknown phone {name!r} of language {language!r}")
