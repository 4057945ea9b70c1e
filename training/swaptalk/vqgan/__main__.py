"""Train a VQGAN on a store of faces.

    python -m training.swaptalk.vqgan --data DIR --out RUN
    torchrun --nproc-per-node 4 -m training.swaptalk.vqgan --data DIR --out RUN

Resumable: run the same command again. With torchrun every GPU draws its own batches.
RUN/model.safetensors, put into a folder of weights, is what `load_vqgan` loads.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipelines.swaptalk.vqgan.config import PRESETS
from pipelines.swaptalk.vqgan.weights import read_vqgan
from training.flow_warp.store import read_faces
from training.swaptalk.vqgan.batches import Sampler
from training.swaptalk.vqgan.learner import Learner, Weights
from training.swaptalk.vqgan.run import Plan, Run
from training.swaptalk.vqgan.start import settle
from training.workers import joined

_SHEET = 12  # held-out people on a sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.decoder_only and args.start is None:
        parser.error("--decoder-only goes on from weights: give --start FILE")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    plan = Plan(
        steps=args.steps, begin=0 if args.start else args.begin, rate=args.rate, seed=args.seed,
        critic_from=args.critic_from, report=args.report, sheet=args.sheet, bfloat16=args.bfloat16,
    )  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    learner = _learner(args)
    size = learner.network.config.size
    with joined(args.device) as workers:
        sampler = Sampler(
            read_faces(args.data / "train", args.frames), size, seed=args.seed, rank=workers.rank,
            count=args.count, whole=args.whole,
        )  # fmt: skip
        held_out = Sampler(
            read_faces(args.data / "held_out", args.frames), size, seed=1, count=_SHEET, vary=False
        )
        run = Run(learner, sampler, held_out, args.out, plan, workers, args.loaders)
        run.resume()
        if workers.first:
            print(said(learner, sampler))
        run.train()


def said(learner: Learner, sampler: Sampler) -> str:
    """What a training picture costs, forward and backward, multiply-add counted as two."""
    batch = sampler.draw(0)
    one = replace(batch, pictures=batch.pictures[:1], regions=batch.regions[:1])
    device = next(learner.parameters()).device
    gflop = []
    for whole in (False, True):
        with FlopCounterMode(display=False) as counter:
            learner(replace(one, whole=whole).to(device)).losses["total"].backward()
        gflop.append(counter.get_total_flops() / 1e9)
    learner.zero_grad(set_to_none=True)
    mean = gflop[0] + sampler.whole * (gflop[1] - gflop[0])
    return (
        f"{len(sampler.faces)} people; {mean:.2f} GFLOP per picture: "
        f"{gflop[0]:.2f} for a lower half, {gflop[1]:.2f} for a whole face"
    )


def _learner(args: argparse.Namespace) -> Learner:
    """Of a preset, or with the weights of a file, whose only book then begins both."""
    identity = _named(args.identity) if args.identity else None
    weights = Weights(identity=args.identity_weight)
    if args.start is None:
        learner = Learner(PRESETS[args.config], weights, identity)
        settle(learner.network)
        return learner
    started = read_vqgan(args.start)
    config = replace(started.config, codes_lower=started.config.codes_lower or started.config.codes)
    learner = Learner(config, weights, identity)
    state = started.state_dict()
    for name in [name for name in state if name.startswith("quantize.")]:
        state.setdefault(name.replace("quantize.", "quantize_lower."), state[name].clone())
    learner.network.load_state_dict(state)
    learner.with_codes = True
    if args.decoder_only:
        learner.freeze_codes()
    return learner


def _named(name: str) -> nn.Module:
    """What MODULE:FUNCTION gives.

    Raises:
        SystemExit: no such function, or what it gives is no network.
    """
    module, _, function = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(f"--identity {name}: {error}") from error
    if not isinstance(made, nn.Module):
        raise SystemExit(f"--identity {name}: gives a {type(made).__name__}, not a network")
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.swaptalk.vqgan", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder made by flow_warp.data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--config", choices=PRESETS, default="small")
    parser.add_argument("--frames", type=int, default=256, help="pixels of the store's frames")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument(
        "--begin", type=int, default=Plan.begin,
        help="steps without codes, after which k-means finds the first codebooks",
    )  # fmt: skip
    parser.add_argument(
        "--start", type=Path, help="weights of a VQGAN to begin with, ours or imported"
    )
    parser.add_argument(
        "--decoder-only", action="store_true",
        help="with --start: encoder and codes stay, and with them all that was trained on latents",
    )  # fmt: skip
    parser.add_argument("--rate", type=float, default=Plan.rate)
    parser.add_argument("--count", type=int, default=4, help="pictures per step and worker")
    parser.add_argument("--whole", type=float, default=0.2, help="share of steps with whole faces")
    parser.add_argument(
        "--identity", metavar="MODULE:FUNCTION", default="",
        help="makes a network from pictures [N, 3, S, S] in [-1, 1] to identity vectors [N, E]",
    )  # fmt: skip
    parser.add_argument("--identity-weight", type=float, default=Weights.identity)
    parser.add_argument(
        "--critic-from", type=int, default=Plan.critic_from,
        help="step from which a critic of patches judges; 0: none does",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--report", type=int, default=Plan.report, help="steps between lines")
    parser.add_argument("--sheet", type=int, default=Plan.sheet, help="steps between sheets")
    parser.add_argument("--bfloat16", action="store_true", help="convolve in bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, per worker")
    parser.add_argument(
        "--loaders", type=int, default=0, help="threads that draw batches ahead; for a GPU, 12"
    )
    return parser


if __name__ == "__main__":
    main()
