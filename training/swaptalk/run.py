"""A training run of swap, expert or lips: everything that changes, and how it is kept.

RUN/last.pt           what is needed to go on
RUN/model.safetensors the moving average of the network, which is what to use
RUN/curve.jsonl       mean losses since the line before; `held_out_...` of people never trained on
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from pipelines.swaptalk.weights import metadata_of
from training.flow_warp.workers import Workers
from training.swaptalk.learners import ExpertLearner, LipLearner, SwapLearner
from training.swaptalk.samplers import ExpertBatch, LipBatch, SwapBatch

Learner = SwapLearner | ExpertLearner | LipLearner
Batch = SwapBatch | ExpertBatch | LipBatch
Draw = Callable[[int], Batch]
"""The batch of a step, which follows from the step alone."""

_HELD_OUT_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, how fast, and how often to look."""

    steps: int = 4_000
    rate: float = 5e-4
    decay: float = 0.01  # of weights
    warm_up: int = 50
    last_rate: float = 0.02  # share of `rate` that is left at the end
    average: float = 0.998  # of the moving average, when it has warmed up
    clip: float = 1.0
    seed: int = 0
    report: int = 100
    bfloat16: bool = False


class Run:
    """Trains a learner and keeps it in a folder; the same on every worker of a group."""

    def __init__(
        self, learner: Learner, draw: Draw, held_out: Draw, out: Path, plan: Plan, workers: Workers,
        encoder: str,
    ) -> None:  # fmt: skip
        """encoder: whose latents these are, which the weights will say."""
        self.learner = learner.to(workers.device)
        self.draw, self.held_out = draw, held_out
        self.out, self.plan, self.workers = out, plan, workers
        self.parallel = workers.wrap(learner)
        self.network = learner.network
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), plan.rate, (0.9, 0.99), weight_decay=plan.decay
        )
        self.encoder = encoder
        self.step = 0
        self.losses: dict[str, float] = {}  # of the last report

    def train(self) -> None:
        """Go on to the last step of the plan."""
        plan, sums, seen = self.plan, dict[str, float](), 0
        hidden = not self.workers.first
        with tqdm(total=plan.steps, initial=self.step, disable=hidden) as bar:
            while self.step < plan.steps:
                for name, value in self._update().items():
                    sums[name] = sums.get(name, 0.0) + value
                self.step += 1
                seen += 1
                bar.update()
                if self.step % plan.report == 0 or self.step == plan.steps:
                    self._report({name: value / seen for name, value in sums.items()})
                    bar.set_postfix({k: f"{v:.3f}" for k, v in self.losses.items()})
                    sums, seen = {}, 0

    def _update(self) -> dict[str, float]:
        plan = self.plan
        for group in self.optimiser.param_groups:
            group["lr"] = plan.rate * pace(self.step, plan)
        self.learner.train()
        losses = self._losses(self.parallel, self.draw(self.step))
        self.optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), plan.clip)
        self.optimiser.step()
        keep = min(plan.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                held = self.average[name]
                if held.is_floating_point():
                    held.lerp_(value, 1.0 - keep)
                else:  # how often a norm of an audio encoder has seen a batch
                    held.copy_(value)
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

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network holds its moving average meanwhile, and only infers."""
        kept = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        self.learner.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.network.load_state_dict(kept)

    def _report(self, means: dict[str, float]) -> None:
        """Write the losses down and keep the run, whole or not at all."""
        if not self.workers.first:
            return
        self.losses = means | {f"held_out_{k}": v for k, v in self.judge().items()}
        with (self.out / "curve.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step} | self.losses) + "\n")
        held = {
            "step": self.step,
            "learner": self.learner.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(held, self.out / "next.pt")
        (self.out / "next.pt").replace(self.out / "last.pt")
        about = metadata_of(self.network.config) | {
            "encoder": self.encoder,
            "step": str(self.step),
            "plan": json.dumps(asdict(self.plan)),
            "losses": json.dumps({k: round(v, 4) for k, v in self.losses.items()}),
        }
        tensors = {name: value.contiguous().cpu() for name, value in self.average.items()}
        save_file(tensors, self.out / "model.part", about)
        (self.out / "model.part").replace(self.out / "model.safetensors")

    def resume(self) -> None:
        """Take up what a report left in the folder, if anything."""
        path = self.out / "last.pt"
        if not path.exists():
            return
        held = torch.load(path, map_location=self.workers.device, weights_only=True)
        self.step = held["step"]
        self.learner.load_state_dict(held["learner"])
        self.average = held["average"]
        self.optimiser.load_state_dict(held["optimiser"])


def pace(step: int, plan: Plan) -> float:
    """Share of the full rate: a linear warm-up, then half a cosine down."""
    done = step / plan.steps
    slow = plan.last_rate + (1.0 - plan.last_rate) * 0.5 * (1.0 + math.cos(math.pi * done))
    return min((step + 1) / plan.warm_up, 1.0) * slow
