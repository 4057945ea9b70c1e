"""Motion as codes: ours through the map, published generators as streams."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.baseline.signal_motion import SignalMotion
from pipelines import weights
from pipelines.anitalker.config import Playing
from pipelines.anitalker.mapped_codes import MappedCodes, MotionToCode, lowered, within_reach
from pipelines.anitalker.pair import find_pair
from pipelines.anitalker.published_codes import Audible, CodeState, PublishedCodes, listener
from pipelines.anitalker.weights import load_generator, load_map, load_renderer
from pipelines.audio.hubert import Hubert, HubertLayout, HubertStream, HubertStreamConfig
from pipelines.audio.mel import LogMel, MelConfig
from pipelines.audio.mfcc import Mfcc
from pipelines.diffusion.config import PRESETS, GeneratorConfig
from pipelines.diffusion.generator import MotionGenerator
from pipelines.diffusion.schedule import ddim_levels, sample
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from pipelines.pipeline import HOP_SAMPLES
from pipelines.weights import CheckpointError
from tests.support.small import TINY, write_weights

SMALL = GeneratorConfig(
    features="mfcc", audio_dim=39, down=(16, 16), pose=True, framing=True, adapter_dim=8,
    identity_dim=24, side_dim=8,
)  # fmt: skip
PLAYING = Playing(context=4, ahead=2, steps=4)


def face(seed: int) -> IdentityFeatures:
    chance = torch.Generator().manual_seed(seed)
    code, start = torch.rand(20, generator=chance) - 0.5, torch.randn(24, generator=chance)
    return IdentityFeatures("0" * 64, {"code": code.numpy(), "start": start.numpy()}, {})


def generator(config: GeneratorConfig = SMALL) -> MotionGenerator:
    torch.manual_seed(0)
    model = MotionGenerator(config).eval()
    torch.nn.init.normal_(model.out_proj.weight, std=0.3)
    return model.requires_grad_(False)


def codes(playing: Playing = PLAYING, config: GeneratorConfig = SMALL) -> PublishedCodes:
    return PublishedCodes(generator(config), Audible(Mfcc()), playing)


def rounding(frames: int) -> float:
    """How far the codes of two streams may drift that differ in how their sums are ordered.

    A processor's kernels choose the order by the shape of the batch. Every frame builds upon the
    one before, by each product of the network in each denoising step, and each of them rounds
    codes of about 1 to 2^-24.
    """
    products = sum(parameter.dim() > 1 for parameter in generator().parameters())
    return frames * PLAYING.steps * products * 2.0**-24


def sound(hops: int, batch: int = 1, seed: int = 0) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(batch, hops * HOP_SAMPLES, generator=chance) * 0.1


def play(
    motion: PublishedCodes | MappedCodes,
    samples: Tensor,
    faces: list[IdentityFeatures],
    controls: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Codes [B, T, D] of a fresh stream."""
    batch = len(faces)
    features = motion.features()
    heard = features.init_state(batch)
    state = motion.init_state(batch, seeds=torch.full((batch,), seed))
    for slot, each in enumerate(faces):
        motion.set_identity(state, slot, each)
    return go_on(motion, samples, heard, state, controls)


def go_on(motion, samples, heard, state, controls=None) -> Tensor:  # type: ignore[no-untyped-def]
    batch = len(samples)
    active = torch.ones(batch, dtype=torch.bool)
    row = (control_row() if controls is None else controls).repeat(batch, 1)
    features = motion.features()
    made = []
    with torch.no_grad():
        for hop in samples.split(HOP_SAMPLES, 1):
            rows = features.step(hop, heard, active)
            speech = hop.square().mean(1) > 1e-4
            made.append(motion.step(rows, speech, row, state, active))
    return torch.stack(made, 1)


# Ours


def mapped() -> MappedCodes:
    torch.manual_seed(1)
    return MappedCodes(SignalMotion(MelConfig()), MotionToCode()).requires_grad_(False)


