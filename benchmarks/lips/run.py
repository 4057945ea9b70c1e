"""How well the lips follow speech, read from rendered pixels.

    python -m benchmarks.lips [--pipeline P] [--avatar NAME|IMAGE] [--voices V ...] [--signal]
    python -m benchmarks.lips --compare --runs DIR
    python -m benchmarks.lips --sweep --runs DIR

Sentences of held-out synthetic voices go through the pipeline hop by hop, as live speech would;
MediaPipe FaceMesh reads the inner-lip gap over the face height from every frame. Figures:

    r, lag        Pearson r with the reference gap (phone times through an articulation model) at
                  the best lag within +-8 frames, over the spoken part of each sentence; positive
                  lags are late lips
    closures      p, b, m with the lips closed within +-2 frames; false: open vowels closed at
                  their middle
    still         deviation of the gap in the silence around sentences, over that in speech
    onset         from the first sound to open lips, in sentences that begin with an open sound

and the same through live microphones and in languages that training never heard, r for levels from
-40 to 0 dBFS, stillness in noises, and how alike two seeds are. `--compare` sets motion models side
by side, `--sweep` takes them through look-ahead and passes; both want the folder of trained
networks (see `benchmarks.motion.models`), and keep benchmarks/results/lips_compare.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.avatars import enrolled, find_photo, size_of
from benchmarks.baseline.signal_motion import SignalMotion
from benchmarks.lips import conditions as lip_conditions
from benchmarks.lips import plot as lip_plot
from benchmarks.lips.diversity import diversity
from benchmarks.lips.figures import Gaps
from benchmarks.lips.measure import Watch, figures, followed, table
from benchmarks.lips.models import Mirror, measure
from benchmarks.lips.reader import LipReader
from benchmarks.lips.sounds import Clip, Samples, spoken
from benchmarks.motion.models import COMPARED, STEPS, Choice, available, swept
from benchmarks.timing import RESULTS, machine_stamp
from pipelines.audio.mel import MelConfig
from pipelines.clip import play
from pipelines.composed import ComposedPipeline
from pipelines.identity import IdentityFeatures
from pipelines.pipeline import Pipeline, Size
from pipelines.portrait.render import PortraitRenderer
from pipelines.portrait.system import SYSTEM as PORTRAIT
from pipelines.registry import find_system, known_systems
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import HELD_OUT_VOICES, missing, synthesise

ROOT = Path(__file__).parents[2]
LEVELS_DB = (-40.0, -30.0, -20.0, -10.0, 0.0)  # of the loudest sample
LOOK_AHEADS = (0, 1, 2, 3)  # frames
_NOISE_S, _HEAD_S = 6.0, 120.0
_COMPARED, _SWEPT = 10, 4  # sentences of each voice
_MIRROR = 256  # pixels of the pictures that motion models are compared by


class Bench:
    """One avatar, its pipeline and the reader of its lips."""

    def __init__(self, pipeline: Pipeline, identity: IdentityFeatures, size: Size) -> None:
        self.pipeline = pipeline
        self.size = size
        pipeline.set_identity(0, identity, size)

    def gaps(self, samples: Samples) -> Gaps:
        """Gap over face height of each frame of a fresh stream; a lost face holds the last."""
        read: list[float] = []
        with LipReader() as reader:
            for shown in play(self.pipeline, samples, self.size):
                assert shown.picture is not None
                gap, _ = reader.read(shown.picture)
                read.append(gap if gap == gap or not read else read[-1])
        return np.array(read)


def clips_of(voice: str, sentences: Sequence[str]) -> list[Clip]:
    """The sentences between silences, in a quiet room."""
    return [spoken(synthesise(sentence, voice)) for sentence in sentences]


def watched(watch: Watch, clips: Sequence[Clip], name: str) -> dict[str, Any]:
    """Figures of these clips."""
    return figures([(watch(clip.samples), clip) for clip in tqdm(clips, desc=name, leave=False)])


def measure_microphones(watch: Watch, clips: Sequence[Clip]) -> dict[str, dict[str, Any]]:
    """Figures of the same clips through each microphone."""
    return {
        name: watched(
            watch, [lip_conditions.through(clip, name, n) for n, clip in enumerate(clips)], name
        )
        for name in lip_conditions.MICROPHONES
    }


def measure_languages(watch: Watch, count: int) -> dict[str, dict[str, Any]]:
    """Figures of phrases of languages that training never heard, where espeak-ng is installed."""
    found = {}
    for language, voices in lip_conditions.LANGUAGE_VOICES.items():
        able = [voice for voice in voices if missing(voice) is None]
        said = lip_conditions.phrases(language, count)
        if able:
            found[language] = watched(watch, [c for v in able for c in clips_of(v, said)], language)
    return found


def measure_levels(watch: Watch, voice: str, sentence: str) -> dict[str, float]:
    """r by the level of the loudest sample, dBFS."""
    utterance = synthesise(sentence, voice)
    peak = float(np.abs(utterance.samples).max())
    rms = float(np.sqrt(np.mean(np.square(utterance.samples))))
    found = {}
    for level in LEVELS_DB:
        clip = spoken(utterance, level + 20.0 * float(np.log10(rms / peak)))
        found[f"{level:.0f} dBFS"] = round(followed(watch(clip.samples), clip).r, 3)
    return found


def measure_noises(watch: Watch) -> dict[str, float]:
    """Deviation of the gap once each noise is known."""
    return {
        name: round(float(watch(sound.samples)[sound.begin :].std()), 5)
        for name, sound in lip_conditions.backgrounds(_NOISE_S).items()
    }


def signal_pipeline() -> Pipeline:
    """The portrait, moved by the signal alone."""
    sizes = PORTRAIT.sizes
    return ComposedPipeline(1, sizes, SignalMotion(MelConfig()), PortraitRenderer(1, sizes))


def shipped(args: argparse.Namespace, identity: IdentityFeatures, able: list[str]) -> None:
    """Everything about one motion model: the system's, unless told otherwise."""
    system, count = find_system(args.pipeline), args.utterances or len(HELD_OUT)
    size = size_of(system, args.size)
    few = min(count, args.condition_utterances)
    stamp = machine_stamp()

    def make() -> Pipeline:
        return signal_pipeline() if args.signal else system.build(1, system.Options(), "cpu")

    watch = Bench(make(), identity, size).gaps
    voices = {v: watched(watch, clips_of(v, HELD_OUT[:count]), v) for v in able}
    print(table(voices, "voice"))
    levels = measure_levels(watch, able[0], HELD_OUT[0])
    print("r by level:", ", ".join(f"{name} {r:.2f}" for name, r in levels.items()))
    still = measure_noises(watch)
    print("gap sd in noise:", ", ".join(f"{name} {sd:.4f}" for name, sd in still.items()))
    clips = [clip for v in able for clip in clips_of(v, HELD_OUT[:few])]
    microphones = measure_microphones(watch, clips)
    print(table(microphones, "microphone"))
    languages = measure_languages(watch, few)
    print(table(languages, "language"))
    seeds = {}
    if system.motion_names:
        seeds = diversity(make, identity, size, able, _HEAD_S)
        print("r of two seeds:", ", ".join(f"{name} {r:.2f}" for name, r in seeds.items()))
    found: dict[str, Any] = {"avatar": args.avatar, "size": size, "sentences": count}
    found |= {"voices": voices, "r_by_level": levels, "gap_sd_in_noise": still}
    found |= {"sentences_per_condition": few, "microphones": microphones}
    found |= {"languages": languages, "r_of_two_seeds": seeds}
    path = args.out or RESULTS / f"lips_{system.name}.json"
    path.write_text(json.dumps({"machine": stamp, "figures": found}, indent=2) + "\n")


