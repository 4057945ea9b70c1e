"""Signal-driven motion: streaming properties, what lips do in speech, noise and silence."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from benchmarks.baseline.signal_motion import SignalMotion, SignalState
from pipelines.audio.mel import LogMel, MelConfig
from pipelines.motion.controls import CONTROLS, control_row
from pipelines.motion.space import BEHAVIOURS, BLENDSHAPES, MOTION_DIM, MOTION_INDEX

RATE, HOP = 16_000, 640
MEL = LogMel()
SHIFT = 2  # hops of total look-ahead
MOUTH = [i for i, name in enumerate(BLENDSHAPES) if name.startswith(("jaw", "mouth"))]
SMILE = [MOTION_INDEX["mouthSmileLeft"], MOTION_INDEX["mouthSmileRight"]]


def vowel(seconds: float, formants: tuple[float, float] = (750.0, 1_250.0)) -> Tensor:
    """Harmonics of 125 Hz under two formants, float32 [S], RMS 0.1."""
    times = torch.arange(round(seconds * RATE)) / RATE
    sound = torch.zeros_like(times)
    for harmonic in range(1, 40):
        hz = 125.0 * harmonic
        gain = sum(1.0 / (1.0 + ((hz - f) / 90.0) ** 2) for f in formants) + 0.01
        sound += gain * torch.sin(2 * math.pi * hz * times + harmonic)
    return sound * (0.1 / sound.square().mean().sqrt())


def noise(seconds: float, level: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(round(seconds * RATE), generator=generator) * level


def babble(seconds: float) -> Tensor:
    """Syllables: a vowel that changes and dips four times a second, over a quiet room."""
    sound = torch.cat([vowel(0.5), vowel(0.5, (350.0, 2_200.0))] * math.ceil(seconds))
    sound = sound[: round(seconds * RATE)]
    times = torch.arange(len(sound)) / RATE
    swing = (0.5 - 0.5 * torch.cos(2 * math.pi * 4.0 * times)) ** 2
    return sound * swing + noise(seconds, 1e-4)


def still_room(seconds: float) -> Tensor:
    return noise(seconds, 1e-4, seed=9)


def run(sound: Tensor, speech: bool | Tensor = True, seed: int = 0, **controls: float) -> Tensor:
    """Motion [T, MOTION_DIM] of one slot, frame n at row n."""
    model = SignalMotion(MelConfig(), seed=seed)
    hops = len(sound) // HOP
    flags = torch.full((1, hops), speech) if isinstance(speech, bool) else speech[None, :hops]
    with torch.inference_mode():
        features = MEL(sound[None, : hops * HOP])
        motion = model(features, flags, control_row(**controls)[None])
    return motion[0, SHIFT:]


def jaw(motion: Tensor) -> Tensor:
    return motion[:, MOTION_INDEX["jawOpen"]] - motion[:, MOTION_INDEX["mouthClose"]]


def advance(
    model: SignalMotion, state: SignalState, features: Tensor, active: list[bool]
) -> Tensor:
    batch = len(active)
    controls = control_row().expand(batch, -1)
    flags = torch.ones(batch, dtype=torch.bool)
    return model.step(features, flags, controls, state, torch.tensor(active))


def tensors(state: object) -> list[Tensor]:
    found: list[Tensor] = []
    for value in vars(state).values():
        found += [value] if isinstance(value, Tensor) else tensors(value)
    return found


def test_look_ahead_is_whole_hops() -> None:
    model = SignalMotion(MelConfig())
    assert model.look_ahead + MEL.look_ahead == SHIFT * HOP == SHIFT * model.hop


def test_hops_of_any_grouping_give_the_same_motion() -> None:
    sound = babble(2.0)[None]
    model = SignalMotion(MelConfig())
    whole = run(sound[0])
    for chunk in (1, 3, 7):
        mel_state, state = MEL.init_state(1), model.init_state(1)
        rows = []
        for part in sound.split(chunk * HOP, 1):
            features = MEL.step(part, mel_state, torch.tensor([True]))
            rows += [advance(model, state, x, [True]) for x in features.split(4, 1)]
        torch.testing.assert_close(torch.cat(rows)[SHIFT:], whole, rtol=0, atol=1e-6)


def test_shape_range_and_finiteness() -> None:
    motion = run(torch.cat([still_room(0.4), babble(2.0), noise(0.4, 0.9), torch.zeros(8_000)]))
    assert motion.shape[1] == MOTION_DIM
    assert motion.dtype == torch.float32
    assert torch.isfinite(motion).all()
    shapes = motion[:, : len(BLENDSHAPES)]
    assert shapes.min() >= 0
    assert shapes.max() <= 1


def test_a_frame_knows_nothing_beyond_its_look_ahead() -> None:
    sound = torch.cat([still_room(0.4), babble(2.0)])
    frame = 30
    other = sound.clone()
    other[(frame + 1 + SHIFT) * HOP :] = noise(3.0, 0.3)[: len(sound) - (frame + 1 + SHIFT) * HOP]
    a, b = run(sound), run(other)
    assert torch.equal(a[: frame + 1], b[: frame + 1])
    assert not torch.equal(a[frame + 1 :], b[frame + 1 :])


def test_idle_slot_is_untouched() -> None:
    model = SignalMotion(MelConfig())
    features = MEL(torch.stack([babble(1.0), babble(1.0)])).split(4, 1)
    state = model.init_state(2)
    for x in features[:10]:
        advance(model, state, x, [True, True])
    before = [held[1].clone() for held in tensors(state)]
    for x in features[10:]:
        advance(model, state, x, [True, False])
    assert all(torch.equal(a, b[1]) for a, b in zip(before, tensors(state), strict=True))
    assert not torch.equal(state.voice.power[0], state.voice.power[1])


def test_reset_slot_equals_a_fresh_one() -> None:
    model = SignalMotion(MelConfig())
    features = MEL(torch.stack([babble(1.6), babble(1.6)])).split(4, 1)
    state, fresh = model.init_state(2), model.init_state(2)
    for x in features:
        advance(model, state, x, [True, True])
    state.reset(torch.tensor([False, True]))
    for x in features:
        used = advance(model, state, x, [True, True])
        new = advance(model, fresh, x, [True, True])
        assert torch.equal(used[1], new[1])
        assert not torch.equal(used[0], new[0])


def test_slots_do_not_know_of_each_other() -> None:
    model = SignalMotion(MelConfig())
    sounds = torch.stack([babble(1.0), noise(1.0, 0.05), vowel(1.0)])
    together, alone = model.init_state(3), model.init_state(1)
    alone_seed = torch.tensor([2])
    model.set_seed(alone, torch.tensor([True]), alone_seed)
    for x in MEL(sounds).split(4, 1):
        row = advance(model, together, x, [True] * 3)[2]
        torch.testing.assert_close(row, advance(model, alone, x[2:], [True])[0], rtol=0, atol=1e-6)


def test_seed_decides_life_and_nothing_else() -> None:
    sound = babble(3.0)
    a, again, other = run(sound, seed=5), run(sound, seed=5), run(sound, seed=6)
    assert torch.equal(a, again)
    assert not torch.equal(a, other)
    lips = [i for i in MOUTH if i not in SMILE]
    assert torch.equal(a[:, lips], other[:, lips])


def test_set_seed_survives_reset() -> None:
    model = SignalMotion(MelConfig(), seed=3)
    one = torch.tensor([True])
    state, wanted = model.init_state(1), model.init_state(1, seeds=torch.tensor([99]))
    model.set_seed(state, one, torch.tensor([99]))
    state.reset(one)
    for x in MEL(babble(1.0)[None]).split(4, 1):
        assert torch.equal(advance(model, state, x, [True]), advance(model, wanted, x, [True]))


def test_the_mouth_opens_with_the_voice_and_not_long_before() -> None:
    motion = jaw(run(torch.cat([still_room(0.8), vowel(0.6), still_room(0.8)])))
    opened = (motion > 0.1).nonzero()
    assert 18 <= int(opened[0]) <= 20  # the voice starts with frame 20
    assert 33 <= int(opened[-1]) <= 37  # and ends with frame 34
    assert motion[:17].max() == 0
    assert motion[40:].max() == 0


def test_speech_reopens_the_mouth_within_120_ms() -> None:
    sound = torch.cat([still_room(0.4), babble(1.0), still_room(1.0), vowel(0.4), still_room(0.4)])
    motion = jaw(run(sound))
    begin = 60
    assert motion[begin - 10 : begin - 3].max() == 0
    assert motion[begin : begin + 3].max() > 0.15


def test_open_vowels_open_more_than_close_ones() -> None:
    ah = jaw(run(torch.cat([still_room(0.4), vowel(0.8)])))[15:25].mean()
    ee = jaw(run(torch.cat([still_room(0.4), vowel(0.8, (280.0, 2_250.0))])))[15:25].mean()
    assert ah > 1.5 * ee > 0


def test_spread_and_rounded_vowels_differ() -> None:
    ee = run(torch.cat([still_room(0.4), vowel(0.8, (280.0, 2_250.0))]))[15:25].mean(0)
    oo = run(torch.cat([still_room(0.4), vowel(0.8, (400.0, 800.0))]))[15:25].mean(0)
    wide, pucker = MOTION_INDEX["mouthStretchLeft"], MOTION_INDEX["mouthPucker"]
    assert ee[wide] > oo[wide] + 0.1
    assert oo[pucker] > ee[pucker] + 0.1


def test_a_dip_in_the_voice_closes_the_lips() -> None:
    hum = vowel(0.12, (125.0, 250.0)) * 0.3
    sound = torch.cat([still_room(0.4), vowel(0.4), hum, vowel(0.4)])
    motion = jaw(run(sound))
    assert motion[20:24].min() < 0.05
    assert min(motion[15:18].max(), motion[26:30].max()) > 0.2


@pytest.mark.parametrize("speech", [False, True])
@pytest.mark.parametrize("level", [0.0, 1e-4, 3e-3, 1e-2])
def test_lips_are_closed_and_still_in_steady_noise(level: float, speech: bool) -> None:
    motion = run(noise(4.0, level, seed=1), speech)
    lips = motion[:, [i for i in MOUTH if i not in SMILE]]
    assert lips.max() == 0


def test_lips_are_still_while_someone_types() -> None:
    sound = still_room(4.0)
    for at in range(RATE // 4, len(sound) - RATE // 4, RATE // 6):
        click = noise(0.015, 0.15, seed=at) * torch.linspace(1.0, 0.0, 240)
        sound[at : at + 240] += click
    assert jaw(run(sound)).max() == 0


def test_a_fan_that_starts_is_known_for_one_in_time() -> None:
    # Flagged as speech all the time, 40 dB over the room: the worst case.
    sound = torch.cat([still_room(1.0), noise(4.0, 0.02, seed=4)])
    assert jaw(run(sound))[25 + 90 :].max() == 0


def test_speech_over_a_fan_is_still_seen() -> None:
    sound = torch.cat([noise(1.0, 3e-3), babble(2.0) + noise(2.0, 3e-3)])
    motion = jaw(run(sound))
    assert motion[:22].max() == 0
    assert motion[25:].max() > 0.25


@pytest.mark.parametrize("gain_db", [-30.0, -20.0, 12.0])
def test_the_microphone_gain_does_not_matter(gain_db: float) -> None:
    sound = torch.cat([still_room(0.8) * 0.1, babble(3.0)])
    quiet = (sound * 10.0 ** (gain_db / 20.0)).clamp(-1.0, 1.0)
    settled = slice(20 + 12, None)
    a, b = jaw(run(sound))[settled], jaw(run(quiet))[settled]
    assert a.std() > 0.05
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.93
    assert abs(float(a.mean() - b.mean())) < 0.03


def test_behaviour_follows_the_voice_with_a_hangover() -> None:
    model = SignalMotion(MelConfig())
    state = model.init_state(1)
    sound = torch.cat([still_room(0.8), babble(1.0), still_room(2.0)])
    seen = []
    for x in MEL(sound[None]).split(4, 1):
        advance(model, state, x, [True])
        seen.append(BEHAVIOURS[int(model.behaviour(state))])
    assert model.behaviour(state).dtype == torch.int8
    assert set(seen[:18]) == {"idle"}
    assert set(seen[24:50]) == {"speaking"}
    assert "speaking" not in seen[45 + 15 :]
    assert seen[-1] == "listening"


def test_expression_scales_the_mouth() -> None:
    sound = torch.cat([still_room(0.4), babble(2.0)])
    none, half, full = (run(sound, expression=strength) for strength in (0.0, 0.5, 1.0))
    assert none[:, MOUTH].max() == 0
    torch.testing.assert_close(jaw(half), jaw(full) * 0.5)


def test_controls_are_checked_and_named() -> None:
    assert [c.name for c in CONTROLS] == [
        "expression",
        "head_motion",
        "gaze",
        "blink_rate",
        "articulation",
    ]
    assert control_row(gaze=0.5).tolist() == [1.0, 1.0, 0.5, 1.0, 1.0]
    for wrong in (-0.1, 2.1, float("nan"), "1", True):
        with pytest.raises(ValueError, match="gaze"):
            control_row(gaze=wrong)  # type: ignore[arg-type]


def test_wrong_number_of_seeds_is_refused() -> None:
    with pytest.raises(ValueError, match="seeds"):
        SignalMotion(MelConfig()).init_state(2, seeds=torch.tensor([1]))
