"""Draw curves of training: `python -m benchmarks.motion.training_curve RUN ... --out FILE.png`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

_PANELS = {"motion": "objective", "lips": "lips, from the sound branch", "phones": "phones, nats"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.motion.training_curve", description="draw the curves of training runs"
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders with a curve.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(11, 3.2), layout="constrained")
    for run in args.runs:
        rows = [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]
        steps = [row["step"] for row in rows]
        for axis, name in zip(axes, _PANELS, strict=True):
            (line,) = axis.plot(steps, [row[f"held_out_{name}"] for row in rows], label=run.name)
            axis.plot(steps, [row[name] for row in rows], ":", color=line.get_color())
    for axis, title in zip(axes, _PANELS.values(), strict=True):
        axis.set(title=title, xlabel="step", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].legend(title="held-out voices; dotted: training")
    figure.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