def test_a_face_at_rest_has_the_code_of_rest() -> None:
    still = control_row(expression=0.0, head_motion=0.0, gaze=0.0, blink_rate=0.0)
    motion = mapped()
    assert float(motion.to_code.moved(torch.zeros(2, MOTION_DIM)).abs().max()) < 1e-6
    made = play(motion, torch.zeros(1, 8 * HOP_SAMPLES), [face(1)], still)
    assert float((made - motion.to_code.rest()).abs().max()) < 0.01  # a hint of a smile is left


def test_every_face_is_moved_by_the_same_codes() -> None:
    """A renderer learns to draw the codes of motion, and no other."""
    motion, samples = mapped(), sound(12).expand(2, -1)
    both = play(motion, samples, [face(1), face(2)], seed=4)
    assert torch.allclose(both[0], both[1], atol=1e-6)
    assert float((both - motion.to_code.rest()).abs().max()) > 0.01


def test_the_map_is_of_the_motion_that_portrait_shows() -> None:
    motion, samples = mapped(), sound(12)
    inner = SignalMotion(MelConfig())
    features = LogMel(MelConfig())(samples)
    shown = inner(features, sound_flags(samples), control_row()[None])
    wanted = motion.to_code.drawn(shown[0])
    assert torch.allclose(play(motion, samples, [face(1)])[0], wanted, atol=1e-6)


def sound_flags(samples: Tensor) -> Tensor:
    return samples.unfold(1, HOP_SAMPLES, HOP_SAMPLES).square().mean(2) > 1e-4


def test_codes_are_as_long_as_the_map_makes_them() -> None:
    motion = MappedCodes(SignalMotion(MelConfig()), MotionToCode(7)).requires_grad_(False)
    assert play(motion, sound(2), [face(1)]).shape == (1, 2, 7)


def test_motion_reaches_the_code_straight_and_mixed() -> None:
    to_code, motion = MotionToCode().requires_grad_(False), torch.rand(3, MOTION_DIM)
    mixed = to_code(motion)
    to_code.direct.weight[4, MOTION_INDEX["gazeYaw"]] = 2.0
    added = to_code(motion) - mixed
    assert torch.allclose(added[:, 4], 2.0 * motion[:, MOTION_INDEX["gazeYaw"]], atol=1e-5)
    assert not added[:, :4].any()


def test_units_of_the_inputs_can_be_evened_out() -> None:
    plain, scaled = MotionToCode(), MotionToCode()
    scaled.load_state_dict(plain.state_dict())
    scaled.scale[MOTION_INDEX["headYaw"]] = 10.0
    motion = torch.zeros(1, MOTION_DIM)
    motion[0, MOTION_INDEX["headYaw"]] = 5.0
    assert torch.allclose(scaled(motion), plain(motion / 10.0))


# Published


def test_a_stream_begins_at_the_photo_and_leaves_it() -> None:
    playing = dataclasses.replace(PLAYING, ahead=3)
    made = play(codes(playing), sound(12), [face(1)])[0]
    rest = face(1).tensors["code"]
    before = playing.ahead + 1  # frames before the stream; MFCC come a hop late
    assert torch.equal(made[:before], rest.expand(before, -1))
    assert float((made[before:] - rest).abs().max()) > 0.1
    assert float(made.abs().max()) <= 1.0


def test_a_window_over_everything_is_the_published_sampler() -> None:
    """The first frame with all the rest ahead: the whole utterance as the original draws it."""
    frames = 8
    playing = Playing(context=0, ahead=frames - 1, steps=4)
    motion, samples = codes(playing), sound(frames + 1)
    made = play(motion, samples, [face(1)], seed=7)[0, -1]
    model = motion.sampler.model
    rows = Mfcc()(samples)[:, : 4 * frames]
    rows = torch.cat([rows, rows.new_zeros(1, 0, 39)], 1)
    state = motion.sampler.init_state(
        motion.silence, face(1).tensors["code"][None], torch.tensor([7])
    )
    state.frame.zero_()
    noise = motion.sampler.noise(state)
    start, code = (face(1).tensors[name][None] for name in ("start", "code"))
    condition = model.condition(model.hear(rows), code, start)
    whole = sample(model, condition, noise, ddim_levels(4))
    assert torch.allclose(made, whole[0, 0], rtol=0, atol=rounding(1))


