"""Training of the motion generator: windows of the corpus, objectives, and runs that go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.diffusion.schedule import flow_levels
from pipelines.motion.latent import LATENT_DIM, SHAPES, rest
from tests.support.small_corpus import write_corpus
from training.motion.objectives import Auxiliary, Objective, past, seen
from training.motion.train import Schedule, Trainer
from training.motion.windows import Windows
from training.speech.corpus_store import LABEL_LIST

PLAN = Schedule(steps=4, frames=72, report=2, warm_up=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def test_a_window_holds_sound_and_motion_of_the_same_time(corpus: Path) -> None:
    windows = Windows([corpus / "train"], seed=0)
    batch = windows.at(np.array([2, 1]), np.array([30, -4]), 18)
    jaw = (batch.motion[..., 0] + 1.0) * 0.25
    expected = (30 + torch.arange(18)) / 250.0 + 0.02
    torch.testing.assert_close(jaw[0], expected, rtol=0, atol=2e-3)
    assert abs(float(batch.last[0, 0] + 1.0) * 0.25 - (29 / 250.0 + 0.02)) < 2e-3
    torch.testing.assert_close(
        batch.rows[0], torch.from_numpy(np.array(windows.rows[0][2, 120:192])).float()
    )
    # Before the stretch: silence, a face at rest, no phone.
    assert torch.equal(batch.motion[1, :4], rest().expand(4, -1))
    assert torch.equal(batch.last[1], rest())
    assert set(batch.phones[1, :16].tolist()) == {LABEL_LIST.index("SIL")}
    torch.testing.assert_close(
        batch.rows[1, 16:], torch.from_numpy(np.array(windows.rows[0][1, :56])).float()
    )


def test_windows_are_drawn_by_seed(corpus: Path) -> None:
    one, same, other = (
        Windows([corpus / "train"], seed=s).draw(6, 12, vary=True) for s in (1, 1, 2)
    )
    assert torch.equal(one.rows, same.rows)
    assert not torch.equal(one.rows, other.rows)


def test_what_is_known_lies_in_the_past() -> None:
    torch.manual_seed(0)
    known = past(500, 20)
    assert (known.int().diff(dim=1) <= 0).all()  # known first, then not
    assert not known[:, -1].any()
    assert 0.15 < float((~known[:, 0]).float().mean()) < 0.35


def test_the_past_is_shown_without_the_mouth() -> None:
    motion = torch.rand(8, 10, LATENT_DIM) - 0.5
    shown, last = seen(motion, motion[:, 0])
    assert shown[..., SHAPES].abs().max() == 0
    assert last[:, SHAPES].abs().max() == 0
    difference = (shown - motion)[..., SHAPES.stop :]
    assert 0 < difference.abs().max() < 0.6


@pytest.mark.parametrize("name", ["epsilon", "velocity", "regression", "distil"])
def test_each_objective_teaches_every_part_of_the_network(corpus: Path, name: str) -> None:
    torch.manual_seed(0)
    model = MotionGenerator(PRESETS["portrait"])
    auxiliary = Auxiliary(model.config.speech_dim, model.config.rows_per_frame, len(LABEL_LIST))
    teacher = MotionGenerator(PRESETS["portrait"]).eval() if name == "distil" else None
    objective = Objective(name, teacher, flow_levels([1.0, 0.5]) if teacher else ())
    loss = objective(model, auxiliary, Windows([corpus / "train"], 0).draw(6, 10))
    loss.total.backward()
    assert torch.isfinite(loss.total)
    untaught = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Keys' biases shift all scores alike; the plain network is shown no motion and one time.
    unused = ("linear_k.bias", "encoder_direction_code.weight", "noisy_encoder.0.weight")
    assert not [key for key in untaught if not key.endswith(unused)]


def test_wrong_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown objective"):
        Objective("luck")
    with pytest.raises(ValueError, match="needs a teacher"):
        Objective("distil")


def run(corpus: Path, out: Path, steps: int) -> Trainer:
    out.mkdir(exist_ok=True)
    torch.manual_seed(7)
    model = MotionGenerator(PRESETS["portrait"])
    trainer = Trainer(model, Objective("velocity"), [corpus], out, PLAN)
    trainer.resume()
    while trainer.step < steps:
        trainer._update()
        trainer.step += 1
    trainer.save()
    return trainer


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "a", 2)
    resumed = run(corpus, tmp_path / "a", 4)
    whole = run(corpus, tmp_path / "b", 4)
    assert resumed.step == whole.step == 4
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value)
    kept = load_file(tmp_path / "b" / "model.safetensors")
    assert set(kept) == set(whole.model.state_dict())


def test_a_run_reports_its_curve(corpus: Path, tmp_path: Path) -> None:
    model = MotionGenerator(PRESETS["portrait"])
    Trainer(model, Objective("regression"), [corpus], tmp_path, PLAN).train()
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(np.isfinite(row["held_out_motion"]) for row in rows)
