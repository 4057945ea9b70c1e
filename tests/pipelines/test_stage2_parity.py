"""Stage 2 of AniTalker: imported from files laid out as published, equal to the published numbers.

Each variant is written as a stand-in checkpoint, imported, loaded, and run on the fixture's input;
`FRAMES` of the inner tensors and all of the outputs must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipelines.checkpoints import load_weights
from pipelines.diffusion.config import PRESETS
from pipelines.diffusion.generator import Given, MotionGenerator
from pipelines.diffusion.schedule import ddim_levels, ddpm_alphas, sample, to_sample
from pipelines.import_weights import import_checkpoint
from tests.support.fill import fill, fixture, normal, relative_error, stage2_checkpoint

TOLERANCE = 1e-5
FRAMES = [0, 1, 19, 39]
BLOCK = ("norm_ff_macaron", "self_attn", "norm_mha", "conv_module", "norm_conv", "norm_ff")
VARIANTS = (
    "mfcc_pose_only",
    "mfcc_full_control",
    "hubert_audio_only",
    "hubert_pose_only",
    "hubert_full_control",
)


@dataclass(frozen=True)
class Variant:
    model: MotionGenerator
    arrays: dict[str, np.ndarray]  # of the fixture

    def given(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[f"in.{key}"])

    def audio(self) -> Tensor:
        if "in.audio" in self.arrays:
            return self.given("audio")
        draw = normal("anitalker.s2.hubert", (1, 25, 80, 1024)).astype(np.float32)
        return torch.from_numpy(draw)

    def control(self) -> Given | None:
        """The fixture's signals, as many of them as this variant takes."""
        config = self.model.config
        if not config.pose:
            return None
        framing = (self.given("location"), self.given("scale")) if config.framing else ()
        return Given(self.given("pose"), *framing)


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Variant:
    folder: Path = tmp_path_factory.mktemp("weights")
    file = folder / "stage2.ckpt"
    state = fill(f"stage2_{request.param}")
    torch.save(stage2_checkpoint(state), file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(folder))
        said = import_checkpoint(file, "parity")
        tensors, metadata = load_weights("parity")
    file.unlink()
    (folder / "parity.safetensors").unlink()
    assert request.param in said
    assert metadata["kind"] == "anitalker-stage2"
    assert set(tensors) == set(state)
    assert all(torch.equal(tensors[key], state[key]) for key in state)
    model = MotionGenerator(PRESETS[metadata["variant"]])
    model.load_state_dict(tensors)
    return Variant(model.eval(), fixture(f"stage2_{request.param}"))


def errors(found: dict[str, Tensor | np.ndarray], expected: dict[str, np.ndarray]) -> list[str]:
    """Which arrays are further off than the tolerance, and by how much."""
    off = {key: relative_error(found[key], expected[key]) for key in found}
    return [f"{key}: {error:.1e}" for key, error in off.items() if not error <= TOLERANCE]


def test_inputs_are_the_formula(variant: Variant) -> None:
    arrays = variant.arrays
    assert relative_error(0.5 * normal("anitalker.s2.start", (1, 512)), arrays["in.start"]) < 1e-6
    noise = 0.01 * normal("anitalker.s2.noise", (1, 40, 20))
    assert relative_error(noise, arrays["in.noise"]) < 1e-6
    if "in.audio" in arrays:
        assert (arrays["in.audio"][0] == fixture("audio")["mfcc"][:160]).all()
    else:
        assert (variant.audio()[0, :, :3, :8].numpy() == arrays["in.audio.slice"]).all()


@torch.inference_mode()
def test_single_passes(variant: Variant) -> None:
    model = variant.model
    speech = model.hear(variant.audio())
    condition = model.condition(speech, variant.given("direction"), variant.given("start"))
    found: dict[str, Tensor] = {f"pred.{k}": v for k, v in condition.predicted.items()}
    for step in (0, 500, 980):
        time = torch.full((1, 1), float(step))
        found[f"eps.t{step}"] = model(variant.given("x"), time, condition)
    given = model.condition(
        speech, variant.given("direction"), variant.given("start"), variant.control()
    )
    if variant.control() is not None:
        time = torch.full((1, 1), 500.0)
        found["eps.t500.control"] = model(variant.given("x"), time, given)
    wanted = {key for key in variant.arrays if key.startswith(("pred.", "eps."))}
    assert set(found) == wanted
    assert not errors(found, variant.arrays)