def test_another_face_in_mid_stream_goes_on_from_where_it_is() -> None:
    motion, features = codes(), codes().features()
    heard, state = features.init_state(2), motion.init_state(2, seeds=torch.zeros(2).long())
    for slot in (0, 1):
        motion.set_identity(state, slot, face(1))
    samples = sound(16).expand(2, -1)
    first = go_on(motion, samples[:, : 8 * HOP_SAMPLES], heard, state)
    assert torch.allclose(first[0], first[1], rtol=0, atol=rounding(8))
    before = state.stream.motion[1].clone()
    motion.set_identity(state, 1, face(2))
    assert torch.equal(state.stream.motion[1], before)
    second = go_on(motion, samples[:, 8 * HOP_SAMPLES :], heard, state)
    assert torch.allclose(second[0], go_on_alone(samples), rtol=0, atol=rounding(16))
    apart = (second[1] - second[0]).abs().amax(1)
    assert float(apart.min()) > 10 * rounding(16)  # every frame tells the faces apart


def go_on_alone(samples: Tensor) -> Tensor:
    return play(codes(), samples[:1], [face(1)])[0, 8:]


def test_a_reset_slot_is_as_new() -> None:
    motion = codes()
    features = motion.features()
    heard, state = features.init_state(2), motion.init_state(2, seeds=torch.zeros(2).long())
    for slot in (0, 1):
        motion.set_identity(state, slot, face(1))
    go_on(motion, sound(6, 2), heard, state)
    again = torch.tensor([False, True])
    heard.reset(again), state.reset(again)
    anew = go_on(motion, sound(8, 2), heard, state)[1]
    alone = play(motion, sound(8, 2)[1:], [face(1)])[0]
    assert torch.allclose(anew, alone, rtol=0, atol=rounding(8))


def test_a_clear_forgets_what_was_not_shown_and_goes_on_from_the_code_shown() -> None:
    motion, samples = codes(), sound(8, 2)
    features = motion.features()
    states = []
    for _ in range(2):
        heard, state = features.init_state(2), motion.init_state(2)
        go_on(motion, samples, heard, state)
        states.append((heard, state))
    (heard, state), untouched = states
    shown, cleared = state.code.clone(), torch.tensor([True, False])
    heard.clear(cleared)
    state.clear(cleared)
    assert torch.equal(state.code, shown)
    assert motion.behaviour(state).tolist() == [1, int(motion.behaviour(untouched[1])[1])]
    mine, theirs = (go_on(motion, sound(3, 2, seed=1), *s) for s in ((heard, state), untouched))
    assert torch.equal(mine[1], theirs[1])
    assert not torch.equal(mine[0], theirs[0])


def test_a_slot_that_rests_is_untouched() -> None:
    motion = codes()
    state = motion.init_state(2)
    motion.set_identity(state, 0, face(1))
    before = {name: getattr(state, name).clone() for name in ("pose", "code", "quiet")}
    rows = torch.randn(2, 4, 39)
    args = (rows, torch.ones(2, dtype=torch.bool), control_row().repeat(2, 1))
    with torch.no_grad():
        motion.step(*args, state, torch.tensor([True, False]))
    for name, value in before.items():
        assert torch.equal(getattr(state, name)[1], value[1]), name
    assert int(state.stream.frame[1]) == int(state.stream.first[1])
    assert float(state.quiet[0]) == 0.0


def test_no_expression_is_the_photo() -> None:
    made = play(codes(), sound(8), [face(1)], control_row(expression=0.0))
    assert torch.equal(made, face(1).tensors["code"].expand_as(made))


