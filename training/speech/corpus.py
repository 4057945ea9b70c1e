"""Build the training corpus of speech: `python -m training.speech.corpus --out DIR --hours 9`.

With `--recordings`, a folder that `training.speech.recordings` wrote, people speak in place of the
synthetic voices; the same microphones hear them.

Every stretch depends on the seed and its number alone, so a run that was stopped goes on where it
was, and two runs give the same corpus. `--targets-only` computes the motion anew from the stored
voices and phones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pipelines.audio.mel import LogMel
from pipelines.audio.vad import VoiceActivity
from pipelines.motion.style import STYLE_DIM
from training.motion.articulation import ArticulationConfig
from training.motion.performance import perform
from training.speech.corpus_config import SPLITS, CorpusConfig, SplitName
from training.speech.corpus_meta import stored_config, write_meta
from training.speech.corpus_recorded import RecordedVoices
from training.speech.corpus_store import Line, Split, phone_rows
from training.speech.corpus_stretches import (
    FRAMES,
    HOP,
    Stretch,
    StretchConfig,
    draw_stretch,
    lay_out,
)
from training.speech.espeak import library
from training.speech.lexicon_languages import HELD_OUT_LANGUAGES
from training.speech.microphone import MicrophoneConfig, record
from training.speech.phones import Utterance
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import HELD_OUT_VOICES, missing, synthesise
from training.speech.text import sentence

_CLEAN = MicrophoneConfig(
    clean_share=1.0,
    usual_share=1.0,
    usual_peak_db=(-9.0, -9.0),
    floor_db=(-63.0, -63.0),
    digital_share=0.0,
)
_LIVE = MicrophoneConfig(clean_share=0.0)
_STYLES = 11  # of seeds: a stretch's style has a chance of its own, other draws do not move it
_EXTREME = 2.0  # deviations of a style from the average


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
        clean=clean,
        gap=stretch.gap,
        **_motion(split, line, clean, config),
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
    for n, hop in enumerate(samples.reshape(FRAMES, HOP)):
        vad(hop)
        flags[n] = vad.speech
    return flags


def retarget(
    line: Line,
    split: SplitName,
    config: CorpusConfig,
    folder: Path,
    articulation: ArticulationConfig | None = None,
) -> Line:
    """Compute the motion of one stored stretch again."""
    stored = _split_at(folder)
    clean = np.array(stored.arrays["clean"][line.index])
    stored.write(line.index, **_motion(split, line, clean, config, articulation))
    return line


def _motion(
    split: SplitName,
    line: Line,
    clean: NDArray[np.int16],
    config: CorpusConfig,
    articulation: ArticulationConfig | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Targets and their style, which is the average one's where training is measured."""
    style = np.zeros(STYLE_DIM, np.float32)
    if split == "train":
        chance = np.random.default_rng([config.seed, _STYLES, line.index])
        style = chance.standard_normal(STYLE_DIM).clip(-_EXTREME, _EXTREME).astype(np.float32)
    samples = (clean / 32_767.0).astype(np.float32)
    seed = config.seed * 1_000_003 + line.index
    targets = perform(line.phones, samples, FRAMES, seed, style.astype(np.float64), articulation)
    return {"targets": targets, "style": style}


def _draw(
    split: SplitName, index: int, config: CorpusConfig, chance: np.random.Generator
) -> tuple[Stretch, MicrophoneConfig]:
    people = _people(config)
    if split == "train":
        draw = partial(people.draw, index) if people else draw_stretch
        return draw(chance, config.stretches), config.microphone
    microphone = _CLEAN if index < config.count(split) // 2 else _LIVE
    listening = index % 5 == 4
    if people:
        voice = people.held_out[index % len(people.held_out)]
        return people.stretch(voice, chance, config.stretches, listening=listening), microphone
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


def _people(config: CorpusConfig) -> RecordedVoices | None:
    return _recorded(config.recordings, config.hold_out) if config.recordings else None


@cache
def _recorded(folder: str, hold_out: tuple[str, ...]) -> RecordedVoices:
    return RecordedVoices(Path(folder), hold_out)


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

    Raises ValueError if `out` holds another corpus or the recordings cannot be used, RuntimeError
    if a voice is not installed.
    """
    _check_voices(config)
    _people(config)
    if (out / "meta.json").exists() and CorpusConfig.of(out).origin != config.origin:
        raise ValueError(f"{out} has {CorpusConfig.of(out).origin}; go on with that, or elsewhere")
    write_meta(out, asdict(config), config.splits)
    with _workers(jobs, 1) as each:
        for name in reversed(config.splits):  # the short ones first
            folder = out / name
            split = Split.create(folder, config.count(name))
            work = partial(make, name, config=config, folder=folder)
            todo = split.missing()
            for line in _progress(each(work, todo), len(todo), name):
                split.finish(line)
    write_meta(out, asdict(config), config.splits)


def rebuild_targets(out: Path, jobs: int, articulation: ArticulationConfig | None = None) -> None:
    """Compute the motion of every stored stretch again; what was prepared of it is out of date."""
    config = CorpusConfig.of(out)
    with _workers(jobs, 16) as each:
        for name in reversed(config.splits):
            folder = out / name
            split = Split.create(folder, config.count(name))  # may lack a newer array
            lines = list(split.lines())
            work = partial(
                retarget, split=name, config=config, folder=folder, articulation=articulation
            )
            for _ in _progress(each(work, lines), len(lines), f"{name} targets"):
                pass
            for stale in ("latents.npy", "parting.npy"):
                (folder / stale).unlink(missing_ok=True)
    write_meta(out, stored_config(out), config.splits)


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
    parser.add_argument(
        "--articulation", type=Path, help="of training.motion.refit; with --targets-only"
    )
    parser.add_argument("--recordings", type=Path, help="folder of training.speech.recordings")
    parser.add_argument("--hold-out", nargs="+", default=[], metavar="SPEAKER")
    args = parser.parse_args()
    if args.targets_only:
        articulation = ArticulationConfig.load(args.articulation) if args.articulation else None
        rebuild_targets(args.out, args.jobs, articulation)
        return
    config = CorpusConfig(hours=args.hours, seed=args.seed)
    if args.recordings:
        held = tuple(sorted(args.hold_out))
        count = 2 * len(RecordedVoices(args.recordings, held).held_out)  # each clean and live
        config = replace(
            config, validation=count, recordings=str(args.recordings.resolve()), hold_out=held
        )
    build(args.out, config, args.jobs)


if __name__ == "__main__":
    main()