def side_by_side(
    args: argparse.Namespace, identity: IdentityFeatures, able: list[str],
    part: str, choices: Sequence[Choice], count: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure these models on the held-out voices and keep the rows as one part of the results."""
    stamp, size, count = machine_stamp(), args.size or _MIRROR, args.utterances or count
    can, lack = available(choices, args.runs)
    for path in lack:
        print(f"left out for want of weights: {path.parent.name} ({path})")
    voices = {v: clips_of(v, HELD_OUT[:count]) for v in able}
    rows = measure(can, args.runs, voices, Mirror(identity, size))
    path = args.out or RESULTS / "lips_compare.json"
    held = json.loads(path.read_text()) if path.exists() else {}
    found = {"avatar": args.avatar, "size": size, "sentences": count, "voices": able, "rows": rows}
    held[part] = {"machine": stamp, "figures": found}
    path.write_text(json.dumps(held, indent=2) + "\n")
    return rows


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.lips", description="lip figures from rendered pixels"
    )
    parser.add_argument("--pipeline", default=known_systems()[0], choices=known_systems())
    parser.add_argument("--avatar", default="amara", help="one of the cast, or an image")
    parser.add_argument("--voices", nargs="+", default=list(HELD_OUT_VOICES))
    parser.add_argument(
        "--utterances", type=int,
        help=f"sentences of each voice: {len(HELD_OUT)}, compare {_COMPARED}, sweep {_SWEPT}",
    )  # fmt: skip
    parser.add_argument(
        "--condition-utterances", type=int, default=4, help="per microphone and language"
    )
    parser.add_argument("--size", type=int, help=f"height of pictures; {_MIRROR} side by side")
    parser.add_argument("--signal", action="store_true", help="measure the signal-driven motion")
    parser.add_argument("--compare", action="store_true", help="motion models side by side")
    parser.add_argument("--sweep", action="store_true", help="look-ahead and passes")
    parser.add_argument("--runs", type=Path, help="folder of trained networks, for these two")
    parser.add_argument("--look-aheads", type=int, nargs="+", default=list(LOOK_AHEADS))
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "lips_sweep.png")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    if (args.compare or args.sweep) and args.runs is None:
        parser.error("--compare and --sweep need --runs DIR")
    own = find_system(args.pipeline).motion_names == PORTRAIT.motion_names
    if (args.compare or args.sweep or args.signal) and not own:
        parser.error("--compare, --sweep and --signal draw motion as `portrait` has it")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    torch.set_num_threads(1)
    able = [voice for voice in args.voices if missing(voice) is None]
    for voice in sorted(set(args.voices) - set(able)):
        print(f"skipping {voice}: {missing(voice)}")
    if not able:
        raise SystemExit("no voice can speak")
    identity = enrolled(find_system(args.pipeline), find_photo(args.avatar))
    if args.compare:
        side_by_side(args, identity, able, "compare", COMPARED, _COMPARED)
    if args.sweep:
        choices = swept(args.look_aheads, args.steps)
        rows = side_by_side(args, identity, able, "sweep", choices, _SWEPT)
        if not rows:
            raise SystemExit(f"no networks in {args.runs}: nothing to draw")
        lip_plot.draw(rows, args.plot)
        print(f"drawn: {args.plot}")
    if not args.compare and not args.sweep:
        shipped(args, identity, able)