def test_smoothing_calms() -> None:
    rough = play(codes(), sound(30), [face(1)])[0, 4:]
    smooth = play(codes(dataclasses.replace(PLAYING, smoothing=0.8)), sound(30), [face(1)])[0, 4:]
    assert smooth.diff(dim=0).abs().mean() < 0.5 * rough.diff(dim=0).abs().mean()


def test_our_head_moves_a_generator_that_takes_a_pose() -> None:
    own = play(codes(), sound(12), [face(1)])
    playing = dataclasses.replace(PLAYING, pose=True)
    given = play(codes(playing), sound(12), [face(1)])
    held = play(codes(playing), sound(12), [face(1)], control_row(head_motion=0.0))
    assert not torch.allclose(own, given)
    assert not torch.allclose(given, held)
    without = dataclasses.replace(SMALL, pose=False, framing=False)
    assert codes(playing, without).idle is None


def test_a_muted_microphone_is_a_quiet_room() -> None:
    features = Audible(Mfcc())
    state, active = features.init_state(1), torch.ones(1, dtype=torch.bool)
    rows = [features.step(torch.zeros(1, HOP_SAMPLES), state, active) for _ in range(4)][-1]
    assert float(rows[..., 0].min()) > -20.0  # log energy; digital silence has -36
    assert torch.allclose(rows[0, -1], features.silence(), atol=1e-5)
    voice = sound(4)
    assert torch.equal(*(run(f, voice) for f in (Audible(Mfcc()), Mfcc())))


def run(features: Audible | Mfcc, samples: Tensor) -> Tensor:
    state, active = features.init_state(1), torch.ones(1, dtype=torch.bool)
    hops = samples.split(HOP_SAMPLES, 1)
    return torch.cat([features.step(hop, state, active) for hop in hops], 1)


def test_behaviour_follows_the_voice() -> None:
    motion = codes()
    state, active = motion.init_state(1), torch.ones(1, dtype=torch.bool)
    assert int(motion.behaviour(state)) == 0
    seen = []
    for hop in range(30):
        with torch.no_grad():
            motion.step(
                torch.randn(1, 4, 39), torch.tensor([hop < 5]), control_row()[None],
                state, active,
            )  # fmt: skip
        seen.append(int(motion.behaviour(state)))
    assert seen[0] == 2
    assert seen[-1] == 1


def test_the_delay_is_what_is_waited_for() -> None:
    motion = codes(dataclasses.replace(PLAYING, ahead=3))
    assert motion.look_ahead + motion.features().look_ahead == 4 * HOP_SAMPLES
    assert motion.delay == 4


