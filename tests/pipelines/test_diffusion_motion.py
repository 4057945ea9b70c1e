"""The trained motion model as a stream: what lips and head do in speech, noise and silence."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.audio.mel import LogMel
from pipelines.audio.vad import VoiceActivity
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.motion.diffusion import DiffusionMotion, DiffusionState, load_motion
from pipelines.motion.space import BEHAVIOURS, BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from pipelines.motion.style import RECENT, STYLE_DIM, OwnStyle
from training.motion.articulation import articulate
from training.speech.sentences import HELD_OUT
from training.speech.synthesis import missing, synthesise

RATE, HOP = 16_000, 640
MEL = LogMel()
VOICE = "flite:awb"  # held out of all training
LEAD = 20  # frames of quiet before a sentence
HEAD = [MOTION_INDEX[name] for name in ("headYaw", "headPitch", "headRoll")]

pytestmark = pytest.mark.skipif(missing(VOICE) is not None, reason=str(missing(VOICE)))


@cache
def model() -> DiffusionMotion:
    made = load_motion()
    assert isinstance(made, DiffusionMotion)
    return made


@cache
def spoken() -> Tensor:
    return in_a_room(synthesise(HELD_OUT[4], VOICE).samples)


def in_a_room(samples: NDArray[np.float32]) -> Tensor:
    """0.8 s of a quiet room, a sentence, 1.2 s of the room; whole hops."""
    voice = torch.from_numpy(samples)
    voice = voice * (0.07 / voice.square().mean().sqrt())
    sound = torch.cat([torch.zeros(LEAD * HOP), voice, torch.zeros(30 * HOP)])
    sound = sound[: len(sound) // HOP * HOP]
    return sound + room(len(sound), 2.5e-4)


def room(samples: int, level: float, seed: int = 0) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed)) * level


def heard(sounds: Tensor) -> Tensor:
    """Speech flags as the server has them, bool [B, T]."""
    rows = []
    for sound in sounds.numpy():
        vad, row = VoiceActivity(), []
        for hop in np.split(sound, len(sound) // HOP):
            vad(hop)
            row.append(vad.speech)
        rows.append(row)
    return torch.tensor(rows)


def run(sounds: Tensor, seeds: list[int] | None = None, **controls: float) -> Tensor:
    """Motion [B, T, MOTION_DIM] of sounds [B, S], frame n at row n."""
    motion, batch = model(), len(sounds)
    state = motion.init_state(batch, seeds=None if seeds is None else torch.tensor(seeds))
    given = control_row(**controls).expand(batch, -1)
    active = torch.ones(batch, dtype=torch.bool)
    with torch.inference_mode():
        hops = MEL(sounds).split(4, 1)
        rows = [
            motion.step(x, flag, given, state, active)
            for x, flag in zip(hops, heard(sounds).unbind(1), strict=True)
        ]
    return torch.stack(rows, 1)[:, motion.delay :]


def jaw(motion: Tensor) -> Tensor:
    return motion[..., MOTION_INDEX["jawOpen"]] - motion[..., MOTION_INDEX["mouthClose"]]


def parting(motion: Tensor) -> Tensor:
    """How far the lips part, by the shapes that part them most (see training.performance)."""
    shapes = {"mouthFunnel": 0.25, "mouthLowerDownLeft": 0.28, "mouthUpperUpLeft": 0.23}
    return jaw(motion) + sum(w * motion[..., MOTION_INDEX[name]] for name, w in shapes.items())


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def advance(state: DiffusionState, features: Tensor, active: list[bool]) -> Tensor:
    batch = len(active)
    controls = control_row().expand(batch, -1)
    flags = torch.ones(batch, dtype=torch.bool)
    with torch.inference_mode():
        return model().step(features, flags, controls, state, torch.tensor(active))


def test_weights_of_another_network_are_refused_in_one_line() -> None:
    with pytest.raises(
        ValueError, match=r"anitalker-motion.*no streaming motion network"
    ) as refused:
        load_motion("anitalker-motion")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_look_ahead_is_whole_hops_and_short() -> None:
    total = model().look_ahead + MEL.look_ahead
    assert total % HOP == 0
    assert total <= 0.12 * RATE


def test_lips_follow_a_voice_never_heard_in_training() -> None:
    found = []
    for sentence in HELD_OUT[:4]:
        said = synthesise(sentence, VOICE)
        motion = run(in_a_room(said.samples)[None])[0, LEAD:]
        wanted = torch.from_numpy(articulate(said.phones, int(said.length_s * 25))).float()
        found.append(correlation(parting(motion)[: len(wanted)], wanted))
    assert sum(found) / len(found) > 0.7


def test_lips_are_still_before_and_after() -> None:
    motion = jaw(run(spoken()[None])[0])
    speech = motion[20:-30].std()
    assert motion[:16].std() < 0.1 * speech
    assert motion[-14:].std() < 0.1 * speech


def test_speech_reopens_the_mouth_within_120_ms() -> None:
    sound = torch.cat([spoken(), spoken()])
    motion = jaw(run(sound[None])[0])
    begin = len(spoken()) // HOP + 20
    loud = sound.view(-1, HOP).square().mean(1).sqrt()
    first = begin + int((loud[begin:] > 0.03).nonzero()[0])
    assert motion[begin - 8 : begin - 2].max() < 0.05
    assert motion[first : first + 3].max() > 0.06


@pytest.mark.parametrize("level", [0.0, 1e-4, 3e-3, 1e-2])
def test_lips_are_still_in_steady_noise(level: float) -> None:
    lips = jaw(run(room(75 * HOP, level, seed=1)[None])[0])[15:]
    assert lips.std() < 0.1 * jaw(run(spoken()[None])[0])[20:-30].std()
    assert lips.max() < 0.08


def test_the_microphone_gain_does_not_matter() -> None:
    twice = torch.cat([spoken(), spoken()])
    gains = 10.0 ** (torch.tensor([0.0, -20.0, 6.0]) / 20.0)
    motion = jaw(run((twice * gains[:, None]).clamp(-1.0, 1.0)))[:, len(spoken()) // HOP :]
    for other in motion[1:]:
        assert correlation(motion[0], other) > 0.9


def test_seeds_move_the_head_and_not_the_lips() -> None:
    sound = torch.cat([spoken()] * 3)
    motion = run(sound.expand(3, -1), seeds=[1, 1, 2])
    # Rows of one matrix product round by their place, and springs carry it on.
    torch.testing.assert_close(motion[0], motion[1], rtol=0, atol=1e-4)
    assert correlation(jaw(motion[0]), jaw(motion[2])) > 0.9
    assert abs(motion[0, :, HEAD] - motion[2, :, HEAD]).amax() > 1.0


def test_the_head_moves_and_stays_within_reach() -> None:
    motion = run(torch.cat([spoken()] * 5).expand(4, -1), seeds=[1, 2, 3, 4])[..., HEAD]
    assert motion.std(1).mean() > 0.5
    assert motion.abs().amax() < 14.0
    assert (motion[:, 1:] - motion[:, :-1]).abs().amax() < 4.0  # degrees in 40 ms: no jumps


def test_shape_range_and_finiteness() -> None:
    rows = torch.stack([spoken(), room(len(spoken()), 0.5), torch.zeros(len(spoken()))])
    motion = run(rows)
    assert motion.shape[2] == MOTION_DIM
    assert torch.isfinite(motion).all()
    assert motion[..., : len(BLENDSHAPES)].min() >= 0
    assert motion[..., : len(BLENDSHAPES)].max() <= 1


def test_controls_scale_mouth_and_head() -> None:
    none = run(spoken()[None], expression=0.0, head_motion=0.0, gaze=0.0, blink_rate=0.0)[0]
    assert none.abs().max() == 0
    half, full = (run(spoken()[None], expression=x) for x in (0.5, 1.0))
    torch.testing.assert_close(jaw(half), jaw(full) * 0.5)


def test_a_frame_knows_nothing_beyond_its_look_ahead() -> None:
    frame, ahead = 40, model().delay
    other = spoken().clone()
    other[(frame + 1 + ahead) * HOP :] = room(len(other), 0.3)[(frame + 1 + ahead) * HOP :]
    # Both with the flags of one: the detector is part of the server, not of the model.
    a, b = run(spoken()[None])[0], run(other[None])[0]
    assert torch.equal(a[: frame + 1], b[: frame + 1])
    assert not torch.equal(a[frame + 1 :], b[frame + 1 :])


def test_reset_slot_equals_a_fresh_one() -> None:
    features = MEL(spoken()[: 50 * HOP].expand(2, -1)).split(4, 1)
    state, fresh = model().init_state(2), model().init_state(2)
    for x in features:
        advance(state, x, [True, True])
    state.reset(torch.tensor([False, True]))
    for x in features:
        used, new = advance(state, x, [True, True]), advance(fresh, x, [True, True])
        torch.testing.assert_close(used[1], new[1], rtol=0, atol=1e-5)


def test_behaviour_follows_the_voice() -> None:
    state = model().init_state(1)
    seen = []
    for x in MEL(spoken()[None]).split(4, 1):
        advance(state, x, [True])
        seen.append(BEHAVIOURS[int(model().behaviour(state))])
    assert set(seen[:18]) == {"idle"}
    assert "speaking" in seen
    assert seen[-1] == "listening"


def test_a_cut_closes_the_lips_within_120_ms_and_a_new_voice_opens_them() -> None:
    """What was forgotten is still within the network; nothing of it may be shown for long."""
    features, active = MEL(spoken()[None]).split(4, 1), [True]
    widest = 0
    state = model().init_state(1)
    for n, x in enumerate(features):
        if float(jaw(advance(state, x, active))) > 0.1 and n > LEAD + 10:
            widest = n
            break
    assert widest
    state.clear(torch.tensor([True]))
    quiet = MEL(room(12 * HOP, 2.5e-4)[None]).split(4, 1)
    closing = torch.cat([jaw(advance(state, x, active)) for x in quiet])
    assert closing[3:].max() == 0
    again = torch.cat([jaw(advance(state, x, active)) for x in features[LEAD:]])
    assert again.max() > 0.1


def test_a_style_is_that_of_its_avatar_alone() -> None:
    wide = OwnStyle(np.array([0.0, 2.0, 0.0, 0.0], np.float32))
    faces = [IdentityFeatures("0" * 64, wide.arrays(), {}), IdentityFeatures("1" * 64, {}, {})]
    state, plain = model().init_state(2), model().init_state(2)
    for slot, face in enumerate(faces):
        model().set_identity(state, slot, face)
    steps = MEL(spoken().expand(2, -1)).split(4, 1)
    styled, average = (
        torch.stack([jaw(advance(each, x, [True, True])) for x in steps]) for each in (state, plain)
    )
    assert styled[:, 0].max() > 1.1 * average[:, 0].max()
    assert torch.equal(styled[:, 1], average[:, 1])
    model().set_identity(state, 0, faces[1])
    assert not state.style.any()


def test_a_read_out_of_its_own_moves_the_lips_and_one_of_another_network_is_left_out() -> None:
    always = np.zeros((2, RECENT * model().network.config.dim + 1), np.float32)
    always[0, -1] = 0.1  # of parting, whatever is heard
    state = model().init_state(1)
    average = np.zeros(STYLE_DIM, np.float32)
    for readout, own in ((always, 0.1), (always[:, :-3], 0.0)):
        held = OwnStyle(average, readout).arrays()
        model().set_identity(state, 0, IdentityFeatures("2" * 64, held, {}))
        assert float(state.readout.sum()) == pytest.approx(own)


def test_articulation_opens_and_closes_the_lips() -> None:
    mumbled, plain, clear = (run(spoken()[None], articulation=x)[0] for x in (0.0, 1.0, 2.0))
    assert jaw(mumbled).mean() < jaw(plain).mean() < jaw(clear).mean()
