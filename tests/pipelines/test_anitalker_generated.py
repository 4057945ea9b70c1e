"""Motion codes drawn by our own generator: streams, controls, faces, and the file it comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines import weights
from pipelines.anitalker.config import GENERATED, AniTalkerOptions
from pipelines.anitalker.generated_codes import LEVELS, GeneratedCodes, given
from pipelines.anitalker.motion import load_motion
from pipelines.anitalker.weights import load_generator
from pipelines.audio.mel import MelConfig
from pipelines.diffusion import config
from pipelines.diffusion.config import PRESETS, GeneratorConfig
from pipelines.diffusion.generator import Given, MotionGenerator
from pipelines.diffusion.schedule import flow_levels, sample
from pipelines.diffusion.stream import StreamingSampler, Window
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.motion.model import Features
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.pipeline import HOP_SAMPLES
from tests.support.small import write_weights

SMALL = replace(PRESETS["codes"], down=(16, 16), speech_blocks=1, side_dim=8, dropout=0.0)
WINDOW = Window(context=4, ahead=2)


def network(config: GeneratorConfig = SMALL) -> MotionGenerator:
    torch.manual_seed(0)
    model = MotionGenerator(config).eval()
    torch.nn.init.normal_(model.out_proj.weight, std=0.3)
    model.unit.copy_(torch.linspace(1.0, 3.0, config.motion_dim))
    return model.requires_grad_(False)


def drawn(**more: object) -> GeneratedCodes:
    return GeneratedCodes(MelConfig(), network(), window=WINDOW, **more)  # type: ignore[arg-type]


def face(seed: int) -> IdentityFeatures:
    chance = torch.Generator().manual_seed(seed)
    return IdentityFeatures(
        "0" * 64, {"code": (torch.rand(20, generator=chance) - 0.5).numpy()}, {}
    )


def sound(hops: int, batch: int = 1) -> Tensor:
    chance = torch.Generator().manual_seed(5)
    return torch.randn(batch, hops * HOP_SAMPLES, generator=chance) * 0.1


class Stream:
    """Slots of a motion model that hear sound hop by hop; every one of them by seed 3."""

    def __init__(self, motion: GeneratedCodes, faces: list[IdentityFeatures]) -> None:
        self.motion, self.batch = motion, len(faces)
        self.features: Features = motion.features()
        self.heard = self.features.init_state(self.batch)
        self.state = motion.init_state(self.batch, seeds=torch.full((self.batch,), 3))
        for slot, each in enumerate(faces):
            motion.set_identity(self.state, slot, each)

    def play(
        self, samples: Tensor, controls: Tensor | None = None, active: Tensor | None = None
    ) -> Tensor:
        """Codes [B, T, D]."""
        on = torch.ones(self.batch, dtype=torch.bool) if active is None else active
        row = (control_row() if controls is None else controls).repeat(self.batch, 1)
        made = []
        with torch.no_grad():
            for hop in samples.split(HOP_SAMPLES, 1):
                speech = hop.square().mean(1) > 1e-4
                rows = self.features.step(hop, self.heard, on)
                made.append(self.motion.step(rows, speech, row, self.state, on))
        return torch.stack(made, 1)


def test_every_face_moves_by_the_same_difference() -> None:
    codes = Stream(drawn(), [face(1), face(2)]).play(sound(12).expand(2, -1))
    own = torch.stack([face(n).tensors["code"] for n in (1, 2)])[:, None]
    torch.testing.assert_close(*(codes - own))
    assert (codes - own).abs().max() > 0.1


def test_another_face_in_mid_stream_goes_on_with_the_same_motion() -> None:
    motion, samples = drawn(), sound(12)
    stream = Stream(motion, [face(1)])
    stream.play(samples[:, : 6 * HOP_SAMPLES])
    motion.set_identity(stream.state, 0, face(2))
    codes = stream.play(samples[:, 6 * HOP_SAMPLES :])
    whole = Stream(motion, [face(2)]).play(samples)
    torch.testing.assert_close(codes, whole[:, 6:])


def test_codes_are_in_units_of_the_network() -> None:
    samples, none = sound(6), IdentityFeatures("0" * 64, {"code": np.zeros(20, np.float32)}, {})
    codes = Stream(drawn(), [none]).play(samples)
    motion = drawn()
    motion.sampler.model.unit.fill_(1.0)
    plain = Stream(motion, [none]).play(samples)
    torch.testing.assert_close(codes, plain * network().unit)
    assert plain.abs().max() <= 1.0


def test_a_window_is_drawn_whole() -> None:
    """Nothing of the past is known: the frame due is that of the window sampled by itself."""
    model, levels = network(), flow_levels([1.0, 0.4])
    sampler = StreamingSampler(model, WINDOW, levels, hidden=20)
    rows = torch.randn(1, 4 * 20, SMALL.audio_dim)
    told = torch.randn(1, 20, SMALL.given_dim)
    state = sampler.init_state(rows[0, 0], torch.zeros(1, 20), torch.tensor([4]))
    active, frames = torch.tensor([True]), WINDOW.frames
    for n in range(20):
        heard = rows[:, : 4 * n + 4][:, -4 * frames :]
        noise = sampler.noise(state)
        now = Given(told[:, n : n + 1].expand(-1, frames, -1))
        out = sampler.step(rows[:, 4 * n : 4 * n + 4], state, active, given=now)
    condition = model.condition(model.hear(heard), torch.zeros(1, 20), given=now)
    alone = sample(model, condition, noise, levels)
    torch.testing.assert_close(out, alone[:, WINDOW.context : WINDOW.context + 1])


def test_chance_does_not_make_a_face_tremble() -> None:
    sampler = StreamingSampler(network(), WINDOW, flow_levels([1.0, 0.4]), hidden=20)
    row, told = torch.randn(SMALL.audio_dim), torch.randn(1, WINDOW.frames, SMALL.given_dim)
    state = sampler.init_state(row, torch.zeros(1, 20), torch.tensor([4]))
    same, active = row.expand(1, 4, -1), torch.tensor([True])
    codes = [sampler.step(same, state, active, given=Given(told)) for _ in range(4)]
    for code in codes[1:]:
        torch.testing.assert_close(code, codes[0])


def test_controls_reach_the_generator() -> None:
    calm = control_row(expression=0.5, head_motion=0.0, gaze=0.0, blink_rate=0.0)
    stream = Stream(drawn(), [face(1)])
    stream.play(sound(8), calm)
    told = stream.state.given[0, -1]
    assert float(told[-1]) == 0.5
    assert told[:9].abs().max() == 0.0
    stream.play(sound(8))
    assert stream.state.given[0, -1, :8].abs().min() > 0.0


def test_what_is_told_has_units() -> None:
    life = torch.zeros(2, MOTION_DIM)
    life[1, MOTION_INDEX["headYaw"]], life[1, MOTION_INDEX["eyeBlinkLeft"]] = 12.0, 0.5
    told = given(life, torch.tensor([[1.0], [2.0]]))
    assert told.shape == (2, SMALL.given_dim)
    assert told[0].tolist() == [0.0] * 11 + [1.0]
    assert told[1].count_nonzero() == 3
    assert float(told[1, 0]) == 2.0


def test_a_generator_insists_on_what_is_given() -> None:
    model = network()
    with pytest.raises(ValueError, match="head and eyes"):
        model.condition(torch.zeros(1, 3, 16), torch.zeros(1, 20))


def test_a_slot_that_rests_is_untouched_and_a_reset_one_is_new() -> None:
    motion, samples = drawn(), sound(10, 2)
    samples[1] = samples[0]
    stream = Stream(motion, [face(1), face(2)])
    first, second = samples.split(5 * HOP_SAMPLES, 1)
    before = stream.play(first)
    stream.play(second, active=torch.tensor([True, False]))
    again = torch.tensor([True, False])
    stream.heard.reset(again)
    stream.state.reset(again)
    codes = stream.play(torch.stack([first[0], second[1]]))
    torch.testing.assert_close(codes[0], before[0])
    whole = Stream(motion, [face(2)]).play(samples[1:])
    torch.testing.assert_close(codes[1:], whole[:, 5:])


def test_it_waits_for_what_it_looks_ahead_to() -> None:
    motion = drawn()
    assert motion.delay == WINDOW.ahead
    assert motion.look_ahead + motion.features().look_ahead == WINDOW.ahead * HOP_SAMPLES


def test_behaviour_follows_the_voice() -> None:
    stream = Stream(drawn(), [face(1)])
    stream.play(torch.zeros(1, 4 * HOP_SAMPLES))
    assert int(stream.motion.behaviour(stream.state)) == 0


def test_the_pipeline_plays_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(weights, "shipped_weights_dir", lambda: tmp_path / "shipped")
    monkeypatch.setitem(config.PRESETS, "codes", SMALL)
    write_weights(tmp_path)
    state = {
        k: v.half() if v.dtype == torch.float32 else v for k, v in network().state_dict().items()
    }
    save_file(state, tmp_path / "mine.safetensors", {"kind": GENERATED})
    assert load_generator("mine").unit.dtype == torch.float32
    motion = load_motion(AniTalkerOptions(motion_weights="mine"))
    assert isinstance(motion, GeneratedCodes)
    assert motion.sampler.levels == LEVELS


def test_a_generator_makes_codes_as_long_as_those_it_learnt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    monkeypatch.setitem(config.PRESETS, "codes", SMALL)
    state = MotionGenerator(replace(SMALL, motion_dim=7)).state_dict()
    save_file(state, tmp_path / "short.safetensors", {"kind": GENERATED})
    assert load_generator("short").config.motion_dim == 7


def test_what_ships_moves_a_mouth_by_sound_and_rests_without() -> None:
    model = load_generator(GENERATED)
    motion = GeneratedCodes(MelConfig(), model)
    still = control_row(head_motion=0.0, gaze=0.0, blink_rate=0.0)
    still_code = np.zeros(model.config.motion_dim, np.float32)
    none = IdentityFeatures("0" * 64, {"code": still_code}, {})
    quiet = Stream(motion, [none]).play(torch.zeros(1, 25 * HOP_SAMPLES), still)[0, -10:]
    assert quiet.diff(dim=0).norm(dim=1).max() < 0.2
    hops = torch.arange(50 * HOP_SAMPLES)
    voice = 0.3 * torch.sin(hops * 0.05).sign() * (torch.sin(hops * 0.0016) > 0)  # syllables
    talk = Stream(motion, [none]).play(voice[None], still)[0, -40:]
    assert talk.std(0).norm() > 5.0 * quiet.std(0).norm()