def test_hubert_hears_too() -> None:
    pytest.importorskip("transformers", reason="HuBERT needs vivavoce[hubert]")
    layout = HubertLayout(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    config = dataclasses.replace(
        SMALL, features="hubert", audio_dim=16, audio_layers=3, down=(16,), speech_blocks=1
    )
    torch.manual_seed(0)
    features = HubertStream(Hubert(layout), HubertStreamConfig(window=8, ahead=1))
    motion = PublishedCodes(generator(config), Audible(features), PLAYING)
    made = play(motion, sound(8), [face(1)])[0]
    assert motion.delay == PLAYING.ahead + 1
    rest = face(1).tensors["code"]
    assert torch.equal(made[:3], rest.expand(3, -1))
    assert float((made[3:] - rest).abs().max()) > 0.1


def test_hubert_must_be_named() -> None:
    config = dataclasses.replace(SMALL, features="hubert")
    with pytest.raises(ValueError, match="chinese-hubert-large"):
        listener(generator(config))


def test_smoothing_has_bounds() -> None:
    with pytest.raises(ValueError, match="smoothing must lie"):
        Playing(smoothing=1.0)


# Files


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(weights, "shipped_weights_dir", lambda: tmp_path / "shipped")
    write_weights(tmp_path)
    return tmp_path


def test_a_renderer_tells_its_sizes(folder: Path) -> None:
    assert load_renderer("anitalker-renderer").config == TINY


def test_wrong_files_are_refused_by_what_is_wrong(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="not the weights of a flow-warp renderer"):
        load_renderer("anitalker-motion")
    with pytest.raises(CheckpointError, match=r"lacks scale.*has encoder"):
        load_map("anitalker-renderer")
    state = load_renderer("anitalker-renderer").state_dict()
    state["generator.constant"] = torch.zeros(5, 4, 4)
    save_file(state, folder / "bad.safetensors")
    with pytest.raises(CheckpointError, match=r"bad: generator\.constant"):
        load_renderer("bad")


def test_weights_that_do_not_fit_are_refused_before_they_are_loaded(folder: Path) -> None:
    find_pair("anitalker-renderer", "anitalker-motion")
    save_file(MotionToCode(19).state_dict(), folder / "short.safetensors")
    with pytest.raises(ValueError, match=r"'anitalker-renderer' and 'short' .* 20 .* makes 19"):
        find_pair("anitalker-renderer", "short")
    save_file(generator().state_dict(), folder / "other.safetensors", {"kind": "portrait-motion"})
    with pytest.raises(CheckpointError, match="other: makes no motion codes"):
        find_pair("anitalker-renderer", "other")


def test_lips_held_together_are_not_drawn_apart() -> None:
    motion = torch.zeros(3, MOTION_DIM)
    jaw, close = MOTION_INDEX["jawOpen"], MOTION_INDEX["mouthClose"]
    motion[:, jaw] = 0.3
    motion[:, close] = torch.tensor([0.0, 0.1, 0.4])
    held = within_reach(motion)
    assert held[:, jaw].tolist() == pytest.approx([0.3, 0.2, 0.0])
    assert not held[:, close].any()
    assert float(motion[2, close]) == pytest.approx(0.4)  # what was given stays as it was
    to_code = MotionToCode().requires_grad_(False)
    assert torch.equal(to_code.moved(motion), to_code.moved(held))
    assert float(to_code.moved(motion)[2].abs().max()) < 1e-6


def test_lids_close_as_far_as_they_are_drawn_well_and_never_open_in_between() -> None:
    way = torch.linspace(0.0, 1.0, 101)
    down = lowered(way)
    assert torch.equal(down[:51], way[:51])
    assert bool((down.diff() > 0).all())
    assert float(down[-1]) == pytest.approx(0.62)
    motion = torch.zeros(1, MOTION_DIM)
    motion[0, MOTION_INDEX["eyeBlinkLeft"]] = motion[0, MOTION_INDEX["eyeSquintLeft"]] = 1.0
    held = within_reach(motion)
    assert float(held[0, MOTION_INDEX["eyeBlinkLeft"]]) == pytest.approx(0.62)
    assert float(held[0, MOTION_INDEX["eyeSquintLeft"]]) == 1.0


def test_weights_of_different_trainings_are_refused(folder: Path) -> None:
    renderer = load_renderer("anitalker-renderer").state_dict()
    maps = [MotionToCode(), MotionToCode()]
    assert maps[0].digest() != maps[1].digest()
    assert maps[0].digest() == copy.deepcopy(maps[0]).digest()
    save_file(renderer, folder / "mine.safetensors", {"codes": maps[0].digest()})
    for name, to_code in zip(("fits", "differs"), maps, strict=True):
        about = {"kind": "anitalker-motion", "codes": to_code.digest()}
        save_file(to_code.state_dict(), folder / f"{name}.safetensors", about)
    find_pair("mine", "fits")
    with pytest.raises(ValueError, match=r"'mine' and 'differs' do not fit.*different trainings"):
        find_pair("mine", "differs")


def test_imported_generators_load_by_their_variant(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "mfcc_full_control", SMALL)
    about = {"kind": "anitalker-stage2", "variant": "mfcc_full_control"}
    save_file(generator().state_dict(), folder / "theirs.safetensors", about)
    model = load_generator("theirs")
    assert model.config is SMALL
    state: CodeState = PublishedCodes(model, listener(model), PLAYING).init_state(1)
    assert state.start.shape == (1, 24)
