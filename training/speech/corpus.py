"""Build the training corpus of speech: `python -m training.speech.corpus --out DIR --hours 9`.

Every stretch depends on the seed and its number alone, so a run that was stopped goes on where it
was, and two runs give the same corpus. `--targets-only` computes the motion anew from the stored
voices and phones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pipelines.audio.mel import LogMel
from pipelines.audio.vad import VoiceActivity
from training.motion.performance import perform
from training.speech.corpus_store import FRAMES, LABEL_LIST, Line, Split, phone_rows
from training.speech.corpus_stretches import (
    LENGTH_S,
    SAMPLES,
    Stretch,
    StretchConfig,
    draw_stretch,
    lay_out,
)
from training.speech.espeak import library
from training.speech.lexicon_languages import HELD_OUT_LANGUAGES
from training.speech.microphone import MicrophoneConfig, record
from training.speech.phones import RATE_HZ, Utterance
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import HELD_OUT_VOICES, missing, synthesise
from training.speech.text import sentence

SplitName = Literal["train", "validation", "languages"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "languages")
_HOP = RATE_HZ // 25
_CLEAN = MicrophoneConfig(
    clean_share=1.0,
    usual_share=1.0,
    usual_peak_db=(-9.0, -9.0),
    floor_db=(-63.0, -63.0),
    digital_share=0.0,
)
_LIVE = MicrophoneConfig(clean_share=0.0)


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    hours: float = 9.0  # of the training split, pauses included
    seed: int = 0
    validation: int = 20  # stretches of held-out voices; the first half clean
    languages: int = 8  # stretches of held-out languages; the first half clean
    stretches: StretchConfig = field(default_factory=StretchConfig)
    microphone: MicrophoneConfig = field(default_factory=MicrophoneConfig)

    def count(self, split: SplitName) -> int:
        """Stretches of that split."""
        if split == "train":
            return max(1, round(self.hours * 3_600 / LENGTH_S))
        return self.validation if split == "validation" else self.languages


def make(split: SplitName, index: int, config: CorpusConfig, folder: Path) -> Line:
    """Make one stretch and write its arrays into the split at `folder`."""
    chance = np.random.default_rng([config.seed, SPLITS.index(split), index])
    stretch, microphone = _draw(split, index, config, chance)
    talk = _talk() if split == "train" else ()
    heard = record(stretch.samples, chance, microphone, talk)
    line = Line(index, stretch.voice, stretch.language, stretch.texts, stretch.phones)
    clean = np.round(stretch.samples * 32_767.0).astype(np.int16)
    _split_at(folder).write(
        index,
        features=features(heard),
        speech=activity(heard),
        phones=phone_rows(stretch.phones),
        targets=_targets(line, clean, config),
        clean=clean,
    )
    return line


def features(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Log-mel rows float16 [ROWS, 80] of [SAMPLES]."""
    with torch.inference_mode():
        rows: NDArray[np.float16] = _mel()(torch.from_numpy(samples)[None])[0].half().numpy()
    return rows


