"""Motion models by name: which can be made, and how each treats past, future and chance."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.lips.sounds import Samples
from benchmarks.motion.models import (
    COMPARED,
    STEPS,
    Choice,
    available,
    cost_ms,
    levels,
    make,
    move,
    predicted,
    swept,
)
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import MotionGenerator
from pipelines.motion.diffusion import load_generator
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM

SHAPES = slice(0, len(BLENDSHAPES))
CHOICES = {
    "signal": Choice(kind="signal"),
    "regression": Choice(kind="regression", network="regression", passes=1),
    "whole": Choice(kind="whole", network="velocity", passes=2),
    "stream": Choice(kind="stream", network="velocity", ahead=1, passes=2),
    "epsilon": Choice(kind="stream", network="epsilon", ahead=0, passes=2),
    "distil": Choice(kind="stream", network="distil", ahead=3, passes=1),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained networks where trained ones would be."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    held = MotionGenerator(PRESETS["portrait"]).state_dict()
    for name in ("regression", "velocity", "epsilon", "distil"):
        (folder / name).mkdir()
        save_file(held, folder / name / "model.safetensors")
    return folder


def sound(frames: int, seed: int = 0) -> Samples:
    noise = np.random.default_rng(seed).standard_normal(frames * 640)
    return (0.1 * noise).astype(np.float32)


@pytest.mark.parametrize("name", CHOICES)
def test_each_model_gives_a_frame_per_frame_of_sound(name: str, runs: Path) -> None:
    found = move(make(CHOICES[name], runs), [sound(12), sound(9)])
    assert [tuple(one.shape) for one in found] == [(12, MOTION_DIM), (9, MOTION_DIM)]
    assert all(bool(one.isfinite().all()) for one in found)


@pytest.mark.parametrize(("name", "reach"), [("stream", 1), ("distil", 3), ("regression", 2)])
def test_streaming_models_hear_as_far_ahead_as_they_say(name: str, reach: int, runs: Path) -> None:
    before, changed = sound(12), sound(12)
    changed[10 * 640 :] = 0.5 * sound(2, seed=1)  # frames 10 and 11
    model = make(CHOICES[name], runs)
    a, b = move(model, [before])[0], move(model, [changed])[0]
    torch.testing.assert_close(a[: 10 - reach], b[: 10 - reach])
    assert not torch.equal(a[10 - reach, SHAPES], b[10 - reach, SHAPES])


def test_the_whole_utterance_hears_its_end_at_its_beginning(runs: Path) -> None:
    before, changed = sound(12), sound(12)
    changed[10 * 640 :] = 0.5 * sound(2, seed=1)
    model = make(CHOICES["whole"], runs)
    assert not torch.equal(move(model, [before])[0][0], move(model, [changed])[0][0])


def test_regression_has_no_chance_in_the_face_and_diffusion_has(runs: Path) -> None:
    for name, same in (("regression", True), ("stream", False)):
        model = make(CHOICES[name], runs)
        mouths = []
        for seed in (0, 1):
            model.seed = seed
            mouths.append(move(model, [sound(8)])[0][:, : BLENDSHAPES.index("eyeBlinkLeft")])
        assert torch.equal(mouths[0], mouths[1]) == same


def test_regression_is_the_networks_output_on_zeros_at_time_one(runs: Path) -> None:
    network = load_generator(runs / "regression" / "model.safetensors")
    heard = torch.randn(2, 4 * 6, network.config.audio_dim)
    with torch.inference_mode():
        speech, none = network.hear(heard), torch.zeros(2, 6, 20)
        want = network(none, torch.ones(1, 1), network.condition(speech, torch.zeros(2, 20)))
        torch.testing.assert_close(predicted(network, heard), want.clamp(-1.0, 1.0))


@pytest.mark.parametrize("passes", STEPS)
def test_levels_fall_to_clean_in_the_times_of_training(passes: int) -> None:
    for network in ("velocity", "epsilon"):
        found = levels(network, passes)
        assert len(found) == passes + 1
        assert (found[-1].alpha, found[-1].sigma) == (1.0, 0.0)
        assert all(a.sigma > b.sigma and a.time > b.time for a, b in pairwise(found))
        assert 0.0 < found[0].time <= 1.0


def test_epsilon_is_told_of_a_step_as_in_training() -> None:
    first = levels("epsilon", 8)[0]
    assert first.time == pytest.approx(876 / 1_000)


def test_models_without_weights_are_left_out(runs: Path) -> None:
    can, lack = available(COMPARED, runs)
    assert (len(can), lack) == (len(COMPARED), [])
    (runs / "distil" / "model.safetensors").rename(runs / "distil" / "elsewhere")
    can, lack = available(COMPARED, runs)
    (runs / "distil" / "elsewhere").rename(runs / "distil" / "model.safetensors")
    assert lack == [runs / "distil" / "model.safetensors"]
    assert [one.network for one in COMPARED if one not in can] == ["distil"]


def test_a_sweep_has_every_look_ahead_and_step_once() -> None:
    found = swept((0, 2), (1, 4))
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert {(one.ahead, one.passes) for one in found if one.network == "velocity"} == {
        (0, 1), (2, 1), (0, 4), (2, 4),
    }  # fmt: skip
    assert replace(found[0], ahead=2).name == "velocity, 2 ahead, 1 pass"


def test_cost_is_positive(runs: Path) -> None:
    assert cost_ms(make(CHOICES["signal"], runs), sound(10)) > 0.0
