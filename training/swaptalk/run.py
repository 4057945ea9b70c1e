"""A training run of swap, expert or lips; how it is kept is in `training.run`.

A line of RUN/curve.jsonl has losses `held_out_...` of people never trained on, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.swaptalk.weights import metadata_of
from training.run import BasePlan, BaseRun
from training.swaptalk.learners import ExpertLearner, LipLearner, SwapLearner
from training.swaptalk.pixels.learner import PixelLearner
from training.swaptalk.samplers import ExpertBatch, LipBatch, SwapBatch
from training.workers import Workers

Learner = SwapLearner | ExpertLearner | LipLearner | PixelLearner
Batch = SwapBatch | ExpertBatch | LipBatch
Draw = Callable[[int], Batch]
"""The batch of a step, which follows from the step alone."""
Described = Callable[[Any], dict[str, str]]
"""Of a configuration, what a weights file says."""

_HELD_OUT_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class Plan(BasePlan):
    """How long, how fast, and how often to look."""

    steps: int = 4_000
    rate: float = 5e-4
    decay: float = 0.01  # of weights
    warm_up: int = 50
    average: float = 0.998
    report: int = 100
    bfloat16: bool = False

    @property
    def level(self) -> float:
        """The rate falls from the beginning on."""
        return 0.0


class Run(BaseRun):
    """Trains one of the three networks."""

    plan: Plan
    learner: Learner

    def __init__(
        self, learner: Learner, draw: Draw, held_out: Draw, out: Path, plan: Plan, workers: Workers,
        encoder: str, described: Described = metadata_of,
    ) -> None:  # fmt: skip
        """encoder: whose latents these are, which the weights will say; described: what they say of
        the network's configuration."""
        network = learner.network
        optimiser = torch.optim.AdamW(
            network.parameters(), plan.rate, (0.9, 0.99), weight_decay=plan.decay
        )
        super().__init__(learner, network, optimiser, out, plan, workers, plan.report)
        self.draw, self.held_out, self.encoder = draw, held_out, encoder
        self._described = described
        self.losses: dict[str, float] = {}  # of the last report

    def update(self) -> dict[str, float]:
        """Take the step number `step`; returns its losses."""
        self.learner.train()
        losses = self._losses(self.parallel, self.draw(self.step))
        self.descend(losses["total"])
        self.follow()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _losses(self, learner: nn.Module, batch: Batch) -> dict[str, Tensor]:
        device = self.workers.device
        moved = type(batch)(*(part.to(device) for part in batch))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.plan.bfloat16):
            losses: dict[str, Tensor] = learner(moved)
        return losses

    def judge(self) -> dict[str, float]:
        """Mean losses of the average on people never trained on."""
        sums: dict[str, float] = {}
        with self.averaged():
            for step in range(_HELD_OUT_BATCHES):
                for name, loss in self._losses(self.learner, self.held_out(step)).items():
                    sums[name] = sums.get(name, 0.0) + float(loss) / _HELD_OUT_BATCHES
        return sums

    def report(self, means: dict[str, float]) -> dict[str, float]:
        """Write down mean losses, and what the average loses on people never trained on."""
        held_out = {f"held_out_{name}": loss for name, loss in self.judge().items()}
        self.losses = super().report(means | held_out)
        return self.losses

    def about(self) -> dict[str, str]:
        """What the weights say of themselves."""
        losses = json.dumps({name: round(loss, 4) for name, loss in self.losses.items()})
        more = {"encoder": self.encoder, "losses": losses}
        return super().about() | self._described(self.learner.network.config) | more
