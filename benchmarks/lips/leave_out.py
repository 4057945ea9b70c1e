"""Real lips of speakers whom nothing was fitted to: each left out in turn, before and after.

    python -m benchmarks.lips.leave_out --recordings DIR --runs RUNS/without_{speaker} [...]
        --before FILE.json|[WEIGHTS][@CHECKOUT] [--fits FITS/without_{speaker}.json]

The network of the run that was trained without a speaker, articulation and all, says that speaker's
sentences; several `--runs` are trainings that differ in their seed, of which r is the mean.
`--fits` are the articulation models refitted without the speaker, for the row of perfect phones,
since the shipped one was fitted to all. r as in `benchmarks.lips.recorded`, gaps read from the
motion. Brackets are 95 % bootstrap intervals; the gain is taken clip by clip, so its interval is
that of paired values. Speakers of one or two clips have no interval of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lips.curves import Source
from benchmarks.lips.held_out import Said, real_mouths, speakers_of
from benchmarks.lips.instruments import from_motion
from benchmarks.lips.intervals import over_clips, over_speakers
from benchmarks.lips.recorded import ALL, follow_real, references
from benchmarks.timing import write_result
from training.motion.articulation import ArticulationConfig

Values = dict[str, float]
"""r by the name of the clip."""

AFTER, BEFORE, GAIN = "after", "before", "after less before"


def without(pattern: str, speaker: str) -> Path:
    """What was made without a speaker.

    Raises:
        ValueError: the pattern names no speaker, or there is nothing there.
    """
    if "{speaker}" not in pattern:
        raise ValueError(f"{pattern} must hold {{speaker}}, or it is the same for all")
    path = Path(pattern.replace("{speaker}", speaker))
    if not path.exists():
        raise ValueError(f"nothing made without {speaker}: {path} does not exist")
    return path


def r_of(said: Sequence[Said], source: Source) -> Values:
    """r of each clip with the speaker's own lips."""
    curves = source.curves(said, from_motion)
    return {name: one.r for name, one in follow_real(said, curves).items()}


def unheard(said: Sequence[Said], patterns: Sequence[str]) -> Values:
    """r of each clip by the runs that did not see its speaker, the mean of all patterns."""
    found: dict[str, list[float]] = {one.name: [] for one in said}
    for pattern in patterns:
        for speaker in speakers_of(said):
            own = [one for one in said if one.speaker == speaker]
            for name, r in r_of(own, Source(without(pattern, speaker))).items():
                found[name].append(r)
    return {name: float(np.mean(values)) for name, values in found.items()}


def rows(said: Sequence[Said], r: Mapping[str, Values]) -> dict[str, Any]:
    """By speaker and for all: an interval of each kind of r, and of the gain clip by clip."""
    kinds: dict[str, Values] = dict(r)
    kinds[GAIN] = {name: r[AFTER][name] - r[BEFORE][name] for name in r[AFTER]}
    found: dict[str, Any] = {}
    by: dict[str, dict[str, list[float]]] = {
        kind: {
            speaker: [values[one.name] for one in said if one.speaker == speaker]
            for speaker in speakers_of(said)
        }
        for kind, values in kinds.items()
    }
    for speaker in speakers_of(said):
        found[speaker] = {kind: over_clips(by[kind][speaker]) for kind in kinds}
    found[ALL] = {kind: over_speakers(by[kind]) for kind in kinds}
    return found


def table(found: Mapping[str, Any]) -> str:
    """`rows` as markdown."""
    kinds = list(found[ALL])
    lines = ["| speaker | clips | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 2) + "|"]
    for speaker, row in found.items():
        cells = " | ".join(str(row[kind]) for kind in kinds)
        lines.append(f"| {speaker} | {row[kinds[0]].count} | {cells} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.lips.leave_out", description="speakers with real lips left out in turn"
    )
    parser.add_argument("--recordings", type=Path, required=True, help="folder of recorded speech")
    parser.add_argument("--runs", nargs="+", required=True, metavar="PATTERN")
    parser.add_argument("--before", type=Source.of, required=True)
    parser.add_argument("--fits", metavar="PATTERN", help="articulation models of the refit")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    said = real_mouths(args.recordings)
    fits = {}
    if args.fits is not None:
        fits = {s: ArticulationConfig.load(without(args.fits, s)) for s in speakers_of(said)}
    r = {
        name: {clip: one.r for clip, one in follow_real(said, curves).items()}
        for name, curves in references(said, fits).items()
    }
    r |= {BEFORE: r_of(said, args.before), AFTER: unheard(said, args.runs)}
    found = rows(said, r)
    print(table(found))
    kept = {
        speaker: {kind: one.numbers() for kind, one in row.items()}
        for speaker, row in found.items()
    }
    print(write_result("lips_leave_out", {"before": str(args.before), "r": kept, "by_clip": r}))


if __name__ == "__main__":
    main()
