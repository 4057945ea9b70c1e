"""Train a motion generator on a prepared corpus.

    python -m training.motion.train --corpus DIR [DIR...] --out RUN
    python -m training.motion.train --corpus DIR --out RUN --map RENDERER/model.safetensors

The second diffuses the motion codes of a renderer, by the map that was trained with it.
Resumable: run the same command again. RUN/curve.jsonl holds a line per report, RUN/last.pt what is
needed to go on, RUN/model.safetensors the moving average of the weights, which is what to use.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from pipelines.anitalker.weights import map_of
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.motion.network import MotionNetwork
from training.motion.codes import CodeObjective, CodeWindows, unit_of
from training.motion.objectives import Auxiliary, Loss, PhoneHead, Spoken
from training.motion.windows import Batch, Windows
from training.speech.corpus_store import LABEL_LIST

Model = MotionNetwork | MotionGenerator


class Task(Protocol):
    """What a model learns, by losses of windows."""

    name: str
    lengths: Sequence[int]  # of windows in frames, drawn at random
    about: Mapping[str, str]  # what the weights say of themselves

    def __call__(self, model: Any, heads: Any, batch: Batch, /) -> Loss:
        """The losses of a batch; `heads` are what only training has."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast."""

    steps: int = 12_000
    frames: int = 1_536  # per step, whatever the windows' length
    rate: float = 1e-3
    warm_up: int = 300
    last_rate: float = 0.03  # share of `rate` that is left at the end
    average: float = 0.999  # of the moving average, when it has warmed up
    clip: float = 1.0
    seed: int = 0
    report: int = 250


class Trainer:
    """A run: everything that changes while training, and how it is kept."""

    def __init__(
        self, model: Model, objective: Task,
        auxiliary: nn.Module, corpora: Sequence[Path], out: Path, plan: Schedule,
        windows: Callable[[Sequence[Path], int], Windows] = Windows,
    ) -> None:  # fmt: skip
        torch.manual_seed(plan.seed)
        self.model, self.objective, self.plan, self.out = model, objective, plan, out
        self.auxiliary = auxiliary
        self.parts = nn.ModuleList([self.model, self.auxiliary])
        self.average = {name: value.clone() for name, value in model.state_dict().items()}
        decay = [p for p in self.parts.parameters() if p.dim() > 1]
        plain = [p for p in self.parts.parameters() if p.dim() <= 1]
        groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98))
        self.step = 0
        self.windows = windows([corpus / "train" for corpus in corpora], plan.seed)
        self.held_out = windows([corpus / "validation" for corpus in corpora], plan.seed)

    def train(self) -> None:
        plan, sums, seen = self.plan, torch.zeros(4), 0
        with tqdm(total=plan.steps, initial=self.step, desc=self.objective.name) as bar:
            while self.step < plan.steps:
                loss = self._update()
                sums += torch.stack([loss.total, loss.motion, loss.lips, loss.phones]).detach()
                self.step += 1
                seen += 1
                bar.update()
                if self.step % plan.report == 0 or self.step == plan.steps:
                    bar.set_postfix(self._report(sums / seen))
                    sums, seen = torch.zeros(4), 0
                    self.save()

    def _update(self) -> Loss:
        plan = self.plan
        for group in self.optimiser.param_groups:
            group["lr"] = plan.rate * _pace(self.step, plan)
        frames = int(self.windows.chance.choice(self.objective.lengths))
        batch = self.windows.draw(max(plan.frames // frames, 1), frames, vary=True)
        self.parts.train()
        loss = self._loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parts.parameters(), plan.clip)
        self.optimiser.step()
        keep = min(plan.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1.0 - keep)
                else:
                    self.average[name].copy_(value)
        return loss

    def _loss(self, batch: Batch) -> Loss:
        with torch.autocast("cpu", dtype=torch.bfloat16):  # a third faster, and as good
            return self.objective(self.model, self.auxiliary, batch)

    @torch.no_grad()
    def _report(self, means: Tensor) -> dict[str, str]:
        """The mean losses since the last report, and those of the average on held-out voices."""
        kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        self.parts.eval()
        state = torch.get_rng_state()
        torch.manual_seed(1)
        self.held_out.chance = type(self.windows.chance)(type(self.windows.chance.bit_generator)(1))
        length = max(self.objective.lengths)
        losses = [self._loss(self.held_out.draw(1_200 // length, length)) for _ in range(4)]
        torch.set_rng_state(state)
        self.model.load_state_dict(kept)
        row = dict(zip(("total", "motion", "lips", "phones"), means.tolist(), strict=True))
        row |= {
            f"held_out_{name}": float(torch.stack([getattr(x, name) for x in losses]).mean())
            for name in ("motion", "lips", "phones")
        }
        with (self.out / "curve.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step} | row) + "\n")
        return {name: f"{value:.4f}" for name, value in row.items() if "motion" in name}

    def save(self) -> None:
        """Everything needed to go on, written whole or not at all."""
        held = {
            "step": self.step,
            "parts": self.parts.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "torch": torch.get_rng_state(),
            "windows": json.dumps(self.windows.chance.bit_generator.state),
        }
        torch.save(held, self.out / "next.pt")
        (self.out / "next.pt").replace(self.out / "last.pt")
        named = {name: value.contiguous() for name, value in self.average.items()}
        about = {"objective": self.objective.name, "step": str(self.step)}
        about["plan"] = json.dumps(asdict(self.plan))
        about |= self.objective.about
        save_file(named, self.out / "model.safetensors", about)

    def resume(self) -> None:
        path = self.out / "last.pt"
        if not path.exists():
            return
        held = torch.load(path, weights_only=True)
        self.step = held["step"]
        self.parts.load_state_dict(held["parts"])
        self.average = held["average"]
        self.optimiser.load_state_dict(held["optimiser"])
        torch.set_rng_state(held["torch"])
        self.windows.chance.bit_generator.state = json.loads(held["windows"])


def _pace(step: int, plan: Schedule) -> float:
    """Share of the full rate: a linear warm-up, then half a cosine down."""
    if step < plan.warm_up:
        return (step + 1) / plan.warm_up
    done = (step - plan.warm_up) / max(plan.steps - plan.warm_up, 1)
    return plan.last_rate + (1.0 - plan.last_rate) * 0.5 * (1.0 + math.cos(math.pi * done))


def _generator_of_codes(weights: Path | None) -> MotionGenerator:
    """Its output is new, at rest to begin with; the rest may come from any of our generators."""
    model = MotionGenerator(PRESETS["codes"])
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
    model = _generator_of_codes(start)
    model.unit.copy_(unit_of([corpus / "train" for corpus in corpora], to_code))
    windows = partial(CodeWindows, to_code=to_code, unit=model.unit)
    head = Auxiliary(model.config.speech_dim, model.config.rows_per_frame, len(LABEL_LIST))
    return Trainer(model, CodeObjective(to_code), head, corpora, out, plan, windows)


if __name__ == "__main__":
    main()
