"""Recorded speech for training: `python -m training.speech.recordings --clips X --words W --out D`

X is a folder or a .tar of clips, NAME.opus or any other sound that FFmpeg reads; who speaks is what
NAME says before its first '-' or '_'. W holds {NAME: words} or, of a recogniser, {NAME: [words,
mean log-probability]}. With --phones, {NAME: [[phone, start s, end s, word], ...]}; clips without
are aligned to their words. With --curves, an .npz of NAME/aperture (gap of the lips over face
height) and NAME/width at 25 fps. Called for several sources, one D holds them all. A clip that is
there already is left alone, so a run that was stopped goes on where it was.

D/clips.jsonl      per line: source, name, speaker, text, phones with times; or why it is left out
D/SOURCE/NAME.npz  samples int16 [S] at 16 kHz; gap and width float32 [frames] where it has curves
"""

from __future__ import annotations

import argparse
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.speech.alignment import Aligner, joined
from training.speech.alignment_checks import doubt, without_pauses
from training.speech.phones import LABELS, RATE_HZ, Phone

_SOUNDS = {".opus", ".ogg", ".flac", ".wav", ".mp3", ".m4a"}
_CURVES = {"gap": "aperture", "width": "width"}  # ours and theirs
_FPS = 25
_SURE = -0.6  # mean log-probability of words that a recogniser wrote; below, most are wrong


