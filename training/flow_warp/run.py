"""A training run of renderer and motion map; how it is kept is in `training.run`, and beside it

RUN/sheets/STEP.png   held-out people: source, driving, drawn by the average
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.anitalker.config import RendererConfig
from pipelines.anitalker.layers import EqualConv, EqualLinear, FlowHead, StyledConv
from training.flow_warp.ahead import Ahead
from training.flow_warp.batches import Sampler
from training.flow_warp.grow import take_up
from training.flow_warp.learner import PUBLISHED, Learner
from training.flow_warp.motions import motion_bank
from training.flow_warp.sheets import draw_sheet
from training.flow_warp.start import settle
from training.run import BasePlan, BaseRun
from training.workers import Workers

_LOOKS, _MOTIONS = 6, 256  # batches and motion that weights are scaled by before the first step


@dataclass(frozen=True, kw_only=True)
class Plan(BasePlan):
    """How long, how fast, and how often to look."""

    steps: int = 11_000
    map_share: float = 0.25  # of the steps: from then on the map from motion keeps its average
    rate: float = 5e-3  # of equalised weights, which have unit variance
    flow_rate: float = 1e-3  # of what makes flows: a hundredth of the picture is a large step
    mask_gain: float = 20.0  # steps of masks, over those of flows: logits have far to go
    plain_rate: float = 1e-3  # of all others
    warm_up: int = 100
    average: float = 0.995
    clip: float = 5.0
    report: int = 50
    sheet: int = 500
    bfloat16: bool = False
    published: bool = False  # train as AniTalker's paper does: see `as_published`


def as_published(plan: Plan) -> Plan:
    """The paper's recipe on the same data: pictures alone, LIA's one rate, no prepared start."""
    return replace(plan, published=True, rate=2e-3, flow_rate=2e-3, plain_rate=2e-3, mask_gain=1.0)


class Run(BaseRun):
    """Trains renderer and motion map."""

    name, shown = "flow warp", ("colour", "flow", "code")
    plan: Plan
    learner: Learner

    def __init__(
        self, config: RendererConfig, sampler: Sampler, held_out: Sampler, out: Path, plan: Plan,
        workers: Workers, tensorboard: bool = False, begin: Path | None = None,
        loaders: int = 0,
    ) -> None:  # fmt: skip
        torch.manual_seed(plan.seed)
        self.batches, self.held_out = Ahead(sampler, loaders), held_out
        weights = PUBLISHED if plan.published else None
        learner = Learner(config, people=len(sampler.faces), weights=weights)
        if begin is None and not plan.published:
            pictures = torch.cat([sampler.draw(step).driving for step in range(_LOOKS)])
            motion = torch.from_numpy(motion_bank(plan.seed, _MOTIONS))
            settle(learner.renderer, learner.to_code, pictures, motion)
        elif begin is not None:
            take_up(learner.renderer, learner.to_code, begin)
        kept = nn.ModuleDict({"renderer": learner.renderer, "to_code": learner.to_code})
        super().__init__(learner, kept, _optimiser(learner, plan), out, plan, workers, plan.sheet)
        self.map_steps = round(plan.map_share * plan.steps)
        self.writer = _writer(out) if tensorboard and workers.first else None

    def update(self) -> dict[str, float]:
        """Take the step number `step`; returns its losses."""
        if self.step == self.map_steps:
            self._keep_map()
        if self.step >= self.map_steps:
            self.rates[-1] = 0.0  # the map's
        batch = self.batches.draw(self.step).to(self.workers.device)
        self.learner.train()
        with torch.autocast(self.workers.device.type, torch.bfloat16, enabled=self.plan.bfloat16):
            losses: dict[str, Tensor] = self.parallel(batch)
        with quicker_masks(self.learner, self.plan.mask_gain):
            self.descend(losses["total"])
        self.follow()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _keep_map(self) -> None:
        """Let the map be its average; codes mean the same from now on.

        So a motion model can be trained in them while the renderer still learns to draw them.
        """
        names = self.learner.to_code.state_dict()
        self.learner.to_code.load_state_dict({k: self.average[f"to_code.{k}"] for k in names})

    def report(self, means: dict[str, float]) -> dict[str, float]:
        """Mean losses since the last report, kept as a line and for TensorBoard."""
        if self.writer is not None:
            for name, value in means.items():
                self.writer.add_scalar(f"loss/{name}", value, self.step)
        return super().report(means)

    def look(self) -> None:
        """Draw held-out people with the average, as a picture file and for TensorBoard."""
        with self.averaged():
            sheet = draw_sheet(self.learner, self.held_out, self.workers.device)
        folder = self.out / "sheets"
        folder.mkdir(exist_ok=True)
        sheet.save(folder / f"{self.step:06d}.png")
        if self.writer is not None:
            pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
            picture = pixels.view(sheet.height, sheet.width, 3)
            self.writer.add_image("held out", picture, self.step, dataformats="HWC")

    def about(self) -> dict[str, str]:
        """What the weights say of themselves."""
        return super().about() | {"config": json.dumps(asdict(self.learner.renderer.config))}


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


def _optimiser(learner: Learner, plan: Plan) -> torch.optim.Adam:
    """Adam; a weight of unit variance takes larger steps to the same effect. The map comes last."""
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
        {"params": flow, "lr": plan.flow_rate},
        {"params": equal, "lr": plan.rate},
        {"params": plain, "lr": plan.plain_rate},
        {"params": to_code, "lr": plan.plain_rate},
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99))


def _writer(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SystemExit(
            "--tensorboard needs the tensorboard package: pip install 'vivavoce[train]'"
        ) from error
    return SummaryWriter(str(out / "tensorboard"))
