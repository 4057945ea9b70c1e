"""What each step of a development gave: trainings side by side on one held-out set.

    python -m benchmarks.lips.steps --recordings DIR NAME=RUN[,RUN][@CHECKOUT] ... [--name N]

A step is a name and its runs, which differ in their seed; a run of an older network needs the
checkout whose code runs it. RUN may be a file of gap curves too. Held out are synthetic
voices, recorded speakers, and speakers with real lips beside, whom no run may have seen therefore.
Gaps are read from the motion; the reference mouth is this tree's. Prints markdown: the mean of a
step's runs and how far they lie apart; keeps everything as JSON.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.lips.curves import Curves, Source
from benchmarks.lips.held_out import Said, left_out, real_mouths, synthetic
from benchmarks.lips.instruments import from_motion
from benchmarks.lips.recorded import (
    ALL,
    LOUDNESS,
    PHONES,
    against_phones,
    follow_real,
    intervals,
    references,
)
from benchmarks.timing import write_result

Row = dict[str, float | None]

_COLUMNS = {  # of the table: title, figure, how it is written
    "r, synthetic": ("synthetic_r", "{:.3f}"),
    "closures": ("synthetic_closures", "{:.0%}"),
    "false": ("synthetic_false", "{:.1%}"),
    "r, recorded": ("recorded_r", "{:.3f}"),
    "closures ": ("recorded_closures", "{:.0%}"),
    "false ": ("recorded_false", "{:.1%}"),
    "r, real lips": ("real_r", "{:.3f}"),
    "low": ("real_low", "{:.3f}"),
    "high": ("real_high", "{:.3f}"),
}


@dataclass(frozen=True)
class Step:
    """Trainings that differ in nothing but their seed."""

    name: str
    runs: tuple[Source, ...]

    @classmethod
    def of(cls, text: str) -> Step:
        """`NAME=RUN[,RUN][@CHECKOUT]`; ValueError where that is not what it says."""
        name, _, told = text.partition("=")
        runs, at, checkout = told.partition("@")
        if not name or not runs:
            raise ValueError(f"a step is NAME=RUN[,RUN][@CHECKOUT], got {text!r}")
        return cls(name, tuple(Source.of(run + at + checkout) for run in runs.split(",")))


@dataclass(frozen=True)
class HeldOut:
    """Everything that no run has heard."""

    synthetic: list[Said]
    recorded: list[Said]
    mouths: list[Said]

    @property
    def everything(self) -> list[Said]:
        return [*self.synthetic, *self.recorded, *self.mouths]

    def row(self, curves: Curves) -> Row:
        """The figures of one run."""
        found: Row = {}
        for name in ("synthetic", "recorded"):
            row = against_phones(getattr(self, name), curves)
            found |= {
                f"{name}_r": row["r_over_speakers"]["mean"],
                f"{name}_closures": row["closures"],
                f"{name}_false": row["false_closures_where_reference_open"],
            }
        return found | self.real(curves)

    def real(self, curves: Curves) -> Row:
        """Those that need no model: against real mouths, with the interval over speakers."""
        r = intervals(self.mouths, follow_real(self.mouths, curves))[ALL]
        return {"real_r": r.mean, "real_low": r.low, "real_high": r.high}


def mean_row(rows: Sequence[Row]) -> Row:
    """Mean of each figure; `spread`: the largest less the least r on real mouths."""
    found: Row = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        known = [value for value in values if value is not None]
        found[key] = float(np.mean(known)) if len(known) == len(values) else None
    r = [row["real_r"] for row in rows if row["real_r"] is not None]
    return found | {"spread": max(r) - min(r) if len(rows) > 1 else None}


def table(rows: Mapping[str, Row]) -> str:
    """Markdown, a line per step; what a step lacks is a dash."""
    columns = {**_COLUMNS, "runs apart by": ("spread", "{:.3f}")}
    lines = ["| step | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = (_cell(row.get(key), how) for key, how in columns.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None, how: str) -> str:
    return "-" if value is None else how.format(value)


def measure(
    steps: Sequence[Step], held_out: HeldOut, say: Callable[[str], None] = print
) -> dict[str, list[Row]]:
    """The rows of each step's runs, said as they are known."""
    found: dict[str, list[Row]] = {}
    for step in steps:
        found[step.name] = []
        for run in step.runs:
            row = held_out.row(run.curves(held_out.everything, from_motion))
            found[step.name].append(row)
            say(f"{step.name}, {run}: {row}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.lips.steps", description="trainings side by side, held-out speech"
    )
    parser.add_argument("steps", type=Step.of, nargs="+", metavar="NAME=RUN[,RUN][@CHECKOUT]")
    parser.add_argument("--recordings", type=Path, required=True, help="folder of recorded speech")
    parser.add_argument("--lips-of", nargs="+", help="only these speakers' real lips")
    parser.add_argument("--name", default="lips_steps", help="of the results file")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    mouths = real_mouths(args.recordings)
    if args.lips_of:
        mouths = [mouth for mouth in mouths if mouth.speaker in args.lips_of]
    held_out = HeldOut(synthetic(), left_out(args.recordings), mouths)
    runs = measure(args.steps, held_out)
    rows: dict[str, Row] = {name: mean_row(found) for name, found in runs.items()}
    given = references(held_out.mouths)
    rows |= {name: held_out.real(given[name]) for name in (PHONES, LOUDNESS)}
    print(table(rows))
    print(write_result(args.name, {"rows": rows, "runs": runs}))


if __name__ == "__main__":
    main()
