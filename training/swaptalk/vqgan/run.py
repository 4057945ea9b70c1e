"""A training run: everything that changes while training, and how it is kept.

RUN/last.pt           what is needed to go on
RUN/model.safetensors the moving average of the network: weights for `pipelines.swaptalk.vqgan`
RUN/curve.jsonl       a line of mean losses per report, one of held-out people per sheet
RUN/sheets/STEP.png   held-out people: picture, lower half drawn below its own upper, all drawn
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from pipelines.swaptalk.vqgan.weights import metadata_of
from training.flow_warp.ahead import Ahead
from training.flow_warp.workers import Workers
from training.swaptalk.vqgan.adversary import Adversary
from training.swaptalk.vqgan.batches import Sampler
from training.swaptalk.vqgan.codebook import Uses, k_means
from training.swaptalk.vqgan.learner import Drawn, Learner
from training.swaptalk.vqgan.sheets import draw_sheet

_VECTORS_PER_CODE = 24  # of which k-means finds the first codes
_REVIVE_EVERY = 20  # steps
_SHOWN = ("colour", "feature", "quantisation", "lower_codes")  # beside the progress bar


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, how fast, and how often to look."""

    steps: int = 2_000
    begin: int = 200  # steps without codes, after which the first ones are found
    rate: float = 2e-3
    book_gain: float = 3.0  # of the codebooks' rate over the others'
    warm_up: int = 20
    last_rate: float = 0.02  # share of `rate` that is left at the end
    average: float = 0.995  # of the moving average, when it has warmed up
    clip: float = 1.0
    revive_share: float = 0.8  # of the steps: later no dead code is moved
    critic_from: int = 0  # step from which a critic judges; 0: none does
    seed: int = 0
    report: int = 25
    sheet: int = 250
    bfloat16: bool = False


