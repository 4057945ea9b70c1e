"""A training run: the loop, the pace, the moving average, and how everything is kept.

RUN/last.pt           what is needed to go on
RUN/model.safetensors the moving average of the network, which is what to use
RUN/curve.jsonl       a line of mean losses per report
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from training.workers import Workers


@dataclass(frozen=True, kw_only=True)
class BasePlan:
    """How long, how fast, and how often to look."""

    steps: int
    rate: float
    warm_up: int
    last_rate: float = 0.02  # share of `rate` that is left at the end
    average: float  # of the moving average, when it has warmed up
    clip: float = 1.0  # of the norm of all gradients
    seed: int = 0
    report: int  # steps between lines of the curve

    @property
    def level(self) -> float:
        """The step from which on the rate falls."""
        return max(self.steps / 3, self.warm_up)

    def pace(self, step: int) -> float:
        """Share of the full rate: a linear warm-up; from `level` on, half a cosine down."""
        done = max(step - self.level, 0.0) / max(self.steps - self.level, 1.0)
        slow = self.last_rate + (1.0 - self.last_rate) * 0.5 * (1.0 + math.cos(math.pi * done))
        return min((step + 1) / self.warm_up, 1.0) * slow


class BaseRun(ABC):
    """Trains a learner and keeps it in a folder; the same on every worker of a group.

    A kind of training says what a step is (`update`), and more where it has more: what is written
    and looked at, what the weights say of themselves, what else changes.
    """

    name = ""  # before the progress bar
    shown: tuple[str, ...] = ()  # figures of a report beside it; all if none are named

    def __init__(
        self, learner: nn.Module, network: nn.Module, optimiser: torch.optim.Optimizer, out: Path,
        plan: BasePlan, workers: Workers, save_every: int,
    ) -> None:  # fmt: skip
        """network: the part of the learner whose average is kept.

        optimiser: has the full rates, of what is trained. save_every: steps.
        """
        self.learner, self.network, self.optimiser = learner.to(workers.device), network, optimiser
        self.out, self.plan, self.workers, self.save_every = out, plan, workers, save_every
        self.parallel = workers.wrap(learner)
        self.average = {name: value.clone() for name, value in network.state_dict().items()}
        self.rates: list[float] = [group["lr"] for group in optimiser.param_groups]
        held = {p for group in optimiser.param_groups for p in group["params"]}
        self.trained = [p for p in learner.parameters() if p in held]
        self.step = 0

    @abstractmethod
    def update(self) -> dict[str, float]:
        """Take the step number `step`; returns its losses."""

    def report(self, means: dict[str, float]) -> dict[str, float]:
        """Write down mean losses since the last report; returns the figures of the line."""
        self.note(means)
        return means

    def note(self, figures: dict[str, float]) -> None:
        """Add a line of figures to the curve."""
        with (self.out / "curve.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step} | figures) + "\n")

    def look(self) -> None:  # noqa: B027 - many have nothing to show
        """What is to be seen before the run is saved."""

    def about(self) -> dict[str, str]:
        """What the weights say of themselves."""
        return {"step": str(self.step), "plan": json.dumps(asdict(self.plan))}

    def state(self) -> dict[str, Any]:
        """What `take_up` needs, beside what every run has."""
        return {"learner": self.learner.state_dict()}

    def take_up(self, held: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.learner.load_state_dict(held["learner"])

    def train(self) -> None:
        """Go on to the last step of the plan."""
        steps, sums, seen = self.plan.steps, dict[str, float](), 0
        first = self.workers.first
        with tqdm(total=steps, initial=self.step, desc=self.name, disable=not first) as bar:
            while self.step < steps:
                for name, value in self.update().items():
                    sums[name] = sums.get(name, 0.0) + value
                self.step += 1
                seen += 1
                bar.update()
                if first and self._due(self.plan.report):
                    figures = self.report({name: value / seen for name, value in sums.items()})
                    shown = self.shown or figures
                    bar.set_postfix({name: figures[name] for name in shown if name in figures})
                    sums, seen = {}, 0
                if first and self._due(self.save_every):
                    self.look()
                    self.save()

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.plan.steps

    def descend(self, total: Tensor) -> None:
        """A step of the optimiser down the gradient of `total`, at the pace of now."""
        pace = self.plan.pace(self.step)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * pace
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trained, self.plan.clip)
        self.optimiser.step()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average a little towards the network."""
        keep = min(self.plan.average, (self.step + 1) / (self.step + 10))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1.0 - keep)
            else:  # how often a norm of an audio encoder has seen a batch
                self.average[name].copy_(value)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network holds its moving average meanwhile, and the learner only infers."""
        kept = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        self.learner.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.network.load_state_dict(kept)

    def save(self) -> None:
        """Everything needed to go on, and the average: each file written whole or not at all."""
        held = {
            "step": self.step,
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(held | self.state(), self.out / "next.pt")
        (self.out / "next.pt").replace(self.out / "last.pt")
        tensors = {name: value.contiguous().cpu() for name, value in self.average.items()}
        save_file(tensors, self.out / "model.part", self.about())
        (self.out / "model.part").replace(self.out / "model.safetensors")

    def resume(self) -> None:
        """Take up what `save` left in the folder, if anything."""
        path = self.out / "last.pt"
        if not path.exists():
            return
        held = torch.load(path, map_location=self.workers.device, weights_only=True)
        self.step, self.average = held["step"], held["average"]
        self.optimiser.load_state_dict(held["optimiser"])
        self.take_up(held)
