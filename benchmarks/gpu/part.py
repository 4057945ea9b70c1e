"""Parts of a run: what is measured in one process, until its time is over.

A kernel that goes wrong takes its process's card with it, so each part has a process of its own,
and a fresh one goes on behind what killed it.
"""

from __future__ import annotations

import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import Record

Figure = tuple[str, Callable[[], Any]]
"""A name, and what measures it."""
Figures = Iterator[Figure]
GRACE_S = 20.0  # beyond its limit, for the figure that is being measured
POISONED = 3
"""What a process ends with whose card answers no more after an error that it has booked."""
_DEATHS = 3  # of one part's processes, after which it is left


LIMITS = {
    "card": 30.0,
    "kernels": 110.0,
    "graphs": 70.0,
    "steps of portrait": 90.0,
    "steps of anitalker": 90.0,
    "steps of swaptalk": 90.0,
}
"""The parts in the order of their worth, for the last are missing where time runs out; and seconds
in which each begins figures."""


def measure(part: str, figures: Figures, record: Record, limit_s: float) -> None:
    """Take the figures that `record` lacks, in this process."""
    deadline = time.monotonic() + limit_s
    for name, work in figures:
        what = f"{part}: {name}"
        if record.has(part, name):
            continue
        if time.monotonic() > deadline:
            record.leave_out(what)
            continue
        record.take_in(what)
        record.begin(part, name)
        try:
            record.put(part, name, work())
        except Exception as error:  # of whatever kind: the next figure may be had
            record.fail(part, name, in_words(error))
            traceback.print_exc(limit=-4)
            if poisons(error):
                raise SystemExit(POISONED) from error
        print(f"{what}: {str(record.held['figures'][part][name])[:300]}", flush=True)


def in_words(error: Exception) -> str:
    """What went wrong, short enough for a record."""
    return f"{type(error).__name__}: {str(error)[:600]}"


def poisons(error: Exception) -> bool:
    """Whether the card answers this process no more."""
    return "CUDA error" in str(error) or "illegal memory" in str(error)


def in_processes(
    part: str, out: Path, run: str, limit_s: float, command: Callable[[float], list[str]]
) -> None:
    """Take the part's figures in processes of their own, until the time is over.

    command: given the seconds that are left, what measures the part into the record at `out`.
    """
    begin = time.monotonic()
    for _ in range(_DEATHS):
        left = limit_s - (time.monotonic() - begin)
        if left <= 0.0:
            return
        try:
            code = subprocess.run(command(left), timeout=left + GRACE_S, check=False).returncode
            why = f"its process ended with {code}"
        except subprocess.TimeoutExpired:
            code, why = -1, f"still measured {GRACE_S:.0f} s after the part's end"
        if code == 0:
            return
        if code != POISONED:
            Record(out, run=run).died(part, why)
