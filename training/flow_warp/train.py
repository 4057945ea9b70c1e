"""Train the flow-warp renderer on a store of faces.

    python -m training.flow_warp.train --data DIR --out RUN
    torchrun --nproc-per-node 4 -m training.flow_warp.train --data DIR --out RUN

Resumable: run the same command again. With torchrun every GPU draws its own batches.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.anitalker.config import OFFICIAL, SMALL
from training.flow_warp.batches import Sampler
from training.flow_warp.run import Plan, Run, as_published
from training.flow_warp.store import read_faces
from training.workers import joined

CONFIGS = {"small": SMALL, "official": OFFICIAL}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(args.threads)
    config = CONFIGS[args.config]
    plan = Plan(
        steps=args.steps, rate=args.rate, seed=args.seed, bfloat16=args.bfloat16,
        report=args.report, sheet=args.sheet, map_share=args.map_share,
    )  # fmt: skip
    if args.published:
        plan, config, args.mapped = as_published(plan), replace(config, paints=False), 0.0
    args.out.mkdir(parents=True, exist_ok=True)
    with joined(args.device) as workers:
        sampler = Sampler(
            read_faces(args.data / "train", config.size), seed=args.seed, rank=workers.rank,
            pairs=args.pairs, drives=args.drives, mapped=args.mapped,
        )  # fmt: skip
        held_out = Sampler(read_faces(args.data / "held_out", config.size), seed=1, vary=False)
        run = Run(
            config,
            sampler,
            held_out,
            args.out,
            plan,
            workers,
            args.tensorboard,
            args.begin,
            args.loaders,
        )
        run.resume()
        run.train()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.flow_warp.train", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder made by flow_warp.data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--begin", type=Path,
        help="model.safetensors of a run to begin with, of the same size or of half of it",
    )  # fmt: skip
    parser.add_argument("--map-share", type=float, default=Plan.map_share)
    parser.add_argument("--config", choices=CONFIGS, default="small")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--rate", type=float, default=Plan.rate)
    parser.add_argument("--pairs", type=int, default=2, help="of identities, per step and worker")
    parser.add_argument("--drives", type=int, default=2, help="driving frames per identity")
    parser.add_argument(
        "--mapped", type=float, default=1.0, help="share of steps drawn from known motion"
    )
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--report", type=int, default=Plan.report, help="steps between lines")
    parser.add_argument("--sheet", type=int, default=Plan.sheet, help="steps between sheets")
    parser.add_argument(
        "--published", action="store_true",
        help="the paper's recipe instead: from pictures alone, painting nothing",
    )  # fmt: skip
    parser.add_argument("--bfloat16", action="store_true", help="convolve in bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, per worker")
    parser.add_argument(
        "--loaders", type=int, default=0, help="threads that draw batches ahead; for a GPU, 12"
    )
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard events")
    return parser


if __name__ == "__main__":
    main()