@dataclass(frozen=True)
class Clip:
    """One recording, or (without phones) why it cannot be used."""

    source: str
    name: str
    text: str
    phones: tuple[Phone, ...]  # without gaps, SIL included
    curves: bool = False  # has a gap and a width
    left_out: str = ""

    @property
    def speaker(self) -> str:
        return speaker_of(self.name)

    @property
    def length_s(self) -> float:
        return self.phones[-1].end_s if self.phones else 0.0

    def to_json(self) -> str:
        phones = [[p.label, round(p.start_s, 4), round(p.end_s, 4)] for p in self.phones]
        entry: dict[str, object] = {
            "source": self.source,
            "name": self.name,
            "speaker": self.speaker,
        }
        entry |= {"text": self.text, "curves": self.curves, "left_out": self.left_out}
        return json.dumps({**entry, "phones": phones}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Clip:
        entry = json.loads(text)
        phones = tuple(Phone(*phone) for phone in entry["phones"])
        return cls(
            entry["source"], entry["name"], entry["text"], phones, entry["curves"],
            entry["left_out"],
        )  # fmt: skip


class Recordings:
    """The clips of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def clips(self) -> dict[tuple[str, str], Clip]:
        """(source, name) -> clip, also those left out; a line torn by a crash is not there."""
        path = self.folder / "clips.jsonl"
        found = {}
        for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                clip = Clip.from_json(text)
            except json.JSONDecodeError:
                continue
            found[clip.source, clip.name] = clip
        return found

    def usable(self) -> list[Clip]:
        return [clip for clip in self.clips.values() if not clip.left_out]

    def arrays(self, clip: Clip) -> Mapping[str, NDArray[Any]]:
        """samples int16 [S]; gap and width float32 [frames at 25 fps] where it has curves."""
        with np.load(self.folder / clip.source / f"{clip.name}.npz") as file:
            return dict(file)

    def add(self, clip: Clip, **arrays: NDArray[Any]) -> None:
        """Write a clip: its arrays first, so that a line never lacks them."""
        if arrays:
            place = self.folder / clip.source
            place.mkdir(parents=True, exist_ok=True)
            np.savez(place / f"{clip.name}.npz", **arrays)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "clips.jsonl").open("a", encoding="utf-8") as file:
            file.write(clip.to_json() + "\n")
        self.clips[clip.source, clip.name] = clip


@dataclass(frozen=True)
class Known:
    """What is known of the clips of one source, by their names."""

    words: Mapping[str, str]
    phones: Mapping[str, Sequence[Sequence[Any]]]
    curves: Mapping[str, NDArray[Any]]  # NAME/aperture, NAME/width

    @classmethod
    def read(cls, words: Path | None, phones: Path | None, curves: Path | None) -> Known:
        """Raises ValueError where a file does not hold what it should."""
        entries = json.loads(words.read_text(encoding="utf-8")) if words else {}
        times = json.loads(phones.read_text(encoding="utf-8")) if phones else {}
        if not isinstance(entries, dict) or not isinstance(times, dict):
            raise ValueError("words and phones must be JSON objects by the clips' names")
        texts = {
            name: entry if isinstance(entry, str) else entry[0]
            for name, entry in entries.items()
            if isinstance(entry, str) or len(entry) < 2 or entry[1] >= _SURE
        }
        arrays = dict(np.load(curves)) if curves else {}
        for name in arrays:
            if name.endswith("/fps") and float(arrays[name]) != _FPS:
                raise ValueError(f"{name} is {arrays[name]}; curves must have {_FPS} fps")
        return cls(texts, times, arrays)

    def text(self, name: str) -> str:
        """The words, or as far as the phones name theirs."""
        if name in self.words:
            return self.words[name]
        said: list[str] = []
        for entry in self.phones.get(name, ()):
            if len(entry) > 3 and entry[0] != "SIL" and said[-1:] != [entry[3]]:
                said.append(entry[3])
        return " ".join(word.partition("(")[0] for word in said)  # 'a(2)': how it was said

    def curve_arrays(self, name: str) -> dict[str, NDArray[np.float32]]:
        there = {ours: self.curves.get(f"{name}/{theirs}") for ours, theirs in _CURVES.items()}
        return {key: value.astype(np.float32) for key, value in there.items() if value is not None}


def add_source(
    recordings: Recordings, source: str, clips: Path, known: Known, *, progress: bool = True
) -> Counter[str]:
    """Bring the clips of one source in; those there already stay. How many had which fate.

    Raises ValueError if the source holds no sound.
    """
    count = 0
    aligner = Aligner()
    for name, data in tqdm(
        sounds(clips), total=_how_many(clips), desc=source, unit="clip", disable=not progress
    ):
        count += 1
        if (source, name) in recordings.clips:
            continue
        text = known.text(name)
        try:
            samples = decode(data)
            phones = _phones(samples, text, known.phones.get(name), aligner)
        except ValueError as error:
            recordings.add(Clip(source, name, text, (), left_out=str(error)))
            continue
        curves = known.curve_arrays(name)
        clip = Clip(source, name, text, phones, curves=bool(curves))
        recordings.add(clip, samples=samples, **curves)
    if not count:
        raise ValueError(f"{clips} holds no sound ({', '.join(sorted(_SOUNDS))})")
    return Counter(
        clip.left_out.partition(":")[0] or "usable"
        for clip in recordings.clips.values()
        if clip.source == source
    )


def sounds(clips: Path) -> Iterator[tuple[str, bytes]]:
    """(name, encoded sound) of a folder or .tar, in the order of their names."""
    if clips.is_dir():
        for path in sorted(clips.rglob("*")):
            if path.suffix in _SOUNDS:
                yield path.stem, path.read_bytes()
        return
    with tarfile.open(clips) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            if member.isfile() and Path(member.name).suffix in _SOUNDS:
                file = tar.extractfile(member)
                assert file is not None  # it is a file
                yield Path(member.name).stem, file.read()


def _how_many(clips: Path) -> int:
    if clips.is_dir():
        return sum(path.suffix in _SOUNDS for path in clips.rglob("*"))
    with tarfile.open(clips) as tar:
        return sum(Path(name).suffix in _SOUNDS for name in tar.getnames())


def decode(data: bytes) -> NDArray[np.int16]:
    """A sound file as int16 [S], mono at 16 kHz. Raises ValueError if it is none."""
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    pieces: list[NDArray[np.int16]] = []
    try:
        with av.open(io.BytesIO(data), "r") as container:
            for frame in container.decode(audio=0):
                pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"not a sound: {error}") from error
    if not pieces:
        raise ValueError("not a sound: it is empty")
    return np.concatenate(pieces).astype(np.int16)


def _phones(
    samples: NDArray[np.int16],
    text: str,
    given: Sequence[Sequence[Any]] | None,
    aligner: Aligner,
) -> tuple[Phone, ...]:
    """The given times, or where there are none or they are wrong, those found from the words."""
    length_s = len(samples) / RATE_HZ
    if given is not None:
        unknown = {str(entry[0]) for entry in given} - LABELS
        if unknown:
            raise ValueError(f"unknown phones: {', '.join(sorted(unknown))}")
        phones = joined([(str(entry[0]), float(entry[2])) for entry in given], length_s)
        phones = without_pauses(phones, samples)
        if doubt(phones, samples) is None:
            return phones
    phones = without_pauses(aligner.align(samples, text), samples)
    why = doubt(phones, samples)
    if why is not None:
        raise ValueError(why)
    return phones


def speaker_of(name: str) -> str:
    """'103-1240-0000' -> '103', 's1_bbaf3s' -> 's1'."""
    return re.split("[-_]", name, maxsplit=1)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help="folder or .tar of sounds")
    parser.add_argument("--words", type=Path, help=".json: what is said in each")
    parser.add_argument("--phones", type=Path, help=".json: times of phones, where known")
    parser.add_argument("--curves", type=Path, help=".npz: real lips, where known")
    parser.add_argument("--source", help="name of the source; that of --clips if not given")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    recordings = Recordings(args.out)
    known = Known.read(args.words, args.phones, args.curves)
    fates = add_source(recordings, args.source or args.clips.stem, args.clips, known)
    for fate, count in fates.most_common():
        print(f"{count:5d} {fate}")
    clips = recordings.usable()
    speakers = {(clip.source, clip.speaker) for clip in clips}
    minutes = sum(clip.length_s for clip in clips) / 60.0
    print(f"{args.out}: {len(clips)} clips, {minutes:.1f} min, {len(speakers)} speakers")


if __name__ == "__main__":
    main()
