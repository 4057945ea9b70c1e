"""How well the lips follow recorded speech: reference mouths from phone times, and real mouths.

    python -m benchmarks.lips.recorded --recordings DIR [--model WEIGHTS[@CHECKOUT]|FILE.json]
        [--from-motion] [--gaps FILE.json] [--agree CLIPS]

Two tables. Recorded speakers that are left out of training, against the reference mouth of their
phone times: the figures of `benchmarks.lips`, and r as the mean over speakers. Speakers with real
lips beside, against those: r over the spoken part of each clip at the best lag within +-2 frames,
mean over a speaker's clips and over speakers, beside what perfect phones give through the
articulation model and what the loudness alone gives; these speakers are in the training of what
ships (`benchmarks.lips.leave_out` leaves each out). Brackets are 95 % bootstrap intervals: within a
speaker over the clips, over speakers in two stages (`benchmarks.lips.intervals`).

The gap is read from rendered pixels by FaceMesh, or from the motion itself (`--from-motion`), which
is quick; `--agree` reads so many clips in both ways and says how well the two agree. A model is the
shipped one, other weights (a file or the folder of a run), that of another checkout, or gap curves
that `--gaps` kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.lips.curves import Curves, Source, energy, save
from benchmarks.lips.figures import Count, Follow, closures
from benchmarks.lips.held_out import Said, left_out, real_mouths, speakers_of
from benchmarks.lips.instruments import agreement, from_motion, mirror, read_all
from benchmarks.lips.intervals import Interval, over_clips, over_speakers
from benchmarks.lips.measure import figures, followed, mean, table
from benchmarks.lips.models import motions
from benchmarks.timing import write_result
from training.motion.articulation import ArticulationConfig, articulate

PHONES, LOUDNESS = "perfect phones", "loudness alone"
ALL = "all"


def by_speaker(said: Sequence[Said], follows: Mapping[str, Follow]) -> dict[str, list[float]]:
    """r of each speaker's clips."""
    return {
        speaker: [follows[one.name].r for one in said if one.speaker == speaker]
        for speaker in speakers_of(said)
    }


def intervals(said: Sequence[Said], follows: Mapping[str, Follow]) -> dict[str, Interval]:
    """r of each speaker, and of all."""
    values = by_speaker(said, follows)
    found = {speaker: over_clips(clips) for speaker, clips in values.items()}
    return found | {ALL: over_speakers(values)}


def against_phones(said: Sequence[Said], curves: Curves) -> dict[str, Any]:
    """Figures against the reference mouth; `r_over_speakers` beside r, the mean of the clips."""
    follows = {one.name: followed(curves[one.name], one.clip) for one in said}
    found = figures([(curves[one.name], one.clip) for one in said])
    whole = over_speakers(by_speaker(said, follows))
    return found | {"r_over_speakers": whole.numbers(), "speakers": len(speakers_of(said))}


def follow_real(said: Sequence[Said], curves: Curves) -> dict[str, Follow]:
    """How curves follow the speakers' own lips, over the spoken part of each clip."""
    return {one.name: followed(curves[one.name], one.clip, one.real) for one in said}


def references(
    said: Sequence[Said], fits: Mapping[str, ArticulationConfig] | None = None
) -> dict[str, Curves]:
    """What anything may be compared with: curves that need no model.

    fits: articulation models by speaker; the shipped one, which was fitted to all, is the default.
    """
    fitted = fits or {}
    return {
        PHONES: {
            one.name: articulate(one.clip.phones, one.clip.frames, fitted.get(one.speaker))
            for one in said
        },
        LOUDNESS: {one.name: energy(one.clip.samples) for one in said},
    }


def against_mouths(said: Sequence[Said], models: Mapping[str, Curves]) -> dict[str, Any]:
    """By model: r of each speaker and of all, mean lag, closures; last the mouths' own closures."""
    found: dict[str, Any] = {}
    for name, curves in models.items():
        follows = follow_real(said, curves)
        r = {speaker: one.numbers() for speaker, one in intervals(said, follows).items()}
        found[name] = {
            "r": r,
            "lag_frames": mean([float(one.lag) for one in follows.values()]),
            "closures": None if name == LOUDNESS else _closures(said, curves),
        }
    own = {one.name: one.real for one in said if one.real is not None}
    found["their own lips"] = {"r": None, "lag_frames": None, "closures": _closures(said, own)}
    return found