class Run:
    """Trains a learner and keeps it in a folder; the same on every worker of a group."""

    def __init__(
        self, learner: Learner, sampler: Sampler, held_out: Sampler, out: Path, plan: Plan,
        workers: Workers, loaders: int = 0,
    ) -> None:  # fmt: skip
        self.plan, self.out, self.workers = plan, out, workers
        self.batches, self.held_out = Ahead(sampler, loaders), held_out
        learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learner = learner.to(workers.device)
        self.network = learner.network
        self.parallel = workers.wrap(learner)
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.optimiser = _optimiser(learner, plan)
        self.adversary = Adversary(plan.rate, workers) if plan.critic_from else None
        self.uses = [Uses(len(book.embedding.weight), workers.device) for book in learner.books]
        self.chance = torch.Generator().manual_seed(plan.seed)
        self.step = 0

    def train(self) -> None:
        """Go on to the last step of the plan."""
        plan = self.plan
        sums: dict[str, float] = {}
        seen = 0
        hidden = not self.workers.first
        with tqdm(total=plan.steps, initial=self.step, desc="vqgan", disable=hidden) as bar:
            while self.step < plan.steps:
                for name, value in self._update().items():
                    sums[name] = sums.get(name, 0.0) + value
                self.step += 1
                seen += 1
                bar.update()
                last = self.step == plan.steps
                if self.step % plan.report == 0 or last:
                    self._report({name: value / seen for name, value in sums.items()}, bar)
                    sums, seen = {}, 0
                if self.step % plan.sheet == 0 or last:
                    self.look()
                    self.save()

    def _update(self) -> dict[str, float]:
        plan = self.plan
        if self.step >= plan.begin and not self.learner.with_codes:
            self._find_codes()
        pace_now = pace(self.step, plan)
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] * pace_now
        batch = self.batches.draw(self.step).to(self.workers.device)
        with torch.autocast(self.workers.device.type, torch.bfloat16, enabled=plan.bfloat16):
            drawn: Drawn = self.parallel(batch)
        total = drawn.losses["total"]
        more: dict[str, float] = {}
        judged = self.adversary is not None and self.step >= plan.critic_from
        if self.adversary is not None and judged:
            last = self.network.decoder.conv_out.weight
            pleasing, more = self.adversary.judge(drawn, last, self.learner.weights.critic)
            total = total + pleasing
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), plan.clip)
        self.optimiser.step()
        if self.adversary is not None and judged:
            more |= self.adversary.learn(drawn, pace_now)
        self._keep_average()
        if self.learner.with_codes:
            more |= self._tend_codes(drawn)
        return {name: float(loss.detach()) for name, loss in drawn.losses.items()} | more

    def _keep_average(self) -> None:
        keep = min(self.plan.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1.0 - keep)

    @torch.no_grad()
    def _find_codes(self) -> None:
        """The first codebooks, by k-means of what the encoder gives."""
        books = self.learner.books
        wanted = _VECTORS_PER_CODE * max(len(book.embedding.weight) for book in books)
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        step = self.step
        while sum(map(len, found[0])) < wanted:
            upper, lower = self.batches.sampler.draw(step).pictures.chunk(2, 2)
            for vectors, half in zip(found, (lower, upper), strict=True):
                z = self.network.encode(half.to(self.workers.device)).float()
                vectors.append(z.permute(0, 2, 3, 1).flatten(0, 2).cpu())
            step += 1
        for book, vectors in zip(books, found, strict=True):
            weight = book.embedding.weight
            weight.copy_(k_means(torch.cat(vectors), len(weight), self.chance))
            self._same(weight)
        self.learner.with_codes = True
        for name, value in self.network.state_dict().items():
            if name.startswith("quantize"):
                self.average[name].copy_(value)

    def _tend_codes(self, drawn: Drawn) -> dict[str, float]:
        """Count what was used, and let dead codes live."""
        figures = {}
        moving = self.step < self.plan.revive_share * self.plan.steps
        for i, name in enumerate(("lower", "upper")):
            uses, book, z = self.uses[i], self.learner.books[i], drawn.z[i]
            uses.note(drawn.codes[i])
            figures[f"{name}_codes"] = uses.perplexity()
            if moving and self.step % _REVIVE_EVERY == 0:
                self._same(uses.share)
                vectors = z.permute(0, 2, 3, 1).flatten(0, 2)
                dead = uses.revive(book, vectors, self.chance)
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

    def _report(self, means: dict[str, float], bar: tqdm) -> None:  # type: ignore[type-arg]
        """Mean losses since the last report, as a line and beside the bar."""
        self._note({"step": self.step} | means)
        bar.set_postfix({name: f"{means[name]:.3g}" for name in _SHOWN if name in means})

    def _note(self, line: dict[str, float]) -> None:
        if self.workers.first:
            with (self.out / "curve.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def look(self) -> None:
        """Draw and judge held-out people with the average."""
        if not self.workers.first:
            return
        batch = self.held_out.draw(0).to(self.workers.device)
        with self.averaged():
            drawn = self.learner(batch)
            sheet = draw_sheet(self.network, batch, self.learner.with_codes)
        losses = {f"held_out_{name}": float(loss) for name, loss in drawn.losses.items()}
        error = (drawn.made.clamp(-1.0, 1.0) - drawn.wanted).square().mean()
        self._note({"step": self.step, "held_out_psnr": 10.0 * math.log10(4.0 / error)} | losses)
        folder = self.out / "sheets"
        folder.mkdir(exist_ok=True)
        sheet.save(folder / f"{self.step:06d}.png")

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network holds its moving average meanwhile."""
        kept = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        try:
            with torch.no_grad():
                yield
        finally:
            self.network.load_state_dict(kept)

    def save(self) -> None:
        """Everything needed to go on, written whole or not at all."""
        if not self.workers.first:
            return
        held = {
            "step": self.step,
            "network": self.network.state_dict(),
            "with_codes": self.learner.with_codes,
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "uses": [uses.share for uses in self.uses],
            "chance": self.chance.get_state(),
            "adversary": None if self.adversary is None else self.adversary.state(),
        }
        torch.save(held, self.out / "next.pt")
        (self.out / "next.pt").replace(self.out / "last.pt")
        named = {name: value.contiguous().cpu() for name, value in self.average.items()}
        about = {"step": str(self.step), "plan": json.dumps(asdict(self.plan))}
        save_file(named, self.out / "model.safetensors", metadata_of(self.network.config) | about)

    def resume(self) -> None:
        """Take up what `save` left in the folder, if anything."""
        path = self.out / "last.pt"
        if not path.exists():
            return
        held = torch.load(path, map_location=self.workers.device, weights_only=True)
        self.step = held["step"]
        self.network.load_state_dict(held["network"])
        self.learner.with_codes = held["with_codes"]
        self.average = held["average"]
        rates = [group["full_rate"] for group in self.optimiser.param_groups]
        self.optimiser.load_state_dict(held["optimiser"])
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["full_rate"] = rate  # the plan's, which may be another than before
        for uses, share in zip(self.uses, held["uses"], strict=True):
            uses.share = share
        self.chance.set_state(held["chance"].cpu())
        if self.adversary is not None and held["adversary"] is not None:
            self.adversary.take_up(held["adversary"])


def pace(step: int, plan: Plan) -> float:
    """Share of the full rate: a linear warm-up, level for a third, then half a cosine down."""
    if step < plan.warm_up:
        return (step + 1) / plan.warm_up
    level = plan.steps / 3
    done = max(step - level, 0.0) / max(plan.steps - level, 1.0)
    return plan.last_rate + (1.0 - plan.last_rate) * 0.5 * (1.0 + math.cos(math.pi * done))


def _optimiser(learner: Learner, plan: Plan) -> torch.optim.Adam:
    """Adam; codes, each of which few cells speak of, take larger steps."""
    named = list(learner.network.named_parameters())
    groups = [
        {"params": [p for name, p in named if name.startswith("quantize") == is_book],
         "full_rate": plan.rate * (plan.book_gain if is_book else 1.0)}
        for is_book in (False, True)
    ]  # fmt: skip
    return torch.optim.Adam(groups, lr=plan.rate, betas=(0.9, 0.98))
