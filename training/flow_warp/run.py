"""A training run: everything that changes while training, and how it is kept.

RUN/last.pt           what is needed to go on
RUN/model.safetensors the moving average of renderer and motion map, which is what to use
RUN/curve.jsonl       a line of mean losses per report
RUN/sheets/STEP.png   held-out people: source, driving, drawn by the average
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.layers import EqualConv, EqualLinear, FlowHead, StyledConv
from training.flow_warp.ahead import Ahead
from training.flow_warp.batches import Sampler
from training.flow_warp.grow import take_up
from training.flow_warp.learner import PUBLISHED, Learner
from training.flow_warp.motions import motion_bank
from training.flow_warp.sheets import draw_sheet
from training.flow_warp.start import settle
from training.flow_warp.workers import Workers

_LOOKS, _MOTIONS = 6, 256  # batches and motion that weights are scaled by before the first step


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, how fast, and how often to look."""

    steps: int = 11_000
    map_share: float = 0.25  # of the steps: from then on the map from motion keeps its average
    rate: float = 5e-3  # of equalised weights, which have unit variance
    flow_rate: float = 1e-3  # of what makes flows: a hundredth of the picture is a large step
    mask_gain: float = 20.0  # steps of masks, over those of flows: logits have far to go
    plain_rate: float = 1e-3  # of all others
    warm_up: int = 100
    last_rate: float = 0.02  # share of `rate` that is left at the end
    average: float = 0.995  # of the moving average, when it has warmed up
    clip: float = 5.0
    seed: int = 0
    report: int = 50
    sheet: int = 500
    bfloat16: bool = False
    published: bool = False  # train as AniTalker's paper does: see `as_published`


def as_published(plan: Plan) -> Plan:
    """The paper's recipe on the same data: pictures alone, LIA's one rate, no prepared start."""
    return replace(plan, published=True, rate=2e-3, flow_rate=2e-3, plain_rate=2e-3, mask_gain=1.0)


