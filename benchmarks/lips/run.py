"""How well the lips follow speech, read from rendered pixels.

    python -m benchmarks.lips [--pipeline P] [--avatar NAME|IMAGE] [--voices V ...] [--signal]
        [--from-motion] [--syncnet FILE]

Sentences of held-out synthetic voices go through the pipeline hop by hop, as live speech would;
MediaPipe FaceMesh reads the inner-lip gap over the face height from every frame. Figures:

    r, lag        Pearson r with the reference gap (phone times through the articulation model) at
                  the best lag within +-2 frames, over the spoken part of each sentence; positive
                  lags are late lips
    closures      p, b, m with the lips closed within +-2 frames
    false         open vowels closed at their middle, of those in which the reference is open; of
                  all: of all open vowels, though the reference itself closes in some
    still         deviation of the gap in the silence before sentences, over that in speech
    onset         from the first sound to open lips, in sentences that begin with an open sound, and
                  in how many of them no later than 40 ms

and the same through live microphones and in languages that training never heard, r for levels from
-40 to 0 dBFS, how far the gap moves in noises, how soon lips have closed when the voice is cut
short, and how alike two seeds are. `--from-motion` reads the motion instead of pixels, in a
hundredth of the time. `--syncnet` takes a `syncnet_v2.model` and adds LSE-C and LSE-D of the same
sentences, see `benchmarks.lips.syncnet`. Recorded speech and real mouths:
`benchmarks.lips.recorded`; trainings side by side: `benchmarks.lips.steps`,
`benchmarks.lips.leave_out`.
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
from benchmarks.lips.cuts import IN_TIME_MS, measure_cuts
from benchmarks.lips.diversity import diversity
from benchmarks.lips.figures import Gaps
from benchmarks.lips.held_out import synthetic
from benchmarks.lips.instruments import Mirror, from_motion
from benchmarks.lips.measure import Watch, figures, followed, table
from benchmarks.lips.reader import LipReader
from benchmarks.lips.sounds import Clip, Samples, spoken
from benchmarks.lips.syncnet.distance import LipSync
from benchmarks.lips.syncnet.measure import summary
from benchmarks.lips.syncnet.measure import watch as watch_sync
from benchmarks.lips.syncnet.network import SyncNet, load_syncnet
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

LEVELS_DB = (-40.0, -30.0, -20.0, -10.0, 0.0)  # of the loudest sample
_NOISE_S, _HEAD_S = 6.0, 120.0
_CUT_SENTENCES = 4  # of each voice; each is cut at several places


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

    def sync(self, samples: Samples, network: SyncNet) -> LipSync:
        """How well the lips of a fresh stream fit its sound in SyncNet's eyes."""
        frames = play(self.pipeline, samples, self.size)
        pictures = (shown.picture for shown in frames if shown.picture is not None)
        return watch_sync(network, pictures, samples)


def watch_motion(pipeline: Pipeline, size: Size) -> Watch:
    """The gap of a fresh stream as its motion says it, nothing drawn."""

    def gaps(samples: Samples) -> Gaps:
        shown = play(pipeline, samples, size, draw=())
        return from_motion(np.array([one.motion.copy() for one in shown]))

    return gaps


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


def measure_noises(watch: Watch) -> dict[str, dict[str, float]]:
    """Deviation of the gap once each noise is known, and how far it is at most from its mean."""
    found = {}
    for name, sound in lip_conditions.backgrounds(_NOISE_S).items():
        gap = watch(sound.samples)[sound.begin :]
        found[name] = {"sd": round(float(gap.std()), 5), "most": round(_most(gap), 5)}
    return found


def _most(gap: Gaps) -> float:
    return float(np.abs(gap - gap.mean()).max())


def measure_sync(
    bench: Bench, network: SyncNet, voices: Sequence[str], count: int
) -> dict[str, Any]:
    """LSE-C, LSE-D and the offset of sentences of each voice, said as they are known."""
    found = {}
    for voice in voices:
        clips = tqdm(clips_of(voice, HELD_OUT[:count]), desc=f"{voice}, SyncNet", leave=False)
        found[voice] = summary([bench.sync(clip.samples, network) for clip in clips])
        print(f"{voice:30s}" + " ".join(f"{name} {value}" for name, value in found[voice].items()))
    return found


def signal_pipeline() -> Pipeline:
    """The portrait, moved by the signal alone."""
    sizes = PORTRAIT.sizes
    return ComposedPipeline(1, sizes, SignalMotion(MelConfig()), PortraitRenderer(1, sizes))


