"""Training of a generator of motion codes: windows in codes, the objective, runs, the export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.anitalker.config import GENERATED
from pipelines.anitalker.generated_codes import GIVEN_DIM, given
from pipelines.anitalker.mapped_codes import MotionToCode
from pipelines.anitalker.weights import map_of
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.motion.idle import SPEAKING, IdleMotion
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.weights import CheckpointError, read_metadata
from tests.support.small_corpus import FRAMES, STRETCHES, write_corpus
from training.motion import export, train
from training.motion.codes import CodeObjective, CodeWindows, _live, unit_of
from training.motion.objectives import Auxiliary
from training.speech.corpus_store import LABEL_LIST

CODES = PRESETS["codes"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def to_code() -> MotionToCode:
    torch.manual_seed(3)
    return MotionToCode(hidden=16).requires_grad_(False)


@pytest.fixture
def windows(corpus: Path, to_code: MotionToCode) -> CodeWindows:
    return CodeWindows([corpus / "train"], 0, to_code, torch.full((20,), 2.0))


def test_codes_are_those_of_the_face_upon_life(windows, to_code, corpus) -> None:
    batch = windows.at(np.array([2, 1]), np.array([30, 0]), 18)
    life = torch.from_numpy(np.load(corpus / "train" / "life.npy")[2, 30:48]).float()
    face = torch.from_numpy(np.load(corpus / "train" / "targets.npy")[2, 30:48]).float()
    strength = float(np.load(corpus / "train" / "expression.npy")[2])
    motion = life + strength * face  # the targets here have nothing but a mouth
    motion[:, : len(BLENDSHAPES)].clamp_(0.0, 1.0)
    torch.testing.assert_close(batch.codes[0] * 2.0, to_code.moved(motion))
    told = given(life, torch.full((18, 1), strength))
    torch.testing.assert_close(batch.given[0], told)
    assert batch.given.shape == (2, 18, GIVEN_DIM)
    assert CODES.given_dim == GIVEN_DIM


def test_before_its_stretch_a_face_rests(windows) -> None:
    batch = windows.at(np.array([1]), np.array([-4]), 18)
    assert batch.codes[0, :4].abs().max() < 1e-6
    assert batch.codes[0, 4:].abs().max() > 1e-3
    assert batch.given[0, :4, :-1].abs().max() == 0.0


def test_life_is_drawn_for_every_stretch(windows, corpus) -> None:
    life = np.load(corpus / "train" / "life.npy")
    assert life.shape == (STRETCHES, FRAMES, MOTION_DIM)
    assert life[..., MOTION_INDEX["jawOpen"]].max() == 0.0
    heads = life[..., MOTION_INDEX["headYaw"]]
    assert len(np.unique(heads)) > STRETCHES * FRAMES // 2
    assert len(np.load(corpus / "train" / "expression.npy")) == STRETCHES


def test_life_blinks_as_told() -> None:
    talking, controls = torch.full((2, 750), SPEAKING), torch.ones(2, 4)
    controls[1, -1] = 0.0
    lids = _live(IdleMotion(), talking, controls, torch.arange(2))[
        ..., MOTION_INDEX["eyeBlinkLeft"]
    ]
    assert lids[0].max() > 0.9
    assert lids[1].max() == 0.0


def test_few_codes_lie_beyond_one_unit(windows, corpus, to_code) -> None:
    windows.unit = unit_of([corpus / "train"], to_code)
    codes = windows.draw(64, 40).codes.abs()
    assert codes.flatten(0, 1).amax(0).min() > 0.5
    assert float((codes > 1.0).float().mean()) < 0.002


def test_the_objective_teaches_every_part_of_the_network(windows) -> None:
    torch.manual_seed(0)
    model = MotionGenerator(CODES)
    auxiliary = Auxiliary(model.config.speech_dim, model.config.rows_per_frame, len(LABEL_LIST))
    loss = CodeObjective(MotionToCode())(model, auxiliary, windows.draw(6, 10))
    loss.total.backward()
    assert torch.isfinite(loss.total)
    untaught = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Keys' biases shift all scores alike; the past is not shown.
    unused = ("linear_k.bias", "encoder_direction_code.weight")
    assert not [key for key in untaught if not key.endswith(unused)]


def test_a_face_at_rest_costs_about_one(windows, corpus, to_code) -> None:
    windows.unit = unit_of([corpus / "train"], to_code)
    model = train._generator_of_codes(None, to_code.code_dim)
    model.unit.copy_(windows.unit)
    auxiliary = Auxiliary(model.config.speech_dim, model.config.rows_per_frame, len(LABEL_LIST))
    loss = CodeObjective(MotionToCode())(model, auxiliary, windows.draw(32, 20))
    assert 0.2 < float(loss.motion.detach()) < 5.0


def test_a_run_by_a_map_makes_weights_that_can_be_shipped(
    corpus: Path, to_code: MotionToCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {f"to_code.{k}": v for k, v in to_code.state_dict().items()}
    save_file(run | {"renderer.x": torch.ones(1)}, tmp_path / "renderer.safetensors")
    start = MotionGenerator(replace(PRESETS["codes"], given_dim=0))
    save_file(start.state_dict(), tmp_path / "start.safetensors")
    out = tmp_path / "run"
    command = ["--corpus", str(corpus), "--out", str(out), "--threads", "1", "--steps", "1"]
    command += ["--map", str(tmp_path / "renderer.safetensors")]
    train.main([*command, "--start", str(tmp_path / "start.safetensors")])
    held = load_file(out / "model.safetensors")
    torch.testing.assert_close(held["unit"], unit_of([corpus / "train"], to_code))
    heard = "speech_encoder.encoders.0.norm_final.weight"
    torch.testing.assert_close(held[heard], start.state_dict()[heard], rtol=0, atol=0.01)
    monkeypatch.setattr(export, "shipped_weights_dir", lambda: tmp_path / "shipped")
    about = read_metadata(export.export(out, "mine"))
    assert (about["kind"], about["codes"]) == (GENERATED, to_code.digest())


def test_a_map_is_found_within_a_run(to_code: MotionToCode) -> None:
    state = to_code.state_dict()
    motion = torch.rand(4, MOTION_DIM)
    run = {f"to_code.{k}": v for k, v in state.items()} | {"renderer.bias": torch.ones(3)}
    for tensors in (state, run):
        torch.testing.assert_close(map_of(tensors, "it").moved(motion), to_code.moved(motion))
    with pytest.raises(CheckpointError, match="not a map"):
        map_of({"renderer.weight": torch.ones(3)}, "it")