def activity(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voice activity as a live session has it, at the end of each hop: bool [FRAMES]."""
    vad = VoiceActivity()
    flags = np.zeros(FRAMES, dtype=np.bool_)
    for n, hop in enumerate(samples.reshape(FRAMES, _HOP)):
        vad(hop)
        flags[n] = vad.speech
    return flags


def retarget(line: Line, config: CorpusConfig, folder: Path) -> Line:
    """Compute the motion of one stored stretch again."""
    split = _split_at(folder)
    clean = np.array(split.arrays["clean"][line.index])
    split.write(line.index, targets=_targets(line, clean, config))
    return line


def _targets(line: Line, clean: NDArray[np.int16], config: CorpusConfig) -> NDArray[np.float32]:
    samples = (clean / 32_767.0).astype(np.float32)
    return perform(line.phones, samples, FRAMES, seed=config.seed * 1_000_003 + line.index)


def _draw(
    split: SplitName, index: int, config: CorpusConfig, chance: np.random.Generator
) -> tuple[Stretch, MicrophoneConfig]:
    if split == "train":
        return draw_stretch(chance, config.stretches), config.microphone
    microphone = _CLEAN if index < config.count(split) // 2 else _LIVE
    listening = index % 5 == 4
    if split == "languages":
        language = HELD_OUT_LANGUAGES[index % len(HELD_OUT_LANGUAGES)]
        speaker, name = (
            partial(_say, f"espeak:{language}+{'mf'[index // 2 % 2]}3", language),
            language,
        )
    else:
        speaker, name = (
            partial(_say, HELD_OUT_VOICES[index % len(HELD_OUT_VOICES)], "held-out"),
            "en",
        )
    return lay_out(speaker, name, chance, config.stretches, listening=listening), microphone


def _say(voice: str, text: str, chance: np.random.Generator) -> Utterance:
    """A held-out sentence, or a phrase of a language, at nearly the voice's own rate."""
    if text == "held-out":
        return synthesise(
            HELD_OUT[int(chance.integers(len(HELD_OUT)))], voice, rate=chance.uniform(0.9, 1.15)
        )
    return synthesise(sentence(text, chance), voice, rate=chance.uniform(0.9, 1.15))


@cache
def _mel() -> LogMel:
    return LogMel()


@cache
def _split_at(folder: Path) -> Split:
    return Split(folder)


@cache
def _talk() -> tuple[NDArray[np.float32], ...]:
    """Eight tracks of other people talking, the same in every process."""
    config = StretchConfig(
        voices={"english": 0.6, "foreign": 0.4}, speechless_share=0.0, listening_share=0.0
    )
    return tuple(draw_stretch(np.random.default_rng([71, n]), config).samples for n in range(8))


def _one_thread() -> None:
    torch.set_num_threads(1)


@contextmanager
def _workers(jobs: int, at_once: int) -> Iterator[Callable[..., Iterable[Line]]]:
    """A map over `jobs` processes, each of which does `at_once` stretches and is replaced.

    espeak-ng carries its jitter from one utterance to the next and cannot be set back. A stretch
    sounds the same in every run only because it starts in a copy of this process as it is now.
    """
    library()
    _talk()
    _mel()
    with get_context("fork").Pool(jobs, _one_thread, maxtasksperchild=1) as pool:
        yield partial(pool.imap, chunksize=at_once)


def build(out: Path, config: CorpusConfig, jobs: int) -> None:
    """Make every stretch that is not there yet, in `jobs` processes.

    Raises ValueError if `out` holds a corpus of another seed or length, RuntimeError if a voice is
    not installed.
    """
    _check_voices(config)
    if (out / "meta.json").exists() and stored_config(out) != (config.seed, config.hours):
        seed, hours = stored_config(out)
        raise ValueError(f"{out} has seed {seed} and {hours} hours; go on with those, or elsewhere")
    write_meta(out, config)
    with _workers(jobs, 1) as each:
        for name in reversed(SPLITS):  # the short ones first
            folder = out / name
            split = Split.create(folder, config.count(name))
            work = partial(make, name, config=config, folder=folder)
            todo = split.missing()
            for line in _progress(each(work, todo), len(todo), name):
                split.finish(line)
    write_meta(out, config)


def rebuild_targets(out: Path, jobs: int) -> None:
    """Compute the motion of every stored stretch again."""
    seed, hours = stored_config(out)
    config = CorpusConfig(seed=seed, hours=hours)
    with _workers(jobs, 16) as each:
        for name in reversed(SPLITS):
            folder = out / name
            lines = list(Split(folder).lines())
            work = partial(retarget, config=config, folder=folder)
            for _ in _progress(each(work, lines), len(lines), f"{name} targets"):
                pass
    write_meta(out, config)


def stored_config(out: Path) -> tuple[int, float]:
    """(seed, hours) of the corpus that is there."""
    config = json.loads((out / "meta.json").read_text(encoding="utf-8"))["config"]
    return config["seed"], config["hours"]


def write_meta(out: Path, config: CorpusConfig) -> None:
    """What the corpus is and how much of whom it holds."""
    out.mkdir(parents=True, exist_ok=True)
    made = [name for name in SPLITS if (out / name).is_dir()]
    hours = {name: _hours(Split(out / name).lines()) for name in made}
    meta = {
        "seed": config.seed,
        "config": asdict(config),
        "labels": LABEL_LIST,
        "length_s": LENGTH_S,
        "samples": SAMPLES,
        "splits": hours,
        "versions": {"numpy": np.__version__, "torch": torch.__version__, **_engines()},
    }
    (out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def _hours(lines: Iterable[Line]) -> dict[str, object]:
    voices: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    speech = count = 0.0
    for line in lines:
        voices[line.voice] += LENGTH_S
        languages[line.language] += LENGTH_S
        speech += line.speech_s
        count += 1
    return {
        "stretches": count,
        "hours": round(count * LENGTH_S / 3_600, 3),
        "hours_of_phones": round(speech / 3_600, 3),
        "voices": {name: round(s / 3_600, 3) for name, s in voices.most_common()},
        "languages": {name: round(s / 3_600, 3) for name, s in languages.most_common()},
    }


def _engines() -> dict[str, str]:
    said = {"espeak-ng": ("--version",), "festival": ("--version",), "flite": ("--version",)}
    return {
        name: subprocess.run([name, *args], capture_output=True, text=True).stdout.split("\n")[0]
        for name, args in said.items()
    }


def _check_voices(config: CorpusConfig) -> None:
    named = [name for name in config.stretches.voices if ":" in name]
    for voice in ("espeak:en", *named, *HELD_OUT_VOICES):
        lack = missing(voice)
        if lack is not None:
            raise RuntimeError(lack)


def _progress(lines: Iterable[Line], total: int, name: str) -> Iterator[Line]:
    yield from tqdm(lines, total=total, desc=name, unit="stretch", mininterval=2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=9.0, help="of training, pauses included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--targets-only", action="store_true")
    args = parser.parse_args()
    if args.targets_only:
        rebuild_targets(args.out, args.jobs)
    else:
        build(args.out, CorpusConfig(hours=args.hours, seed=args.seed), args.jobs)


if __name__ == "__main__":
    main()
