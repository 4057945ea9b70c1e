"""How well the lips follow speech, read from rendered pixels.

    python -m benchmarks.lips [--avatar NAME|IMAGE] [--voices V ...] [--utterances N] [--out FILE]

Sentences of held-out synthetic voices go through the pipeline hop by hop, as live speech would;
MediaPipe FaceMesh reads the inner-lip gap over the face height from every frame. Figures:

    r, lag        Pearson r with the reference gap (phone times through an articulation model) at
                  the best lag within +-8 frames, over the spoken part of each sentence; positive
                  lags are late lips
    closures      p, b, m with the lips closed within +-2 frames; false: open vowels closed at
                  their middle
    still         deviation of the gap in the silence around sentences, over that in speech

and the same stillness for noises, and r for microphones from -40 to 0 dBFS.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.lip_figures import Count, closures, false_closures, follow, in_speech
from benchmarks.lip_reader import LipReader
from benchmarks.lip_sounds import SILENCE_S, Clip, Samples, noises, spoken
from benchmarks.timing import RESULTS, machine_stamp
from pipelines.audio.vad import VoiceActivity
from pipelines.avatar import HOP_SAMPLES, AvatarPipeline
from pipelines.identity import IdentityFeatures
from pipelines.portrait.enrol import enrol
from pipelines.training.articulation import CLOSED, FPS, articulate
from pipelines.training.sentences import HELD_OUT
from pipelines.training.speech import HELD_OUT_VOICES, missing, synthesise

CAST = Path(__file__).parent.parent / "cast"
LEVELS_DB = (-40.0, -30.0, -20.0, -10.0, 0.0)  # of the loudest sample
_MARGIN = 3  # frames around the spoken part that count for r: lips start before the sound
_NOISE_S = 6.0
_SETTLE = 10  # frames a noise may have to be known for one


class Bench:
    """One avatar, its pipeline and the reader of its lips."""

    def __init__(self, identity: IdentityFeatures, size: int) -> None:
        self.pipeline = AvatarPipeline(size=size)
        self.pipeline.set_identity(0, identity)
        self.delay = self.pipeline.look_ahead // HOP_SAMPLES

    def gaps(self, samples: Samples) -> NDArray[np.float64]:
        """Gap over face height of each frame of a fresh stream; a lost face holds the last."""
        self.pipeline.reset(0, seed=0)
        vad = VoiceActivity()
        on, off = torch.tensor([True]), torch.tensor([False])
        padded = np.concatenate([samples, np.zeros(self.delay * HOP_SAMPLES, np.float32)])
        read: list[float] = []
        with LipReader() as reader:
            for n, hop in enumerate(padded.reshape(-1, HOP_SAMPLES)):
                vad(hop)
                result = self.pipeline.step(
                    torch.from_numpy(hop)[None],
                    torch.tensor([vad.speech]),
                    on,
                    on if n >= self.delay else off,
                )
                if n >= self.delay:
                    gap, _ = reader.read(result.frames[0].numpy())
                    read.append(gap if gap == gap or not read else read[-1])
        return np.array(read)


def measure_voice(bench: Bench, voice: str, sentences: Sequence[str]) -> dict[str, Any]:
    """All figures of one voice."""
    follows, hits, false = [], Count(0, 0), Count(0, 0)
    speech, silence = [], []
    for sentence in tqdm(sentences, desc=voice, leave=False):
        clip = spoken(synthesise(sentence, voice))
        gap = bench.gaps(clip.samples)
        follows.append(_follow(gap, clip))
        hits += closures(gap, clip.phones)
        false += false_closures(gap, clip.phones)
        speech.append(gap[in_speech(clip.phones, len(gap))])
        quiet = round(SILENCE_S * FPS) - 5  # less the anticipation and the reader's settling
        silence.append(gap[2:quiet])
    talk = np.concatenate(speech)
    still = float(np.mean([part.std() for part in silence]))
    return {
        "r": _mean([one.r for one in follows]),
        "lag_frames": _mean([float(one.lag) for one in follows]),
        "closures": round(hits.share, 3),
        "closures_of": hits.total,
        "false_closures": round(false.share, 3),
        "open_vowels": false.total,
        "gap_percentiles": [round(float(v), 4) for v in np.percentile(talk, (10, 50, 90))],
        "closed_share": round(float((talk < CLOSED).mean()), 3),
        "gap_sd_in_speech": round(float(talk.std()), 4),
        "gap_sd_in_silence": round(still, 5),
        "stillness": round(still / float(talk.std()), 3),
    }


def measure_levels(bench: Bench, voice: str, sentence: str) -> dict[str, float]:
    """r by the level of the loudest sample, dBFS."""
    utterance = synthesise(sentence, voice)
    peak = float(np.abs(utterance.samples).max())
    rms = float(np.sqrt(np.mean(np.square(utterance.samples))))
    found = {}
    for level in LEVELS_DB:
        clip = spoken(utterance, level + 20.0 * float(np.log10(rms / peak)))
        found[f"{level:.0f} dBFS"] = round(_follow(bench.gaps(clip.samples), clip).r, 3)
    return found


def measure_noises(bench: Bench) -> dict[str, float]:
    """Deviation of the gap once each noise is known."""
    return {
        name: round(float(bench.gaps(sound)[_SETTLE:].std()), 5)
        for name, sound in noises(_NOISE_S).items()
    }


def _follow(gap: NDArray[np.float64], clip: Clip) -> Any:
    reference = articulate(clip.phones, clip.frames)
    where = np.flatnonzero(in_speech(clip.phones, clip.frames))
    part = slice(max(where[0] - _MARGIN, 0), where[-1] + 1 + _MARGIN)
    return follow(gap[part], reference[part])


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 3)


def _image(avatar: str) -> Path:
    cast = CAST / f"{avatar}.png"
    path = cast if cast.exists() else Path(avatar)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in CAST.glob("*.png")))
        raise SystemExit(f"no avatar {avatar!r}: give an image, or one of the cast: {names}")
    return path


def _table(voices: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'voice':26s}{'r':>7s}{'lag':>7s}{'closures':>10s}{'false':>7s}{'still':>7s}"]
    for name, row in voices.items():
        lines.append(
            f"{name:26s}{row['r']:7.2f}{row['lag_frames']:7.1f}{row['closures']:10.0%}"
            f"{row['false_closures']:7.1%}{row['stillness']:7.3f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.lips", description="lip figures from rendered pixels"
    )
    parser.add_argument("--avatar", default="amara", help="one of the cast, or an image")
    parser.add_argument("--voices", nargs="+", default=list(HELD_OUT_VOICES))
    parser.add_argument("--utterances", type=int, default=len(HELD_OUT))
    parser.add_argument("--size", type=int, default=512, choices=(256, 512))
    parser.add_argument("--out", type=Path, default=RESULTS / "lips.json")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    able = [voice for voice in args.voices if missing(voice) is None]
    for voice in sorted(set(args.voices) - set(able)):
        print(f"skipping {voice}: {missing(voice)}")
    if not able:
        raise SystemExit("no voice can speak")
    stamp = machine_stamp()
    bench = Bench(enrol(_image(args.avatar).read_bytes()), args.size)
    voices = {v: measure_voice(bench, v, HELD_OUT[: args.utterances]) for v in able}
    print(_table(voices))
    levels = measure_levels(bench, able[0], HELD_OUT[0])
    print("r by level:", ", ".join(f"{name} {r:.2f}" for name, r in levels.items()))
    still = measure_noises(bench)
    print("gap sd in noise:", ", ".join(f"{name} {sd:.4f}" for name, sd in still.items()))
    figures = {"avatar": args.avatar, "size": args.size, "sentences": args.utterances}
    figures |= {"voices": voices, "r_by_level": levels, "gap_sd_in_noise": still}
    args.out.write_text(json.dumps({"machine": stamp, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
