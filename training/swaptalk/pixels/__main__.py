"""Train the pixel module on a store of faces.

    python -m training.swaptalk.pixels --data STORE --out RUN
    torchrun --nproc-per-node 4 -m training.swaptalk.pixels --data STORE --out RUN

Run the same command again to go on. To compare with latent lips give it the steps of theirs; with
`--batch 8` a step takes about as long as one of theirs with 40, for its pictures are larger.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from training.flow_warp.store import SPLITS
from training.swaptalk.pixels.faces import read_squares
from training.swaptalk.pixels.learner import PixelLearner
from training.swaptalk.pixels.network import PixelConfig, PixelLips, metadata_of
from training.swaptalk.run import Plan, Run
from training.swaptalk.samplers import LipSampler
from training.workers import Workers, joined

_HELD_OUT_SEED = 1
_OF_A_PERSON = 2  # rows of a batch


def prepare(
    args: argparse.Namespace, plan: Plan, workers: Workers, config: PixelConfig | None = None
) -> Run:
    """The run that `args` ask for, as far as it has come."""
    config = config or PixelConfig()
    faces, held_out = (read_squares(args.data / split, config.size) for split in SPLITS)
    torch.manual_seed(plan.seed)
    learner = PixelLearner(PixelLips(config))
    frames = min(_OF_A_PERSON, args.batch)
    shape = (args.batch // frames, frames, config.ear.tokens, config.ear.ahead)
    draw = LipSampler(faces, *shape, seed=plan.seed, rank=workers.rank)
    judge = LipSampler(held_out, *shape, seed=_HELD_OUT_SEED)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(learner, draw.draw, judge.draw, args.out, plan, workers, "pixels", metadata_of)
    run.resume()
    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.swaptalk.pixels", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder made by flow_warp.data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--batch", type=int, default=8, help="rows per step and worker")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--rate", type=float, default=Plan.rate)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--report", type=int, default=Plan.report, help="steps between lines")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, per worker")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    plan = Plan(steps=args.steps, rate=args.rate, seed=args.seed, report=args.report)
    with joined(args.device) as workers:
        prepare(args, plan, workers).train()


if __name__ == "__main__":
    main()
