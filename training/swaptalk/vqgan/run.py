"""A training run of a VQGAN; how it is kept is in `training.run`, and beside it

RUN/curve.jsonl       a line of held-out people per sheet, too
RUN/sheets/STEP.png   held-out people: picture, lower half drawn below its own upper, all drawn
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pipelines.swaptalk.vqgan.network import Vqgan
from pipelines.swaptalk.vqgan.weights import metadata_of
from training.flow_warp.ahead import Ahead
from training.run import BasePlan, BaseRun
from training.swaptalk.vqgan.adversary import Adversary
from training.swaptalk.vqgan.batches import Sampler
from training.swaptalk.vqgan.codebook import Uses, k_means
from training.swaptalk.vqgan.learner import Drawn, Learner
from training.swaptalk.vqgan.sheets import draw_sheet
from training.workers import Workers

_VECTORS_PER_CODE = 72  # of which k-means finds the first codes; 24 said too little of others
_REVIVE_EVERY = 20  # steps
_SLOW = 0.03  # share of the rate, beside a linear way past the network, for all that comes before
# the decoder: at the full rate codes could not follow, and held-out faces lost 1 dB in 300 steps


@dataclass(frozen=True, kw_only=True)
class Plan(BasePlan):
    """How long, how fast, and how often to look."""

    steps: int = 2_000
    begin: int = 200  # steps without codes, after which the first ones are found
    rate: float = 2e-3
    book_gain: float = 3.0  # of the codebooks' rate over the others'
    warm_up: int = 20
    average: float = 0.995
    revive_share: float = 0.8  # of the steps: later no dead code is moved
    critic_from: int = 0  # step from which a critic judges; 0: none does
    report: int = 25
    sheet: int = 250
    bfloat16: bool = False


class Run(BaseRun):
    """Trains a VQGAN."""

    name, shown = "vqgan", ("colour", "feature", "quantisation", "lower_codes")
    plan: Plan
    learner: Learner
    network: Vqgan

    def __init__(
        self, learner: Learner, sampler: Sampler, held_out: Sampler, out: Path, plan: Plan,
        workers: Workers, loaders: int = 0,
    ) -> None:  # fmt: skip
        self.batches, self.held_out = Ahead(sampler, loaders), held_out
        learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = _optimiser(learner, plan)
        super().__init__(learner, learner.network, optimiser, out, plan, workers, plan.sheet)
        self.adversary = Adversary(plan.rate, workers) if plan.critic_from else None
        self.uses = [Uses(len(book.embedding.weight), workers.device) for book in learner.books]
        self.chance = torch.Generator().manual_seed(plan.seed)

    def update(self) -> dict[str, float]:
        """Take the step number `step`; returns its losses, and how codes and critic do."""
        plan = self.plan
        if self.step >= plan.begin and not self.learner.with_codes:
            self._find_codes()
        batch = self.batches.draw(self.step).to(self.workers.device)
        with torch.autocast(self.workers.device.type, torch.bfloat16, enabled=plan.bfloat16):
            drawn: Drawn = self.parallel(batch)
        total = drawn.losses["total"]
        more: dict[str, float] = {}
        adversary = self.adversary if self.step >= plan.critic_from else None
        if adversary is not None:
            last = self.network.decoder.conv_out.weight
            pleasing, more = adversary.judge(drawn, last, self.learner.weights.critic)
            total = total + pleasing
        self.descend(total)
        if adversary is not None:
            more |= adversary.learn(drawn, plan.pace(self.step))
        self.follow()
        if self.learner.with_codes:
            more |= self._tend_codes(drawn)
        return {name: float(loss.detach()) for name, loss in drawn.losses.items()} | more

    @torch.no_grad()
    def _find_codes(self) -> None:
        """The first codebooks, by k-means of what the encoder gives."""
        books = self.learner.books
        wanted = _VECTORS_PER_CODE * max(book.codes for book in books)
        seen: tuple[list[Tensor], list[Tensor]] = ([], [])
        step = self.step
        while sum(map(len, seen[0])) < wanted:
            upper, lower = self.batches.sampler.draw(step).pictures.chunk(2, 2)
            for vectors, half in zip(seen, (lower, upper), strict=True):
                z = self.network.encode(half.to(self.workers.device)).float()
                vectors.append(books[0].parted(z).flatten(0, 2).cpu())
            step += 1
        for book, vectors in zip(books, seen, strict=True):
            weight = book.embedding.weight
            parts = torch.cat(vectors).unbind(1)
            found = [k_means(part, book.codes, self.chance) for part in parts]
            weight.copy_(torch.cat(found))
            self._same(weight)
        self.learner.with_codes = True
        for name, value in self.network.state_dict().items():
            if name.startswith("quantize"):
                self.average[name].copy_(value)

    def _tend_codes(self, drawn: Drawn) -> dict[str, float]:
        """Count what was used, and let dead codes live."""
        figures = {}
        moving = self.step < self.plan.revive_share * self.plan.steps and self.learner.codes_move
        for i, name in enumerate(("lower", "upper")):
            uses, book, z = self.uses[i], self.learner.books[i], drawn.z[i]
            uses.note(drawn.codes[i])
            figures[f"{name}_codes"] = uses.perplexity()
            if moving and self.step % _REVIVE_EVERY == 0:
                self._same(uses.share)
                dead = uses.revive(book, z, self.chance)
                self._same(book.embedding.weight.data)
                key = "quantize_lower" if name == "lower" else "quantize"
                average = self.average.get(f"{key}.embedding.weight")
                if average is not None:
                    average[dead] = book.embedding.weight.detach()[dead]
        return figures

    def _same(self, tensor: Tensor) -> None:
        """Give all workers what the first has."""
        if self.workers.count > 1:
            dist.broadcast(tensor, 0)

    def look(self) -> None:
        """Draw and judge held-out people with the average."""
        batch = self.held_out.draw(0).to(self.workers.device)
        with self.averaged():
            drawn = self.learner(batch)
            sheet = draw_sheet(self.network, batch, self.learner.with_codes)
        losses = {f"held_out_{name}": float(loss) for name, loss in drawn.losses.items()}
        error = (drawn.made.clamp(-1.0, 1.0) - drawn.wanted).square().mean()
        self.note({"held_out_psnr": 10.0 * math.log10(4.0 / error)} | losses)
        folder = self.out / "sheets"
        folder.mkdir(exist_ok=True)
        sheet.save(folder / f"{self.step:06d}.png")

    def about(self) -> dict[str, str]:
        """What the weights say of themselves."""
        return super().about() | metadata_of(self.network.config)

    def state(self) -> dict[str, Any]:
        """What `take_up` needs, beside what every run has."""
        return {
            "network": self.network.state_dict(),
            "with_codes": self.learner.with_codes,
            "uses": [uses.share for uses in self.uses],
            "chance": self.chance.get_state(),
            "adversary": None if self.adversary is None else self.adversary.state(),
        }

    def take_up(self, held: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.network.load_state_dict(held["network"])
        self.learner.with_codes = held["with_codes"]
        for uses, share in zip(self.uses, held["uses"], strict=True):
            uses.share = share
        self.chance.set_state(held["chance"].cpu())
        if self.adversary is not None and held["adversary"] is not None:
            self.adversary.take_up(held["adversary"])


def _optimiser(learner: Learner, plan: Plan) -> torch.optim.Adam:
    """Adam; codes, each of which few cells speak of, take larger steps.

    What passes pictures on linearly takes small ones: its weights are small and all but right.
    """
    gains = {"quantize": plan.book_gain}
    if learner.network.config.shortcut:
        gains |= dict.fromkeys(("quant_conv", "post_quant", "past", "encoder"), _SLOW)
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in learner.network.named_parameters():
        gain = next((gain for part, gain in gains.items() if f".{part}" in f".{name}"), 1.0)
        groups.setdefault(gain, []).append(parameter)
    return torch.optim.Adam(
        [{"params": held, "lr": plan.rate * gain} for gain, held in groups.items()],
        betas=(0.9, 0.98),
    )  # fmt: skip
