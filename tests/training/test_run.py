"""What all training runs share: the pace, the rates, the average, the curve, what is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.weights import read_metadata
from training.flow_warp.run import Plan as FlowWarpPlan
from training.motion.train import Schedule
from training.run import BasePlan, BaseRun
from training.swaptalk.run import Plan as SwapPlan
from training.swaptalk.vqgan.run import Plan as VqganPlan
from training.workers import Workers


@dataclass(frozen=True, kw_only=True)
class _Plan(BasePlan):
    steps: int = 7
    rate: float = 0.1
    warm_up: int = 2
    average: float = 0.9
    clip: float = 10.0
    report: int = 2


class _Run(BaseRun):
    """Two weights go down the same slope, one at a tenth of the other's rate, beside a teacher."""

    def __init__(self, out: Path, plan: BasePlan | None = None, rank: int = 0) -> None:
        network = nn.ParameterDict({"quick": torch.ones(1), "slow": torch.ones(1)})
        network.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        learner = nn.ModuleDict({"network": network, "teacher": nn.Linear(1, 1)})
        optimiser = torch.optim.SGD(
            [{"params": [network["quick"]], "lr": 1.0}, {"params": [network["slow"]], "lr": 0.1}]
        )
        workers = Workers(torch.device("cpu"), rank)
        super().__init__(learner, network, optimiser, out, plan or _Plan(), workers, save_every=3)
        self.looked: list[int] = []

    def update(self) -> dict[str, float]:
        total = self.network["quick"].sum() + self.network["slow"].sum()
        self.descend(total)
        self.network.taken += 1
        self.follow()
        return {"total": float(total.detach()), "number": float(self.step)}

    def look(self) -> None:
        with self.averaged():
            assert not self.learner.training
            assert torch.equal(self.network["quick"], self.average["quick"])
        self.looked.append(self.step)


@pytest.mark.parametrize(
    ("plan", "paces"),
    [
        (FlowWarpPlan(steps=1000), {0: 0.01, 49: 0.5, 99: 1.0, 333: 1.0, 667: 0.509, 1000: 0.02}),
        (VqganPlan(steps=300), {0: 0.05, 9: 0.5, 19: 1.0, 100: 1.0, 200: 0.51, 300: 0.02}),
        (SwapPlan(steps=1000), {0: 0.02, 24: 0.499, 500: 0.51, 1000: 0.02}),
        (Schedule(steps=1300), {149: 0.5, 299: 1.0, 300: 1.0, 800: 0.515, 1300: 0.03}),
        (FlowWarpPlan(steps=150), {99: 1.0, 100: 1.0, 125: 0.51, 150: 0.02}),
        (FlowWarpPlan(steps=6), {0: 0.01, 5: 0.06}),
    ],
)
def test_the_pace_warms_up_holds_and_slows_down(plan: BasePlan, paces: dict[int, float]) -> None:
    assert {step: plan.pace(step) for step in paces} == pytest.approx(paces, abs=1e-3)


def test_groups_step_at_their_own_rates(tmp_path: Path) -> None:
    run = _Run(tmp_path)
    run.update()
    quick, slow = (1.0 - float(run.network[name].detach()) for name in ("quick", "slow"))
    assert quick == pytest.approx(0.5)  # half of the rate: the first step of a warm-up of two
    assert slow == pytest.approx(0.05)


def test_gradients_are_clipped_to_the_norm_of_what_is_trained(tmp_path: Path) -> None:
    run = _Run(tmp_path, _Plan(clip=0.1))
    run.learner["teacher"].weight.grad = torch.full((1, 1), 100.0)
    run.update()
    grads = torch.cat([run.network[name].grad for name in ("quick", "slow")])
    assert float(grads.norm()) == pytest.approx(0.1, rel=1e-3)


def test_the_average_follows_and_counts_are_copied(tmp_path: Path) -> None:
    run = _Run(tmp_path)
    expected = 1.0
    for step in range(3):
        run.update()
        run.step += 1
        keep = (step + 1) / (step + 10)
        expected = keep * expected + (1.0 - keep) * float(run.network["quick"].detach())
    assert float(run.average["quick"]) == pytest.approx(expected)
    assert int(run.average["taken"]) == 3


def test_lines_are_means_of_the_steps_since_the_last_one(tmp_path: Path) -> None:
    run = _Run(tmp_path)
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [(line["step"], line["number"]) for line in lines] == [
        (2, 0.5), (4, 2.5), (6, 4.5), (7, 6.0),
    ]  # fmt: skip
    assert run.looked == [3, 6, 7]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curve.jsonl", "last.pt", "model.safetensors",
    ]  # fmt: skip
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in run.average.items())
    about = read_metadata(tmp_path / "model.safetensors")
    assert about["step"] == "7"
    assert json.loads(about["plan"])["rate"] == 0.1


def test_only_the_first_worker_writes(tmp_path: Path) -> None:
    run = _Run(tmp_path, rank=1)
    run.train()
    assert run.step == 7
    assert run.looked == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_at_the_rates_of_its_plan_whatever_the_file_says(tmp_path: Path) -> None:
    """Files of before have rates in the optimiser's groups, too."""
    _Run(tmp_path, _Plan(steps=3)).train()
    held = torch.load(tmp_path / "last.pt", weights_only=True)
    assert sorted(held) == ["average", "learner", "optimiser", "step"]
    for group in held["optimiser"]["param_groups"]:
        group |= {"full_rate": 50.0, "is_map": False, "lr": 50.0}
    torch.save(held, tmp_path / "last.pt")
    again = _Run(tmp_path)
    again.resume()
    assert again.step == 3
    for name, value in held["learner"].items():
        assert torch.equal(again.learner.state_dict()[name], value)
    again.update()
    assert [group["lr"] for group in again.optimiser.param_groups] == pytest.approx(
        [rate * again.plan.pace(3) for rate in (1.0, 0.1)]
    )
