"""Train swap, sync expert or lips on latents; each is one resumable command.

    python -m training.swaptalk.latents --data DIR --out LATENTS ...
    python -m training.swaptalk.train swap --data LATENTS --out RUN \\
        --vqgan VQGAN.safetensors --recogniser RECOGNISER.safetensors
    python -m training.swaptalk.train expert --data LATENTS --out EXPERT
    python -m training.swaptalk.train lips --data LATENTS --out RUN \\
        --expert EXPERT/model.safetensors
    torchrun --nproc-per-node 4 -m training.swaptalk.train lips --data LATENTS --out RUN ...

Run the same command again to go on. With torchrun every GPU draws its own batches.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.swaptalk.config import (
    SMALL_EXPERT,
    SMALL_LIPS,
    SMALL_SWAP,
    ExpertConfig,
    LatentConfig,
    LipConfig,
    SwapConfig,
)
from pipelines.swaptalk.expert import SyncExpert
from pipelines.swaptalk.lips import LipSync
from pipelines.swaptalk.swap import Swap
from pipelines.swaptalk.vqgan.weights import read_vqgan
from pipelines.swaptalk.weights import load_expert
from pipelines.weights import read_metadata
from training.flow_warp.store import SPLITS
from training.recognise.recogniser import recogniser
from training.swaptalk.latents import LatentFace, read_latents
from training.swaptalk.learners import ExpertLearner, LipLearner, SwapLearner
from training.swaptalk.losses import Recognised
from training.swaptalk.run import Plan, Run
from training.swaptalk.samplers import ExpertSampler, LipSampler, SwapSampler
from training.workers import Workers, joined

_SCALED_ON = 256  # frames that give the scale of latents
_HELD_OUT_SEED = 1


Faces = Sequence[LatentFace]
Sampler = SwapSampler | ExpertSampler | LipSampler
Parts = tuple[SwapLearner | ExpertLearner | LipLearner, Sampler, Sampler]
"""The network with its losses, and what draws its batches and those that judge it."""


def _swap(args: argparse.Namespace, faces: Faces, held_out: Faces, rank: int) -> Parts:
    config = replace(SMALL_SWAP if args.config == "small" else SwapConfig(), latent=faces[0].shape)
    draw = SwapSampler(faces, args.batch, seed=args.seed, rank=rank)
    judge = SwapSampler(held_out, args.batch, seed=_HELD_OUT_SEED)
    recognise = _recognise(args, config.latent)
    return SwapLearner(Swap(config), recognise, recognised=args.recognised), draw, judge


def _recognise(args: argparse.Namespace, latent: LatentConfig) -> Recognised | None:
    """What says whose face latents are, if asked for."""
    if args.vqgan is None and args.recogniser is None:
        return None
    if args.vqgan is None or args.recogniser is None:
        raise ValueError("identity losses need both --vqgan and --recogniser")
    vqgan = read_vqgan(args.vqgan)
    if vqgan.config.code_dim != latent.dim:
        raise ValueError(
            f"{args.vqgan} decodes cells of {vqgan.config.code_dim} numbers, "
            f"{args.data} holds cells of {latent.dim}"
        )
    return Recognised(vqgan, recogniser(args.recogniser))


def _expert(args: argparse.Namespace, faces: Faces, held_out: Faces, rank: int) -> Parts:
    config = SMALL_EXPERT if args.config == "small" else ExpertConfig()
    config = replace(config, latent=faces[0].shape)
    draw = ExpertSampler(faces, args.batch, config.frames, seed=args.seed, rank=rank)
    judge = ExpertSampler(held_out, args.batch, config.frames, seed=_HELD_OUT_SEED)
    return ExpertLearner(SyncExpert(config)), draw, judge


def _lips(args: argparse.Namespace, faces: Faces, held_out: Faces, rank: int) -> Parts:
    config = replace(SMALL_LIPS if args.config == "small" else LipConfig(), latent=faces[0].shape)
    expert = None if args.expert is None else load_expert(args.expert)
    if expert is not None and read_metadata(args.expert).get("encoder") != faces[0].encoder:
        raise ValueError(f"{args.expert} knows the latents of another encoder than {args.data}")
    frames = ExpertConfig.frames if expert is None else expert.config.frames
    shape = (max(args.batch // frames, 1), frames, config.ear.tokens, config.ear.ahead)
    draw = LipSampler(faces, *shape, seed=args.seed, rank=rank)
    judge = LipSampler(held_out, *shape, seed=_HELD_OUT_SEED)
    return LipLearner(LipSync(config), expert, args.sync_weight), draw, judge


COMMANDS = {"swap": _swap, "expert": _expert, "lips": _lips}


def prepare(args: argparse.Namespace, workers: Workers) -> Run:
    """The run that `args` ask for, as far as it has come."""
    faces, held_out = (read_latents(args.data / split) for split in SPLITS)
    encoder = faces[0].encoder
    if held_out[0].encoder != encoder:
        raise ValueError(f"{args.data} holds latents of {encoder} and {held_out[0].encoder}")
    torch.manual_seed(args.seed)
    learner, draw, judge = COMMANDS[args.command](args, faces, held_out, workers.rank)
    learner.network.scale.fit(draw.maps(_SCALED_ON))
    plan = Plan(
        steps=args.steps, rate=args.rate, seed=args.seed, report=args.report,
        bfloat16=args.bfloat16,
    )  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(learner, draw.draw, judge.draw, args.out, plan, workers, encoder)
    run.resume()
    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(args.threads)
    with joined(args.device) as workers:
        prepare(args, workers).train()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.swaptalk.train", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    helps = {"swap": "faces onto faces", "expert": "which lips fit", "lips": "lips that move"}
    for name in COMMANDS:
        command = commands.add_parser(name, help=helps[name])
        command.add_argument(
            "--data", type=Path, required=True, help="folder made by swaptalk.latents"
        )
        command.add_argument("--out", type=Path, required=True, help="folder of the run")
        command.add_argument("--config", choices=("small", "full"), default="small")
        command.add_argument("--batch", type=int, default=40, help="rows per step and worker")
        command.add_argument("--steps", type=int, default=Plan.steps)
        command.add_argument("--rate", type=float, default=Plan.rate)
        command.add_argument("--seed", type=int, default=Plan.seed)
        command.add_argument("--report", type=int, default=Plan.report, help="steps between lines")
        command.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
        command.add_argument("--device", default="auto")
        command.add_argument("--threads", type=int, default=1, help="of the CPU, per worker")
    commands.choices["lips"].add_argument(
        "--expert", type=Path, help="model.safetensors of an expert, for the sync loss"
    )
    commands.choices["lips"].add_argument(
        "--sync-weight", type=float, default=0.03, help="of the sync loss beside that of the codes"
    )
    swap = commands.choices["swap"]
    swap.add_argument("--vqgan", type=Path, help="weights of the VQGAN whose latents these are")
    swap.add_argument(
        "--recogniser", type=Path,
        help="file of python -m training.recognise, with --vqgan: for identity losses",
    )  # fmt: skip
    swap.add_argument(
        "--recognised", type=int, default=8, metavar="ROWS",
        help="of a step and worker that the recogniser sees, which costs 8 GFLOP each",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    main()