@torch.inference_mode()
def test_inner_tensors(variant: Variant) -> None:
    model = variant.model
    found: dict[str, Tensor] = {}

    def keep(module: nn.Module, name: str, *, channels_first: bool = False) -> None:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], out: Tensor) -> None:
            found[name] = (out.transpose(1, 2) if channels_first else out)[:, FRAMES]

        module.register_forward_hook(hook)

    down = model.get_submodule(f"down_sample{len(model.config.down)}")
    keep(down, "audio.down", channels_first=True)
    if model.config.speech_blocks:
        for i, block in enumerate(model.speech_encoder.encoders):
            keep(block, f"speech.block{i}")
    for i, block in enumerate(model.coarse_decoder.encoders):
        keep(block, f"decoder.block{i}")
    for part in BLOCK:
        keep(model.coarse_decoder.encoders[0].get_submodule(part), f"decoder.block0.{part}")
    model.coarse_decoder.register_forward_pre_hook(
        lambda _module, inputs: found.update({"decoder.in": inputs[0][:, FRAMES]})
    )
    speech = model.hear(variant.audio())
    condition = model.condition(speech, variant.given("direction"), variant.given("start"))
    model(variant.given("x"), torch.full((1, 1), 500.0), condition)

    inner = ("audio.down", "speech.", "decoder.")
    assert set(found) == {key for key in variant.arrays if key.startswith(inner)}
    assert not errors(found, variant.arrays)


@torch.inference_mode()
def test_ten_steps(variant: Variant) -> None:
    check_sampling(variant, 10)


@pytest.mark.slow
@torch.inference_mode()
def test_fifty_steps(variant: Variant) -> None:
    check_sampling(variant, 50)


def check_sampling(variant: Variant, steps: int) -> None:
    model, levels = variant.model, ddim_levels(steps)
    calls: list[tuple[Tensor, Tensor]] = []
    handle = model.register_forward_hook(lambda _m, inputs, out: calls.append((inputs[0], out)))
    speech = model.hear(variant.audio())
    found: dict[str, Tensor | np.ndarray] = {}
    controls = (
        {"": None} if variant.control() is None else {"": None, ".control": variant.control()}
    )
    for name, control in controls.items():
        condition = model.condition(
            speech, variant.given("direction"), variant.given("start"), control
        )
        found[f"ddim{steps}{name}"] = sample(model, condition, variant.given("noise"), levels)
    handle.remove()
    if steps == 10:
        noisy = [x for x, _ in calls[:steps]]
        walk = zip(calls[:steps], levels[:-1], strict=True)
        x0 = [to_sample(x, out, level, "epsilon") for (x, out), level in walk]
        found["ddim10.samples"] = torch.cat([*noisy[1:], found["ddim10"]])
        found["ddim10.x0"] = torch.cat(x0)
        found["ddim10.timesteps"] = np.array([level.time for level in levels[:-1]])
    assert set(found) == {key for key in variant.arrays if key.startswith(f"ddim{steps}")}
    assert not errors(found, variant.arrays)


def test_noise_schedule() -> None:
    arrays = fixture("sampler")
    bars = ddpm_alphas()
    betas = 1.0 - bars / np.concatenate([[1.0], bars[:-1]])
    assert relative_error(bars, arrays["alphas_cumprod"]) <= 1e-12
    assert relative_error(betas, arrays["betas"]) <= 1e-10


def test_legal_step_counts() -> None:
    legal = []
    for steps in range(2, 1_001):
        try:
            levels = ddim_levels(steps)
        except ValueError:
            continue
        assert len(levels) == steps + 1
        legal.append(steps)
    assert legal == fixture("sampler")["valid_steps"].tolist()


class ClosedForm(nn.Module):
    """A model that can be written down: eps = x sqrt(1 - ab) / (1 - 0.84 ab)."""

    def __init__(self) -> None:
        super().__init__()
        self.config = PRESETS["mfcc_pose_only"]
        self.seen: list[Tensor] = []
        self.said: list[Tensor] = []

    def forward(self, noisy: Tensor, time: Tensor, condition: None) -> Tensor:
        bar = fixture("sampler")["alphas_cumprod"][int(time)]
        self.seen.append(noisy)
        self.said.append(noisy * float(np.sqrt(1.0 - bar) / (1.0 - 0.84 * bar)))
        return self.said[-1]


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_sampler_alone(steps: int) -> None:
    arrays = fixture("sampler")
    model, levels = ClosedForm(), ddim_levels(steps)
    end = sample(model, None, torch.from_numpy(arrays["noise"]), levels)  # type: ignore[arg-type]
    walk = zip(model.seen, model.said, levels[:-1], strict=True)
    x0 = [to_sample(x, out, level, "epsilon") for x, out, level in walk]
    assert [level.time for level in levels[:-1]] == arrays[f"timesteps{steps}"].tolist()
    assert relative_error(torch.cat([*model.seen[1:], end]), arrays[f"samples{steps}"]) <= TOLERANCE
    assert relative_error(torch.cat(x0), arrays[f"x0_{steps}"]) <= TOLERANCE
