"""What the motion of one hop costs: features, motion network and idle life, on one thread.

    python -m benchmarks.speed.motion [--old CHECKOUT] [--slots 1 4] [--backends torch onnxruntime]
        [--rounds 8] [--hops 100] [--weights FILE|RUN]

CPU time of the process per hop (not wall time: others use the machine too), median and 95th
percentile, for slots stepped together. Every state of the tree and every back end runs in a process
of its own; rounds of `--hops` go to them in turn, so that what else the machine does meets all
alike. Old against new: how many times less CPU, the median of the rounds' ratios. Memory is what
the process holds at the end, and by how much it grew from before the model was loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.service.signals import clicks_and_vowels
from benchmarks.timing import quantiles, write_result
from benchmarks.weights_by_path import named
from pipelines.machine import measure_machine
from pipelines.motion.space import PORTRAIT_WEIGHTS

CHECKOUT = Path(__file__).parents[2]
BACKENDS = ("torch", "onnxruntime")
OLD = "old"
_WORKER = Path(__file__).with_name("motion_worker.py")
_MORE = "most slots cost, times the fewest | times less CPU than old | resident MB (grown by)"
_WARM_UP = 50  # hops: caches of the past are full, code is compiled


@dataclass
class Rounds:
    """What one process said of one number of slots: milliseconds per hop of each round."""

    rounds: list[list[float]] = field(default_factory=list)

    def medians(self) -> list[float]:
        return [statistics.median(times) for times in self.rounds]

    def figures(self) -> dict[str, float]:
        """p50, p95, p99 over the hops of all rounds."""
        return quantiles([ms for times in self.rounds for ms in times], 3) or {}


def ratio(slower: Rounds, faster: Rounds) -> float:
    """How many times less the second costs: the median of the ratios of rounds taken in turn."""
    pairs = zip(slower.medians(), faster.medians(), strict=True)
    return round(statistics.median(a / b for a, b in pairs), 2)


class Worker:
    """A process with the motion of one checkout and back end."""

    def __init__(self, checkout: Path, backend: str, sound: Path, weights: str) -> None:
        self.memory: dict[str, float] = {}
        words = [sys.executable, "-P", str(_WORKER), str(sound), backend, weights]
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            words, cwd=checkout, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def step(self, slots: int, hops: int) -> list[float]:
        """CPU milliseconds of each hop.

        Raises:
            RuntimeError: the process ended; it said why on the error stream.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{slots} {hops}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the empty answer tells
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the worker ended")
        told: dict[str, Any] = json.loads(answer)
        self.memory = {name: round(told[name], 1) for name in ("resident_mb", "grown_mb")}
        times: list[float] = told["cpu_ms"]
        return times


def measure(
    sides: dict[str, Worker], slots: Sequence[int], rounds: int, hops: int
) -> dict[str, dict[int, Rounds]]:
    """Rounds of hops, side after side, for each number of slots."""
    found = {name: {count: Rounds() for count in slots} for name in sides}
    for count in slots:
        for worker in sides.values():
            worker.step(count, _WARM_UP)
        for _ in range(rounds):
            for name, worker in sides.items():
                found[name][count].rounds.append(worker.step(count, hops))
    return found


def open_sides(
    old: Path | None, backends: Sequence[str], sound: Path, weights: str = PORTRAIT_WEIGHTS
) -> dict[str, Worker]:
    """A worker per side that can run here; others are left out, with a word about why."""
    wanted = {} if old is None else {OLD: (old.resolve(), "torch", PORTRAIT_WEIGHTS)}
    wanted |= {name: (CHECKOUT, name, weights) for name in backends}
    sides: dict[str, Worker] = {}
    for name, (checkout, backend, which) in wanted.items():
        worker = Worker(checkout, backend, sound, which)
        try:
            worker.step(1, 1)
        except RuntimeError:
            print(f"left out: {name} does not run here (why stands above)")
            worker.__exit__(None, None, None)
            continue
        sides[name] = worker
    return sides


def table(figures: dict[str, Any], slots: Sequence[int]) -> str:
    """Markdown: a line per side."""
    heads = [f"{n} slot{'s' * (n > 1)}: median, p95 ms CPU" for n in slots]
    lines = [f"| motion of | {' | '.join(heads)} | {_MORE} |", "|---" * (len(slots) + 4) + "|"]
    for name, row in figures.items():
        cells = [f"{row[f'{n}']['p50']:.2f}, {row[f'{n}']['p95']:.2f}" for n in slots]
        memory = f"{row['resident_mb']:.0f} ({row['grown_mb']:.0f})"
        less = ", ".join(f"{times:g}" for times in row.get("times_less_than_old", {}).values())
        lines.append(
            f"| {name} | {' | '.join(cells)} | {row['most_over_least_slots']:.2f} | "
            f"{less or '-'} | {memory} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--old", type=Path, help="a checkout of the state before")
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=BACKENDS)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--hops", type=int, default=100)
    parser.add_argument("--weights", type=Path, help="of the new state: a file, or a run")
    args = parser.parse_args(argv)
    chosen = nullcontext(PORTRAIT_WEIGHTS) if args.weights is None else named(args.weights)
    with chosen as weights, tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.npy"
        np.save(sound, clicks_and_vowels(20)[::3].astype(np.float32))
        sides = open_sides(args.old, args.backends, sound, weights)
        if not sides:
            raise SystemExit("nothing runs here")
        found = measure(sides, args.slots, args.rounds, args.hops)
        figures: dict[str, Any] = {}
        for name, worker in sides.items():
            row: dict[str, Any] = {str(n): held.figures() for n, held in found[name].items()}
            if OLD in found and name != OLD:
                row["times_less_than_old"] = {
                    str(n): ratio(found[OLD][n], found[name][n]) for n in args.slots
                }
            most, least = (found[name][count(args.slots)] for count in (max, min))
            row["most_over_least_slots"] = ratio(most, least)
            figures[name] = row | worker.memory
            worker.__exit__(None, None, None)
    print(table(figures, args.slots))
    print("this machine:", json.dumps(measure_machine()._asdict()))
    print(write_result("motion_step", figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
