"""Training of the renderer: losses, the first scaling of weights, resumption, several workers."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from pipelines.anitalker.config import MAPPED, RendererConfig
from pipelines.anitalker.layers import FlowHead
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.network import FlowWarp
from pipelines.anitalker.pair import config_of
from pipelines.anitalker.weights import map_of
from pipelines.checkpoints import check_tensors
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.weights import read_metadata
from tests.support.workers import train_in_two
from training.flow_warp.batches import Sampler
from training.flow_warp.export import export
from training.flow_warp.head import refit
from training.flow_warp.learner import PUBLISHED, Learner
from training.flow_warp.losses import (
    RandomFeatures,
    attention,
    colour_loss,
    feature_loss,
    flow_loss,
    hole_loss,
)
from training.flow_warp.motions import motion_bank
from training.flow_warp.run import Plan, Run, as_published, quicker_masks
from training.flow_warp.start import settle
from training.flow_warp.store import Clip, read_faces, write_clip
from training.workers import Workers

TINY = RendererConfig(size=16, widths=(4, 8, 8), latent_dim=24)
PLAN = Plan(steps=4, warm_up=1, report=2, sheet=2)
ALONE = Workers(torch.device("cpu"))


def _fill(folder: Path, people: int = 4) -> None:
    """A bright bar that moves down with the motion, before each person's own colour."""
    chance = np.random.default_rng(0)
    for who in range(people):
        frames = np.empty((6, 16, 16, 3), np.uint8)
        frames[:] = chance.integers(30, 120, 3)
        motion = np.zeros((6, MOTION_DIM), np.float32)
        for index in range(6):
            frames[index, 4 + index : 7 + index, 3:13] = 220
            motion[index, 0] = index / 10
        regions = np.full((6, 3, 3), 0.2, np.float32)
        write_clip(folder / f"{who}.safetensors", Clip(frames, regions, motion, str(who // 2)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    _fill(folder / "train")
    _fill(folder / "held_out", people=2)
    return folder


def _run(data: Path, out: Path, plan: Plan = PLAN, mapped: float = 0.85) -> Run:
    out.mkdir(exist_ok=True)
    samplers = [
        Sampler(read_faces(data / part, 16), seed=0, mapped=mapped)
        for part in ("train", "held_out")
    ]
    return Run(TINY, *samplers, out, plan, ALONE)


def test_attention_is_highest_where_people_look() -> None:
    regions = torch.tensor([[[0.0, 0.5, 0.2], [-0.4, -0.3, 0.1], [0.4, -0.3, 0.1]]])
    weight = attention(regions, 64)[0, 0]
    assert float(weight.mean()) == pytest.approx(1.0)
    assert float(weight[47, 31]) > 3 * float(weight[0, 0])
    assert float(weight[22, 19]) > 3 * float(weight[0, 0])


def test_losses_are_nothing_for_equal_pictures_and_grow_with_difference() -> None:
    torch.manual_seed(0)
    wanted, noise = torch.rand(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    weight, features = torch.ones(2, 1, 32, 32), RandomFeatures()
    last = [-1.0, -1.0]
    for amount in (0.0, 0.1, 0.3):
        made = wanted + amount * noise
        found = [colour_loss(made, wanted, weight), feature_loss(features, made, wanted, weight)]
        assert (amount == 0.0) == all(float(loss) == 0.0 for loss in found)
        assert all(float(now) > before for now, before in zip(found, last, strict=True))
        last = [float(loss) for loss in found]


def test_flows_are_held_to_what_is_known() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(2, 2, 8, 8) - 0.5
    weight = torch.ones(2, 1, 16, 16)
    fine = F.interpolate(wanted, (16, 16), mode="nearest")
    assert float(flow_loss([wanted, fine], wanted, weight)) == pytest.approx(0.0, abs=1e-6)
    wrong = wanted.clone()
    wrong[0, :, :4] += 0.1
    assert float(flow_loss([wrong], wanted, weight)) > 0.01
    unknown = wanted.clone()
    unknown[0, :, :4] = float("nan")
    assert float(flow_loss([wrong], unknown, weight)) == pytest.approx(0.0, abs=1e-6)
    assert float(flow_loss([wrong], torch.full_like(wanted, float("nan")), weight)) == 0.0


def test_masks_are_held_to_what_the_photo_shows() -> None:
    flows = torch.zeros(2, 2, 16, 16)
    flows[0, :, 10:12, 6:10] = float("nan")  # an open mouth
    flows[1] = float("nan")  # nothing known
    regions = torch.tensor([[[0.0, 0.4, 0.25], [-0.4, -0.3, 0.1], [0.4, -0.3, 0.1]]]).expand(
        2, 3, 3
    )
    right = torch.full((2, 1, 16, 16), 12.0)
    right[0, :, 10:12, 6:10] = -12.0
    right[1] = -12.0
    assert float(hole_loss([right], flows, regions)) < 1e-3
    shut = torch.full((2, 1, 16, 16), 12.0)
    assert float(hole_loss([shut], flows, regions)) > 0.3
    beside, far = right.clone(), right.clone()
    beside[0, :, 12:14, 5:9] = far[0, :, 0:2, 5:9] = -12.0
    assert float(hole_loss([beside], flows, regions)) > 0.5
    assert 0.05 < float(hole_loss([far], flows, regions)) < 0.2
    flows[0, :, 5, 4:6] = float("nan")  # a closed lid
    assert float(hole_loss([right], flows, regions)) > 0.3


def test_masks_step_further_than_flows(data: Path, tmp_path: Path) -> None:
    run = _run(data, tmp_path)
    head = next(m for m in run.learner.renderer.modules() if isinstance(m, FlowHead))
    before = head.weight.detach().clone()
    with quicker_masks(run.learner, 10.0), torch.no_grad():
        head.weight.add_(0.01)
    moved = head.weight.detach() - before
    torch.testing.assert_close(moved[:2], torch.full_like(moved[:2], 0.01), rtol=0, atol=1e-6)
    torch.testing.assert_close(moved[2], torch.full_like(moved[2], 0.1), rtol=0, atol=1e-6)


def test_the_map_is_kept_after_its_share_of_the_steps(data: Path, tmp_path: Path) -> None:
    run = _run(data, tmp_path, replace(PLAN, steps=3, map_share=0.6, report=3, sheet=3))
    run.train()
    kept = run.average["to_code.layers.0.weight"]
    assert torch.equal(run.learner.to_code.layers[0].weight, kept)
    again = _run(data, tmp_path, replace(PLAN, steps=6, map_share=0.3, report=3, sheet=3))
    again.resume()
    again.train()
    assert again.step == 6
    assert torch.equal(again.learner.to_code.layers[0].weight, kept)
    directions = "renderer.generator.directions"
    assert not torch.equal(again.average[directions], run.average[directions])


def test_the_head_is_fitted_without_touching_the_pictures(data: Path, tmp_path: Path) -> None:
    run = _run(data, tmp_path, Plan(steps=20, warm_up=2, report=20, sheet=20))
    run.train()
    before = load_file(tmp_path / "model.safetensors")
    found = refit(tmp_path, data, frames=6, steps=300, seed=0)
    after = load_file(tmp_path / "model.safetensors")
    assert found["train"] > 0.3  # the bar's place is easily seen
    for name, value in before.items():
        assert torch.equal(value, after[name]) != name.startswith("renderer.motion."), name


def test_export_splits_renderer_and_map(data: Path, tmp_path: Path) -> None:
    run = _run(data, tmp_path)
    run.train()
    renderer, to_code = export(tmp_path, tmp_path / "weights")
    assert renderer.name == "anitalker-renderer.safetensors"
    assert to_code.name == "anitalker-motion.safetensors"
    tensors = load_file(renderer)
    rest = tensors.pop("rest")
    assert config_of({name: value.shape for name, value in tensors.items()}, "ours") == TINY
    check_tensors(tensors, FlowWarp(TINY).state_dict(), "ours")
    held = load_file(to_code)
    check_tensors(held, MotionToCode(TINY.motion_dim).state_dict(), "map")
    assert torch.equal(rest, map_of(held, "map").rest())
    assert read_metadata(to_code)["kind"] == MAPPED


def test_weights_begin_with_codes_that_differ_and_pictures_that_are_the_source(data: Path) -> None:
    torch.manual_seed(0)
    sampler = Sampler(read_faces(data / "train", 16), seed=0)
    pictures = torch.cat([sampler.draw(step).driving for step in range(4)])
    renderer = FlowWarp(TINY)
    to_code = MotionToCode(TINY.motion_dim)
    motion = torch.from_numpy(motion_bank(0, 64))
    settle(renderer, to_code, pictures, motion)
    with torch.no_grad():
        code = renderer.encode(pictures).code
        spread, mean = torch.std_mean(code, 0)
        mapped = to_code(motion).std(0).mean()
        drawn = renderer(pictures[:8], pictures[8:16])
    assert float(spread.mean()) == pytest.approx(1.0, abs=1e-3)
    assert float(mapped) == pytest.approx(1.0, abs=1e-3)
    assert float(mean.abs().max()) < 1e-3
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    apart = (pictures[:8] - pictures[8:16])[inner].abs().mean()
    assert float((drawn - pictures[:8])[inner].abs().mean()) < 0.5 * float(apart)
    with pytest.raises(ValueError, match="at least 8"):
        settle(renderer, to_code, pictures[:4], motion)


def test_frames_in_which_lids_move_are_drawn_more_often(data: Path, tmp_path: Path) -> None:
    face = read_faces(data / "train", 16)[0]
    assert face.motion is not None
    motion = face.motion.numpy()
    motion[[1, 4], MOTION_INDEX["eyeBlinkRight"]] = 0.5, 1.0
    frames = np.zeros((6, 16, 16, 3), np.uint8)
    frames += np.arange(6, dtype=np.uint8)[:, None, None, None] * 40
    for who in range(2):
        clip = Clip(frames, face.regions.numpy(), motion, "one")
        write_clip(tmp_path / f"{who}.safetensors", clip)
    sampler = Sampler(read_faces(tmp_path, 16), seed=0, vary=False, cross=0.0)
    shown = torch.cat([sampler.draw(step).driving.mean((1, 2, 3)) for step in range(60)])
    number = ((shown + 1.0) * 127.5 / 40.0).round().long()
    share = float(((number == 1) | (number == 4)).float().mean())
    assert 0.5 < share < 0.7  # 2 of 6, three times as often


def test_unknown_motion_costs_nothing(data: Path) -> None:
    torch.manual_seed(0)
    learner = Learner(TINY, people=4)
    batch = Sampler(read_faces(data / "train", 16), seed=0).draw(0)
    assert float(learner(batch)["code"].detach()) > 0.0
    unknown = replace(batch, motion=torch.full_like(batch.motion, float("nan")), mapped=False)
    losses = learner(unknown)
    assert float(losses["code"].detach()) == 0.0
    losses["total"].backward()
    for name, parameter in learner.named_parameters():
        assert parameter.grad is not None, name  # several workers wait for every gradient
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()) != name.startswith("to_code"), name


def test_training_learns(data: Path, tmp_path: Path) -> None:
    run = _run(data, tmp_path / "run", Plan(steps=60, warm_up=5, report=20, sheet=60))
    run.train()
    rows = [json.loads(line) for line in (tmp_path / "run/curve.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 40, 60]
    assert rows[-1]["colour"] < 0.95 * rows[0]["colour"]
    assert (tmp_path / "run/sheets/000060.png").exists()


def test_the_published_recipe_learns_from_pictures_alone(data: Path, tmp_path: Path) -> None:
    plan = as_published(replace(PLAN, steps=2))
    run = _run(data, tmp_path, plan, mapped=0.0)
    to_code = [parameter.clone() for parameter in run.learner.to_code.parameters()]
    run.train()
    kept = zip(to_code, run.learner.to_code.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in kept)
    losses = json.loads((tmp_path / "curve.jsonl").read_text().splitlines()[-1])
    paid = sum(losses[n] * w for n, w in asdict(PUBLISHED).items() if w) + losses["density"]
    assert losses["total"] == pytest.approx(paid, rel=1e-4)


def test_a_resumed_run_ends_as_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole = _run(data, tmp_path / "whole")
    whole.train()
    part = _run(data, tmp_path / "part")
    _stop_after(part, 2)
    again = _run(data, tmp_path / "part")
    again.resume()
    assert again.step == 2
    again.train()
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "part"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def _stop_after(run: Run, steps: int) -> None:
    """Train as one that is killed right after it saved step `steps`."""
    save = run.save

    def save_and_die() -> None:
        save()
        if run.step == steps:
            raise KeyboardInterrupt

    run.save = save_and_die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.train()


_WORKER = """
import sys
from pathlib import Path
import torch
from pipelines.anitalker.config import RendererConfig
from training.flow_warp.batches import Sampler
from training.flow_warp.motions import motion_bank
from training.flow_warp.run import Plan, Run
from training.flow_warp.store import read_faces
from training.workers import joined

data, out = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
config = RendererConfig(size=16, widths=(4, 8, 8), latent_dim=24)
with joined("cpu") as workers:
    sampler = Sampler(read_faces(data / "train", 16), seed=0, rank=workers.rank)
    run = Run(config, sampler, sampler, out, Plan(steps=3, report=3, sheet=3), workers)
    run.train()
    torch.save(run.learner.state_dict(), out / f"rank{workers.rank}.pt")
"""


def test_two_workers_train_one_model(data: Path, tmp_path: Path) -> None:
    weights = train_in_two(_WORKER, data, tmp_path)
    assert len((tmp_path / "curve.jsonl").read_text().splitlines()) == 1
    alone = _run(data, tmp_path / "alone", replace(PLAN, steps=3))
    alone.train()  # sees the first worker's batches only, so it learns something else
    assert not torch.equal(alone.learner.margin.centres, weights["margin.centres"])
