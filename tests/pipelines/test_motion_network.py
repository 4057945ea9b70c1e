"""The streaming network of motion: chunks equal the whole, slots do not meet, styles act."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipelines.motion.network import MotionNetwork, NetworkConfig, NetworkState
from pipelines.motion.style import STYLE_DIM

SMALL = NetworkConfig(front=12, dim=16, blocks=3, heads=2, reach=5, mouth=8, memory=8, flow=16)
FORCES = 9


def network(config: NetworkConfig = SMALL) -> MotionNetwork:
    torch.manual_seed(3)
    made = MotionNetwork(config)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval().requires_grad_(False)


def rows(batch: int, frames: int, seed: int = 0) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(batch, frames * SMALL.rows, SMALL.inputs, generator=chance)


def hear(made: MotionNetwork, sound: Tensor, state: NetworkState) -> Tensor:
    return made.hear(sound, state, torch.ones(len(sound), dtype=torch.bool))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_any_cut_of_a_stream_gives_the_whole_utterance(lengths: list[int]) -> None:
    made, sound = network(), rows(2, sum(lengths))
    whole = hear(made, sound, made.init_state(2))
    state = made.init_state(2)
    parts = sound.split([length * SMALL.rows for length in lengths], 1)
    pieces = torch.cat([hear(made, part, state) for part in parts], 1)
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)  # another order of sums


def test_a_frame_depends_on_nothing_later_and_on_all_within_reach() -> None:
    made, sound = network(), rows(1, 60)
    sound.requires_grad_(True)
    hear(made, sound, made.init_state(1))[0, 50].square().sum().backward()
    felt = sound.grad.view(60, -1).abs().sum(1)
    assert felt[51:].abs().max() == 0
    within = 50 - SMALL.blocks * (SMALL.reach + SMALL.kernel - 1)
    assert (felt[within:51] > 0).all()
    assert felt[: within - 1].max() == 0


def test_slots_do_not_meet_and_resting_ones_stay_as_they_are() -> None:
    made, sound = network(), rows(3, 8)
    alone = hear(made, sound[1:2], made.init_state(1))
    together = hear(made, sound, made.init_state(3))
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)
    state = made.init_state(3)
    hear(made, sound, state)
    before = copy.deepcopy(state)
    made.hear(rows(3, 2, seed=1), state, torch.tensor([True, False, True]))
    for name in vars(state):
        held, was = getattr(state, name), getattr(before, name)
        assert torch.equal(held[1], was[1])
    assert not torch.equal(state.keys[0], before.keys[0])


def test_a_reset_slot_is_a_fresh_one() -> None:
    made, state = network(), network().init_state(2)
    hear(made, rows(2, 9), state)
    state.reset(torch.tensor([False, True]))
    sound = rows(2, 9, seed=5)
    fresh = hear(made, sound, made.init_state(2))
    torch.testing.assert_close(hear(made, sound, state)[1], fresh[1], rtol=1e-4, atol=1e-5)


def test_memory_frame_by_frame_is_that_of_the_sequence() -> None:
    made = network()
    heard, forces = torch.randn(2, 7, SMALL.dim), torch.randn(2, 7, FORCES)
    whole = made.memories(heard, forces)
    memory = torch.zeros(2, SMALL.memory)
    for n in range(7):
        memory = made.remember(heard[:, n], forces[:, n], memory)
        torch.testing.assert_close(memory, whole[:, n], rtol=1e-4, atol=1e-5)


def test_noise_draws_forces_and_nothing_else_does() -> None:
    made, heard = network(), torch.randn(1, SMALL.dim)
    active = torch.ones(1, dtype=torch.bool)
    one, same, other = (
        made.draw(heard, torch.full((1, FORCES), level), made.init_state(1), active)
        for level in (0.5, 0.5, -0.5)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.abs().max() <= 1.0


@pytest.mark.parametrize("number", range(STYLE_DIM))
def test_every_number_of_a_style_moves_the_lips(number: int) -> None:
    made, heard = network(), torch.randn(1, 4, SMALL.dim)
    style = torch.zeros(1, STYLE_DIM)
    average = made.lips(heard, style)
    style[0, number] = 1.0
    assert not torch.equal(made.lips(heard, style), average)
