"""Diffusion as a stream: equal to the whole, tied to the past, slots apart."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipelines.diffusion.config import PRESETS, GeneratorConfig
from pipelines.diffusion.generator import MotionGenerator
from pipelines.diffusion.schedule import ddim_levels, flow_levels, sample
from pipelines.diffusion.stream import StreamingSampler, StreamState, Window

SMALL = dataclasses.replace(
    PRESETS["codes"],
    given_dim=0,
    objective="velocity",
    audio_dim=12,
    down=(16, 16),
    speech_blocks=1,
    side_dim=8,
    dropout=0.0,
)
PUBLISHED = GeneratorConfig(
    features="mfcc", audio_dim=12, down=(16, 16), pose=True, adapter_dim=8, identity_dim=0,
    side_dim=8,
)  # fmt: skip
FLOW = flow_levels([1.0, 0.5])
CONFIGS = {"own": (SMALL, FLOW), "published": (PUBLISHED, ddim_levels(4))}
SILENCE = torch.zeros(12)


def network(config: GeneratorConfig) -> MotionGenerator:
    torch.manual_seed(0)
    model = MotionGenerator(config).eval()
    # Outputs as large as trained ones, so that clamping and noise matter.
    torch.nn.init.normal_(model.out_proj.weight, std=0.3)
    return model


def sound(frames: int, batch: int = 1, seed: int = 1) -> Tensor:
    return torch.randn(batch, 4 * frames, 12, generator=torch.Generator().manual_seed(seed))


def fresh(stream: StreamingSampler, batch: int = 1, seed: int = 5) -> StreamState:
    rest = torch.full((batch, 20), -0.5)
    return stream.init_state(SILENCE, rest, torch.arange(batch) + seed)


def play(stream: StreamingSampler, state: StreamState, audio: Tensor) -> Tensor:
    active = torch.ones(len(audio), dtype=torch.bool)
    rows = 4 * stream.window.new
    with torch.no_grad():
        return torch.cat([stream.step(x, state, active) for x in audio.split(rows, 1)], 1)


@pytest.mark.parametrize("name", CONFIGS)
def test_one_window_over_everything_is_the_whole_utterance_sampler(name: str) -> None:
    config, levels = CONFIGS[name]
    model, audio = network(config), sound(30)
    stream = StreamingSampler(model, Window(context=0, new=30), levels)
    state = fresh(stream)
    noise = stream.noise(state)
    with torch.no_grad():
        condition = model.condition(model.hear(audio), torch.full((1, 20), -0.5))
        whole = sample(model, condition, noise, levels)
    torch.testing.assert_close(play(stream, state, audio), whole, rtol=0, atol=1e-6)


def test_a_frame_has_one_noise_whichever_window_it_lies_in() -> None:
    stream = StreamingSampler(network(SMALL), Window(context=3, new=1, ahead=2), FLOW)
    state = fresh(stream)
    first = stream.noise(state)
    play(stream, state, sound(1))
    torch.testing.assert_close(stream.noise(state)[:, :-1], first[:, 1:])
    many = fresh(stream, batch=64)
    drawn = stream.noise(many)
    assert abs(float(drawn.mean())) < 0.03
    assert abs(float(drawn.std()) - 1.0) < 0.03


@pytest.mark.parametrize("name", CONFIGS)
def test_frames_come_once_each_and_in_order(name: str) -> None:
    config, levels = CONFIGS[name]
    stream = StreamingSampler(network(config), Window(context=4, new=2, ahead=2), levels)
    state = fresh(stream)
    out = play(stream, state, sound(12))
    assert out.shape == (1, 12, 20)
    assert int(state.frame) == 10
    # The first two lie before the stream and are at rest.
    assert torch.equal(out[:, :2], torch.full((1, 2, 20), -0.5))
    assert not torch.equal(out[:, 2:3], torch.full((1, 1, 20), -0.5))
    torch.testing.assert_close(state.motion[:, 1:], out[:, -4:])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=4, max_size=10))
def test_slots_do_not_notice_each_other(pattern: list[list[bool]]) -> None:
    stream = StreamingSampler(network(SMALL), Window(context=3, new=1, ahead=1), FLOW)
    audio = sound(len(pattern), batch=3)
    state = fresh(stream, batch=3)
    emitted: list[list[Tensor]] = [[], [], []]
    with torch.no_grad():
        for n, row in enumerate(pattern):
            out = stream.step(audio[:, 4 * n : 4 * n + 4], state, torch.tensor(row))
            for slot in range(3):
                if row[slot]:
                    emitted[slot].append(out[slot])
    for slot in range(3):
        heard = [audio[slot, 4 * n : 4 * n + 4] for n, row in enumerate(pattern) if row[slot]]
        if heard:
            alone = fresh(stream, seed=5 + slot)
            expected = play(stream, alone, torch.cat(heard)[None])
            torch.testing.assert_close(torch.cat(emitted[slot])[None], expected)


def test_sound_beyond_the_look_ahead_changes_nothing() -> None:
    stream = StreamingSampler(network(SMALL), Window(context=3, new=1, ahead=2), FLOW)
    audio = sound(10)
    later = audio.clone()
    later[:, 4 * 8 :] += 1.0
    before, after = (play(stream, fresh(stream), x) for x in (audio, later))
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.equal(before[:, 8:], after[:, 8:])


def test_the_past_is_held_on_to() -> None:
    """Another past gives another present: through the context, and with none the last frame."""
    for context in (0, 3):
        stream = StreamingSampler(network(SMALL), Window(context=context, new=1), FLOW)
        a, b = fresh(stream), fresh(stream)
        b.motion += 0.4
        audio = sound(1)
        assert not torch.equal(play(stream, a, audio), play(stream, b, audio))


def test_reset_starts_over_and_clear_goes_on_from_the_face_as_it_is() -> None:
    stream = StreamingSampler(network(SMALL), Window(context=3, new=1, ahead=2), FLOW)
    audio, on = sound(8), torch.tensor([True])
    state = fresh(stream)
    first = play(stream, state, audio)
    state.reset(on)
    torch.testing.assert_close(play(stream, state, audio), first)
    held, number = state.motion.clone(), int(state.frame)
    state.clear(on)
    torch.testing.assert_close(state.motion, held)
    assert int(state.frame) == number


@pytest.mark.parametrize("cleared", [0, 1])
def test_a_clear_is_as_if_the_sound_ahead_had_been_silence(cleared: int) -> None:
    """What was shown was heard; the other slot hears on."""
    stream = StreamingSampler(network(SMALL), Window(context=3, new=1, ahead=2), FLOW)
    audio = sound(8, batch=2)
    silent = audio.clone()
    silent[cleared, -2 * stream.model.config.rows_per_frame :] = 0.0
    states = [fresh(stream, batch=2) for _ in range(2)]
    for state, heard in zip(states, (audio, silent), strict=True):
        play(stream, state, heard)
    states[0].clear(torch.arange(2) == cleared)
    assert torch.equal(states[0].audio, states[1].audio)
    assert not torch.equal(states[0].audio[cleared], states[0].silence[cleared])


def test_a_seed_can_be_given_anew() -> None:
    stream = StreamingSampler(network(SMALL), Window(context=3, new=1), FLOW)
    audio, on = sound(6), torch.tensor([True])
    wanted = play(stream, fresh(stream, seed=9), audio)
    state = fresh(stream, seed=5)
    assert not torch.equal(play(stream, state, audio), wanted)
    state.set_seed(on, torch.tensor([9]))
    state.reset(on)
    torch.testing.assert_close(play(stream, state, audio), wanted)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="new >= 1"):
        Window(context=3, new=0)
    with pytest.raises(ValueError, match="steps cannot be strided"):
        ddim_levels(37)
    with pytest.raises(ValueError, match="must fall"):
        flow_levels([0.5, 0.9])
    model = network(SMALL)
    with pytest.raises(ValueError, match=r"must be \[B, 4 T, 12\]"):
        model.hear(torch.zeros(1, 6, 12))
    with pytest.raises(ValueError, match="known_clean needs"):
        dataclasses.replace(SMALL, time_features=1)
