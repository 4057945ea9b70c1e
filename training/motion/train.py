"""Train a motion generator on a prepared corpus.

    python -m training.motion.train --corpus DIR [DIR...] --out RUN
    python -m training.motion.train --corpus DIR --out RUN --map RENDERER/model.safetensors

The second diffuses the motion codes of a renderer, by the map that was trained with it.
Resumable: run the same command again. How a run is kept is in `training.run`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.anitalker.weights import map_of
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.motion.network import MotionNetwork
from training.motion.codes import CodeObjective, CodeWindows, unit_of
from training.motion.objectives import Auxiliary, Loss, PhoneHead, Spoken
from training.motion.windows import Batch, Windows
from training.run import BasePlan, BaseRun
from training.speech.corpus_store import LABEL_LIST
from training.workers import Workers

_LOSSES = ("total", "motion", "lips", "phones")

Model = MotionNetwork | MotionGenerator


class Task(Protocol):
    """What a model learns, by losses of windows."""

    name: str
    lengths: Sequence[int]  # of windows in frames, drawn at random
    about: Mapping[str, str]  # what the weights say of themselves

    def __call__(self, model: Any, heads: Any, batch: Batch, /) -> Loss:
        """The losses of a batch; `heads` are what only training has."""


@dataclass(frozen=True, kw_only=True)
class Schedule(BasePlan):
    """How long and how fast."""

    steps: int = 12_000
    frames: int = 1_536  # per step, whatever the windows' length
    rate: float = 1e-3
    warm_up: int = 300
    last_rate: float = 0.03
    average: float = 0.999
    report: int = 250

    @property
    def level(self) -> float:
        """The rate falls as soon as it has risen."""
        return self.warm_up


class Trainer(BaseRun):
    """Trains a motion generator."""

    shown = ("motion", "held_out_motion")
    plan: Schedule

    def __init__(
        self, model: Model, objective: Task,
        auxiliary: nn.Module, corpora: Sequence[Path], out: Path, plan: Schedule,
        windows: Callable[[Sequence[Path], int], Windows] = Windows,
    ) -> None:  # fmt: skip
        torch.manual_seed(plan.seed)
        self.name, self.objective, self.auxiliary = objective.name, objective, auxiliary
        parts = nn.ModuleList([model, auxiliary])
        decay = [p for p in parts.parameters() if p.dim() > 1]
        plain = [p for p in parts.parameters() if p.dim() <= 1]
        groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98))
        alone = Workers(torch.device("cpu"))
        super().__init__(parts, model, optimiser, out, plan, alone, plan.report)
        self.windows = windows([corpus / "train" for corpus in corpora], plan.seed)
        self.held_out = windows([corpus / "validation" for corpus in corpora], plan.seed)

    def update(self) -> dict[str, float]:
        """Take the step number `step`; returns its losses."""
        frames = int(self.windows.chance.choice(self.objective.lengths))
        batch = self.windows.draw(max(self.plan.frames // frames, 1), frames, vary=True)
        self.learner.train()
        loss = self._loss(batch)
        self.descend(loss.total)
        self.follow()
        return {name: float(getattr(loss, name).detach()) for name in _LOSSES}

    def _loss(self, batch: Batch) -> Loss:
        with torch.autocast("cpu", dtype=torch.bfloat16):  # a third faster, and as good
            return self.objective(self.network, self.auxiliary, batch)

    def report(self, means: dict[str, float]) -> dict[str, float]:
        """Write down mean losses, and those of the average on held-out voices."""
        state = torch.get_rng_state()
        torch.manual_seed(1)
        self.held_out.chance = type(self.windows.chance)(type(self.windows.chance.bit_generator)(1))
        length = max(self.objective.lengths)
        with self.averaged():
            losses = [self._loss(self.held_out.draw(1_200 // length, length)) for _ in range(4)]
        torch.set_rng_state(state)
        held_out = {
            f"held_out_{name}": float(torch.stack([getattr(x, name) for x in losses]).mean())
            for name in _LOSSES[1:]
        }
        return super().report(means | held_out)

    def about(self) -> dict[str, str]:
        """What the weights say of themselves."""
        return super().about() | {"objective": self.objective.name} | dict(self.objective.about)

    def state(self) -> dict[str, Any]:
        """What `take_up` needs, beside what every run has."""
        return {
            "parts": self.learner.state_dict(),
            "torch": torch.get_rng_state(),
            "windows": json.dumps(self.windows.chance.bit_generator.state),
        }

    def take_up(self, held: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.learner.load_state_dict(held["parts"])
        torch.set_rng_state(held["torch"])
        self.windows.chance.bit_generator.state = json.loads(held["windows"])


def _generator_of_codes(weights: Path | None, code_dim: int) -> MotionGenerator:
    """Its output is new, at rest to begin with; the rest may come from any of our generators."""
    model = MotionGenerator(replace(PRESETS["codes"], motion_dim=code_dim))
    if weights is not None:
        model.load_state_dict(load_file(weights), strict=False)
    nn.init.zeros_(model.out_proj.weight)
    nn.init.zeros_(model.out_proj.bias)
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="training.motion.train", description="train a motion generator"
    )
    parser.add_argument(
        "--corpus", type=Path, nargs="+", required=True, help="folders made by training.corpus"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--start", type=Path, help="weights to start from")
    parser.add_argument("--map", type=Path, help="of a renderer's run: diffuse its motion codes")
    parser.add_argument("--without", nargs="+", default=[], help="speakers to leave out")
    parser.add_argument("--real", type=float, default=0.3, help="weight of real lips, 0 for none")
    parser.add_argument("--steps", type=int, default=Schedule.steps)
    parser.add_argument("--rate", type=float, default=Schedule.rate)
    parser.add_argument("--seed", type=int, default=Schedule.seed)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    plan = Schedule(steps=args.steps, rate=args.rate, seed=args.seed)
    if args.map is not None:
        trainer = _of_codes(args.map, args.start, args.corpus, args.out, plan)
    else:
        trainer = _of_motion(args, plan)
    trainer.resume()
    trainer.train()


def _of_motion(args: argparse.Namespace, plan: Schedule) -> Trainer:
    torch.manual_seed(plan.seed)
    network = MotionNetwork()
    if args.start is not None:
        network.load_state_dict(load_file(args.start))
    task = Spoken(network, args.real)
    windows = partial(Windows, without=args.without)
    return Trainer(network, task, PhoneHead(network), args.corpus, args.out, plan, windows)


def _of_codes(
    map_file: Path, start: Path | None, corpora: Sequence[Path], out: Path, plan: Schedule
) -> Trainer:
    to_code = map_of(load_file(map_file), str(map_file))
    model = _generator_of_codes(start, to_code.code_dim)
    model.unit.copy_(unit_of([corpus / "train" for corpus in corpora], to_code))
    windows = partial(CodeWindows, to_code=to_code, unit=model.unit)
    head = Auxiliary(model.config.speech_dim, model.config.rows_per_frame, len(LABEL_LIST))
    return Trainer(model, CodeObjective(to_code), head, corpora, out, plan, windows)


if __name__ == "__main__":
    main()
