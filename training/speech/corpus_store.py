"""The corpus on disk: plain arrays that numpy maps into memory, and what was already made.

DIR/meta.json                 seed, config, labels, versions; hours per voice and language
DIR/SPLIT/features.npy        float16 [N, 3000, 80]  log-mel of the microphone's sound
DIR/SPLIT/speech.npy          bool    [N, 750]       voice activity at the end of each hop
DIR/SPLIT/phones.npy          int8    [N, 3000]      index into meta's labels, per 10 ms
DIR/SPLIT/targets.npy         float16 [N, 750, 45]   motion, pipelines.motion.space
DIR/SPLIT/clean.npy           int16   [N, 480000]    the voice before room and microphone
DIR/SPLIT/gap.npy             float16 [N, 750]       real lips' gap over face height, or NaN
DIR/SPLIT/style.npy           float32 [N, 4]         of the motion, pipelines.motion.style
DIR/SPLIT/stretches.jsonl     per line: index, voice, language, texts, phones with times
DIR/SPLIT/done.npy            bool    [N]            made, line included
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from pipelines.audio.mel import MelConfig
from pipelines.motion.space import MOTION_DIM
from pipelines.motion.style import STYLE_DIM
from training.speech.corpus_stretches import FRAMES, LENGTH_S, SAMPLES
from training.speech.phones import LABELS, Phone

LABEL_LIST: tuple[str, ...] = tuple(sorted(LABELS))
ROWS_PER_S = 100
ROWS = LENGTH_S * ROWS_PER_S

_ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "features": ("float16", (ROWS, MelConfig().bands)),
    "speech": ("bool", (FRAMES,)),
    "phones": ("int8", (ROWS,)),
    "targets": ("float16", (FRAMES, MOTION_DIM)),
    "clean": ("int16", (SAMPLES,)),
    "gap": ("float16", (FRAMES,)),
    "style": ("float32", (STYLE_DIM,)),
}


@dataclass(frozen=True)
class Line:
    """What `stretches.jsonl` says of one stretch."""

    index: int
    voice: str
    language: str
    texts: tuple[str, ...]
    phones: tuple[Phone, ...]

    @property
    def speaker(self) -> str:
        """'s1' of 'grid:s1': what follows the name of the engine or the source."""
        return self.voice.partition(":")[2] or self.voice

    @property
    def speech_s(self) -> float:
        return sum(phone.length_s for phone in self.phones if phone.label != "SIL")

    def to_json(self) -> str:
        phones = [[phone.label, phone.start_s, phone.end_s] for phone in self.phones]
        entry = {"index": self.index, "voice": self.voice, "language": self.language}
        return json.dumps({**entry, "texts": self.texts, "phones": phones}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Line:
        entry = json.loads(text)
        phones = tuple(Phone(*phone) for phone in entry["phones"])
        texts = tuple(entry["texts"])
        return cls(entry["index"], entry["voice"], entry["language"], texts, phones)


class Split:
    """One part of a corpus, made or being made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays = {name: _map(folder / f"{name}.npy") for name in (*_ARRAYS, "done")}

    @classmethod
    def create(cls, folder: Path, count: int) -> Split:
        """Make room for `count` stretches, or go on with those that are there."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, (kind, shape) in {**_ARRAYS, "done": ("bool", ())}.items():
            path = folder / f"{name}.npy"
            if not path.exists():
                array = open_memmap(path, mode="w+", dtype=np.dtype(kind), shape=(count, *shape))  # type: ignore[no-untyped-call]
                if name == "gap":
                    array[:] = np.nan
        split = cls(folder)
        if len(split) != count:
            raise ValueError(
                f"{folder} holds {len(split)} stretches, not {count}; use another folder"
            )
        return split

    def __len__(self) -> int:
        return len(self.arrays["done"])

    def missing(self) -> list[int]:
        """Stretches still to be made."""
        return [int(n) for n in np.flatnonzero(~self.arrays["done"])]

    def write(self, index: int, **values: NDArray[Any]) -> None:
        for name, value in values.items():
            self.arrays[name][index] = value

    def finish(self, line: Line) -> None:
        """Note that the stretch of `line` is whole."""
        with (self.folder / "stretches.jsonl").open("a", encoding="utf-8") as file:
            file.write(line.to_json() + "\n")
        self.arrays["done"][line.index] = True  # mapped: a killed process leaves it written

    def lines(self) -> Iterator[Line]:
        """Finished stretches in no order; a line torn by a crash is left out."""
        path = self.folder / "stretches.jsonl"
        found: dict[int, Line] = {}
        for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                line = Line.from_json(text)
            except json.JSONDecodeError:
                continue
            found[line.index] = line
        yield from (line for line in found.values() if self.arrays["done"][line.index])


def phone_rows(phones: tuple[Phone, ...]) -> NDArray[np.int8]:
    """Label of each 10 ms, read at its middle: int8 [ROWS], an index into LABEL_LIST."""
    ends = np.array([phone.end_s for phone in phones])
    labels = np.array([LABEL_LIST.index(phone.label) for phone in phones], dtype=np.int8)
    middles = (np.arange(ROWS) + 0.5) / ROWS_PER_S
    rows: NDArray[np.int8] = labels[np.minimum(np.searchsorted(ends, middles), len(ends) - 1)]
    return rows


def _map(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r+")
    return array