def _closures(said: Sequence[Said], curves: Curves) -> float:
    counts = [closures(curves[one.name], one.clip.phones) for one in said]
    return round(sum(counts, Count(0, 0)).share, 3)


def mouths_table(found: Mapping[str, Any]) -> str:
    """`against_mouths` as text: a line per model, a column per speaker."""
    speakers = list(next(iter(found.values()))["r"])
    clips = {s: next(iter(found.values()))["r"][s]["clips"] for s in speakers}
    head = "".join(f"{f'{s} ({clips[s]})':>22s}" for s in speakers)
    lines = [f"{'r with real lips, of (clips)':30s}{head}{'lag':>6s}{'closures':>10s}"]
    for name, row in found.items():
        cells = ["-"] * len(speakers) if row["r"] is None else map(_cell, row["r"].values())
        lag = "-" if row["lag_frames"] is None else f"{row['lag_frames']:.1f}"
        shut = "-" if row["closures"] is None else f"{row['closures']:.0%}"
        lines.append(f"{name:30s}{''.join(f'{c:>22s}' for c in cells)}{lag:>6s}{shut:>10s}")
    return "\n".join(lines)


def _cell(r: Mapping[str, float | None]) -> str:
    if r["low"] is None:
        return f"{r['mean']:.3f}"
    return f"{r['mean']:.3f} ({r['low']:.2f}..{r['high']:.2f})"


def _agree(args: argparse.Namespace, source: Source, said: Sequence[Said]) -> dict[str, float]:
    """Both instruments on clips from all over the set."""
    some = said[:: max(len(said) // args.agree, 1)][: args.agree]
    sounds = {one.name: one.clip.samples for one in some}
    moved = motions(sounds, source.weights, source.checkout)
    pixels = read_all(mirror(args.avatar), moved, "pixels")
    found: dict[str, Any] = agreement(pixels, read_all(from_motion, moved))
    for name, curves in (("pixels", pixels), ("motion", read_all(from_motion, moved))):
        row = figures([(curves[one.name], one.clip) for one in some])
        found[name] = {key: row[key] for key in ("r", "closures", "false_closures")}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.lips.recorded", description="lip figures on recorded speech"
    )
    parser.add_argument("--recordings", type=Path, required=True, help="folder of recorded speech")
    parser.add_argument("--model", type=Source.of, default=Source(), help="see above")
    parser.add_argument("--from-motion", action="store_true", help="read motion, not pixels")
    parser.add_argument("--avatar", default="amara", help="whose pixels: of the cast, or an image")
    parser.add_argument("--gaps", type=Path, help="keep the gap curves in this file")
    parser.add_argument("--agree", type=int, metavar="CLIPS", help="compare the two instruments")
    parser.add_argument("--name", default="lips_recorded", help="of the results file")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    talkers, mouths = left_out(args.recordings), real_mouths(args.recordings)
    if args.agree:
        print("agreement of the instruments:", _agree(args, args.model, [*talkers, *mouths]))
        return
    instrument = from_motion if args.from_motion else mirror(args.avatar)
    curves = args.model.curves([*talkers, *mouths], instrument)
    reading = "motion" if args.from_motion else "pixels"
    if args.gaps is not None:
        save(args.gaps, curves, model=str(args.model), read_from=reading)
    speakers = against_phones(talkers, curves)
    print(table({f"{speakers['speakers']} speakers left out": speakers}, "recorded"))
    print("r, mean over speakers:", speakers["r_over_speakers"])
    real = against_mouths(mouths, {str(args.model): curves, **references(mouths)})
    print(mouths_table(real))
    found = {"model": str(args.model), "read_from": reading}
    print(write_result(args.name, found | {"left_out": speakers, "real_lips": real}))


if __name__ == "__main__":
    main()