class Run:
    """Trains a learner and keeps it in a folder; the same on every worker of a group."""

    def __init__(
        self, config: RendererConfig, sampler: Sampler, held_out: Sampler, out: Path, plan: Plan,
        workers: Workers, tensorboard: bool = False, begin: Path | None = None,
        loaders: int = 0,
    ) -> None:  # fmt: skip
        torch.manual_seed(plan.seed)
        self.plan, self.out, self.workers = plan, out, workers
        self.batches, self.held_out = Ahead(sampler, loaders), held_out
        weights = PUBLISHED if plan.published else None
        self.learner = Learner(config, people=len(sampler.faces), weights=weights)
        if begin is None and not plan.published:
            pictures = torch.cat([sampler.draw(step).driving for step in range(_LOOKS)])
            motion = torch.from_numpy(motion_bank(plan.seed, _MOTIONS))
            settle(self.learner.renderer, self.learner.to_code, pictures, motion)
        elif begin is not None:
            take_up(self.learner.renderer, self.learner.to_code, begin)
        self.learner.to(workers.device)
        self.parallel = workers.wrap(self.learner)
        self.averaged_parts = nn.ModuleDict(
            {"renderer": self.learner.renderer, "to_code": self.learner.to_code}
        )
        self.average = {k: v.clone() for k, v in self.averaged_parts.state_dict().items()}
        self.optimiser = _optimiser(self.learner, plan)
        self.map_steps = round(plan.map_share * plan.steps)
        self.step = 0
        self.writer = _writer(out) if tensorboard and workers.first else None

    def train(self) -> None:
        """Go on to the last step of the plan."""
        plan = self.plan
        sums: dict[str, float] = {}
        seen = 0
        hidden = not self.workers.first
        with tqdm(total=plan.steps, initial=self.step, desc="flow warp", disable=hidden) as bar:
            while self.step < plan.steps:
                for name, value in self._update().items():
                    sums[name] = sums.get(name, 0.0) + value
                self.step += 1
                seen += 1
                bar.update()
                last = self.step == plan.steps
                if self.step % plan.report == 0 or last:
                    means = {name: value / seen for name, value in sums.items()}
                    bar.set_postfix(self._report(means))
                    sums, seen = {}, 0
                if self.step % plan.sheet == 0 or last:
                    self.look()
                    self.save()

    def _update(self) -> dict[str, float]:
        plan = self.plan
        if self.step == self.map_steps:
            self._keep_map()
        for group in self.optimiser.param_groups:
            kept = group["is_map"] and self.step >= self.map_steps
            group["lr"] = 0.0 if kept else group["full_rate"] * pace(self.step, plan)
        batch = self.batches.draw(self.step).to(self.workers.device)
        self.learner.train()
        with torch.autocast(self.workers.device.type, torch.bfloat16, enabled=plan.bfloat16):
            losses: dict[str, Tensor] = self.parallel(batch)
        self.optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learner.parameters(), plan.clip)
        with quicker_masks(self.learner, plan.mask_gain):
            self.optimiser.step()
        keep = min(plan.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self.averaged_parts.state_dict().items():
                self.average[name].lerp_(value, 1.0 - keep)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _keep_map(self) -> None:
        """Let the map be its average; codes mean the same from now on.

        So a motion model can be trained in them while the renderer still learns to draw them.
        """
        names = self.learner.to_code.state_dict()
        self.learner.to_code.load_state_dict({k: self.average[f"to_code.{k}"] for k in names})

    def _report(self, means: dict[str, float]) -> dict[str, str]:
        """Mean losses since the last report, kept as a line and for TensorBoard."""
        if not self.workers.first:
            return {}
        with (self.out / "curve.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step} | means) + "\n")
        if self.writer is not None:
            for name, value in means.items():
                self.writer.add_scalar(f"loss/{name}", value, self.step)
        return {name: f"{means[name]:.3f}" for name in ("colour", "flow", "code")}

    def look(self) -> None:
        """Draw held-out people with the average, as a picture file and for TensorBoard."""
        if not self.workers.first:
            return
        with self.averaged():
            sheet = draw_sheet(self.learner, self.held_out, self.workers.device)
        folder = self.out / "sheets"
        folder.mkdir(exist_ok=True)
        sheet.save(folder / f"{self.step:06d}.png")
        if self.writer is not None:
            pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
            picture = pixels.view(sheet.height, sheet.width, 3)
            self.writer.add_image("held out", picture, self.step, dataformats="HWC")

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Renderer and map hold their moving average meanwhile."""
        parts = self.averaged_parts
        kept = {name: value.clone() for name, value in parts.state_dict().items()}
        parts.load_state_dict(self.average)
        parts.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            parts.load_state_dict(kept)

    def save(self) -> None:
        """Everything needed to go on, written whole or not at all."""
        if not self.workers.first:
            return
        held = {
            "step": self.step,
            "learner": self.learner.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(held, self.out / "next.pt")
        (self.out / "next.pt").replace(self.out / "last.pt")
        named = {name: value.contiguous().cpu() for name, value in self.average.items()}
        config = json.dumps(asdict(self.learner.renderer.config))
        about = {"config": config, "step": str(self.step), "plan": json.dumps(asdict(self.plan))}
        save_file(named, self.out / "model.safetensors", about)

    def resume(self) -> None:
        """Take up what `save` left in the folder, if anything."""
        path = self.out / "last.pt"
        if not path.exists():
            return
        held = torch.load(path, map_location=self.workers.device, weights_only=True)
        self.step = held["step"]
        self.learner.load_state_dict(held["learner"])
        self.average = held["average"]
        rates = [group["full_rate"] for group in self.optimiser.param_groups]
        self.optimiser.load_state_dict(held["optimiser"])
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["full_rate"] = rate  # the plan's, which may be another than before


@contextmanager
def quicker_masks(learner: Learner, gain: float) -> Iterator[None]:
    """Steps taken meanwhile are `gain` times as large for the third row of flow heads, the mask."""
    heads = [m for m in learner.renderer.generator.modules() if isinstance(m, FlowHead)]
    rows = [parameter for head in heads for parameter in (head.weight, head.bias)]
    before = [parameter.detach()[2].clone() for parameter in rows]
    yield
    with torch.no_grad():
        for parameter, old in zip(rows, before, strict=True):
            parameter[2] = old + gain * (parameter[2] - old)


def pace(step: int, plan: Plan) -> float:
    """Share of the full rate: a linear warm-up, level for a third, then half a cosine down."""
    if step < plan.warm_up:
        return (step + 1) / plan.warm_up
    level = plan.steps / 3
    done = max(step - level, 0.0) / max(plan.steps - level, 1.0)
    return plan.last_rate + (1.0 - plan.last_rate) * 0.5 * (1.0 + math.cos(math.pi * done))


def _optimiser(learner: Learner, plan: Plan) -> torch.optim.Adam:
    """Adam; a weight of unit variance takes larger steps to the same effect."""
    flow: list[nn.Parameter] = []
    equal: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    to_code = list(learner.to_code.parameters())
    mapping = set(learner.to_code.modules())
    for module in learner.modules():
        if module in mapping:
            continue
        scaled = isinstance(module, EqualConv | EqualLinear | StyledConv)
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, FlowHead):
                flow.append(parameter)
            else:
                (equal if scaled and name == "weight" else plain).append(parameter)
    groups = [
        {"params": flow, "full_rate": plan.flow_rate, "is_map": False},
        {"params": equal, "full_rate": plan.rate, "is_map": False},
        {"params": plain, "full_rate": plan.plain_rate, "is_map": False},
        {"params": to_code, "full_rate": plan.plain_rate, "is_map": True},
    ]
    return torch.optim.Adam(groups, lr=plan.rate, betas=(0.9, 0.99))


def _writer(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SystemExit(
            "--tensorboard needs the tensorboard package: pip install 'vivavoce[train]'"
        ) from error
    return SummaryWriter(str(out / "tensorboard"))