def measured(args: argparse.Namespace, able: list[str]) -> dict[str, Any]:
    """Everything about the system's motion, said as it is known."""
    system, count = find_system(args.pipeline), args.utterances
    network = load_syncnet(args.syncnet) if args.syncnet else None
    size = size_of(system, args.size)
    identity = enrolled(system, find_photo(args.avatar))
    few = min(count, args.condition_utterances)

    def make() -> Pipeline:
        return signal_pipeline() if args.signal else system.build(1, system.Options(), "cpu")

    bench = None if args.from_motion else Bench(make(), identity, size)
    watch = watch_motion(make(), size) if bench is None else bench.gaps
    found: dict[str, Any] = {"avatar": args.avatar, "size": size, "sentences": count}
    found |= {"read_from": "motion" if args.from_motion else "pixels"}
    voices = {v: watched(watch, clips_of(v, HELD_OUT[:count]), v) for v in able}
    print(table(voices, "voice"))
    if bench is not None and network is not None:
        found["syncnet"] = measure_sync(bench, network, able, count)
    levels = measure_levels(watch, able[0], HELD_OUT[0])
    print("r by level:", ", ".join(f"{name} {r:.2f}" for name, r in levels.items()))
    still = measure_noises(watch)
    print("gap in noise, sd and most:")
    print("\n".join(f"  {name}: {gap['sd']:.4f} {gap['most']:.4f}" for name, gap in still.items()))
    found |= {"voices": voices, "r_by_level": levels, "gap_in_noise": still}
    if _has_cuts(args):
        found["cut_short"] = cut_short(args, able, identity)
    clips = [clip for v in able for clip in clips_of(v, HELD_OUT[:few])]
    microphones = measure_microphones(watch, clips)
    print(table(microphones, "microphone"))
    languages = measure_languages(watch, few)
    print(table(languages, "language"))
    found |= {"sentences_per_condition": few, "microphones": microphones, "languages": languages}
    if system.motion_names and not args.from_motion:
        found["r_of_two_seeds"] = seeds = diversity(make, identity, size, able, _HEAD_S)
        print("r of two seeds:", ", ".join(f"{name} {r:.2f}" for name, r in seeds.items()))
    return found


def cut_short(
    args: argparse.Namespace, able: Sequence[str], identity: IdentityFeatures
) -> dict[str, float]:
    """How soon the lips of `portrait` have closed when its voice is cut short in mid-word."""
    said = [one for one in synthetic(min(args.utterances, _CUT_SENTENCES)) if one.speaker in able]
    found = measure_cuts(said, from_motion if args.from_motion else Mirror(identity))
    print(
        f"cut short {found['count']:.0f} times: closed after {found['p50']:.0f} ms at the median, "
        f"{found['p95']:.0f} at the 95th percentile; {found['in_time']:.0%} within {IN_TIME_MS:.0f}"
    )
    return found


def _has_cuts(args: argparse.Namespace) -> bool:
    held_out = any(voice in HELD_OUT_VOICES for voice in args.voices)
    return args.pipeline == PORTRAIT.name and not args.signal and held_out


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.lips", description="lip figures from rendered pixels"
    )
    parser.add_argument("--pipeline", default=known_systems()[0], choices=known_systems())
    parser.add_argument("--avatar", default="amara", help="one of the cast, or an image")
    parser.add_argument("--voices", nargs="+", default=list(HELD_OUT_VOICES))
    parser.add_argument(
        "--utterances", type=int, default=len(HELD_OUT), help="sentences of each voice"
    )
    parser.add_argument(
        "--condition-utterances", type=int, default=4, help="per microphone and language"
    )
    parser.add_argument("--size", type=int, help="height of pictures")
    parser.add_argument("--signal", action="store_true", help="measure the signal-driven motion")
    parser.add_argument("--from-motion", action="store_true", help="read motion, not pixels")
    parser.add_argument("--syncnet", type=Path, metavar="FILE", help="adds LSE-C and LSE-D")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    own = find_system(args.pipeline).motion_names == PORTRAIT.motion_names
    if (args.signal or args.from_motion) and not own:
        parser.error("--signal and --from-motion need motion as `portrait` has it")
    if args.syncnet and args.from_motion:
        parser.error("--syncnet reads pixels, --from-motion has none")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    torch.set_num_threads(1)
    able = [voice for voice in args.voices if missing(voice) is None]
    for voice in sorted(set(args.voices) - set(able)):
        print(f"skipping {voice}: {missing(voice)}")
    if not able:
        raise SystemExit("no voice can speak")
    stamp = machine_stamp()
    print("this machine:", json.dumps({n: stamp[n] for n in ("matmul_gflops", "add_us")}))
    found = measured(args, able)
    name = f"lips_{args.pipeline}" + "_motion" * args.from_motion
    path = args.out or RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": stamp, "figures": found}, indent=2) + "\n")
