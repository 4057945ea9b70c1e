"""Idle life: streaming properties, statistics within the ranges of real people, controls."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from pipelines.motion.controls import control_row
from pipelines.motion.idle import IDLE, LISTENING, SPEAKING, IdleMotion
from pipelines.motion.space import BLENDSHAPES, MOTION_INDEX, POSE
from pipelines.noise import seed_keys, uniform

LIFE = IdleMotion()
BATCH, MINUTES = 24, 1
FRAMES = MINUTES * 60 * 25


@cache
def live(
    behaviour: int, *, frames: int = FRAMES, batch: int = BATCH, stressed: bool = False,
    **controls: float,
) -> Tensor:  # fmt: skip
    """Motion [batch, frames, MOTION_DIM] of slots with seeds 0, 1, ..."""
    doing = torch.full((batch,), behaviour)
    held = control_row(**controls).expand(batch, -1)
    active = torch.ones(batch, dtype=torch.bool)
    stress = torch.rand(frames, batch, generator=torch.Generator().manual_seed(1))
    stress = (stress > 0.92).float() if stressed else torch.zeros_like(stress)
    with torch.inference_mode():
        state = LIFE.init_state(torch.arange(batch))
        rows = [LIFE.step(doing, stress[n], held, state, active) for n in range(frames)]
    return torch.stack(rows, 1)


def of(motion: Tensor, name: str) -> Tensor:
    return motion[..., MOTION_INDEX[name]]


def blinks(motion: Tensor) -> tuple[Tensor, float]:
    """Blinks per minute [batch] and their mean duration at half closure in ms."""
    shut = of(motion, "eyeBlinkLeft") > 0.5
    starts = (shut[:, 1:] & ~shut[:, :-1]).sum(1)
    per_minute = starts / (motion.shape[1] / 25 / 60)
    return per_minute, float(shut.sum() / starts.sum().clamp_min(1)) * 40.0


@pytest.mark.parametrize(
    ("behaviour", "low", "high"), [(IDLE, 10, 20), (LISTENING, 8, 18), (SPEAKING, 18, 30)]
)
def test_people_blink_as_people_do(behaviour: int, low: float, high: float) -> None:
    per_minute, duration_ms = blinks(live(behaviour))
    assert low <= per_minute.mean() <= high
    assert per_minute.min() >= 3
    assert 120 <= duration_ms <= 180


def test_both_eyes_blink_together_and_fully() -> None:
    motion = live(SPEAKING)
    assert torch.equal(of(motion, "eyeBlinkLeft"), of(motion, "eyeBlinkRight"))
    assert of(motion, "eyeBlinkLeft").amax(1).min() > 0.95


def test_the_head_moves_by_degrees_more_so_when_talking() -> None:
    quiet, talking = live(IDLE), live(SPEAKING, stressed=True)
    for name, low, high in (("headYaw", 2, 4), ("headPitch", 1.2, 3), ("headRoll", 1.4, 3)):
        moving = of(talking, name)[:, 50:].std(1).median()
        assert low <= moving <= high
        assert 0.2 <= of(quiet, name).std(1).median() < 0.6 * moving


def test_pose_stays_within_what_renderers_support() -> None:
    motion = live(SPEAKING, stressed=True, head_motion=2.0, gaze=2.0)
    for name, limit in (("headYaw", 12), ("headPitch", 8), ("headRoll", 8)):
        assert of(motion, name).abs().max() <= limit
    for name in ("headX", "headY", "headZ"):
        assert of(motion, name).abs().max() < 0.2


def test_motion_is_smooth() -> None:
    motion = live(SPEAKING, stressed=True)
    for name in ("headYaw", "headPitch", "headRoll"):
        assert of(motion, name).diff(dim=1).abs().max() < 2.5  # degrees a frame


def test_eyes_are_mostly_on_the_viewer_and_sometimes_away() -> None:
    motion = live(SPEAKING, head_motion=0.0)
    away = (of(motion, "gazeYaw").abs() > 3).float().mean()
    assert 0.02 < away < 0.25


def test_eyes_take_back_head_rotation() -> None:
    motion = live(SPEAKING)
    pair = torch.stack([of(motion, "headYaw").flatten(), of(motion, "gazeYaw").flatten()])
    assert torch.corrcoef(pair)[0, 1] < -0.3


def test_listeners_nod_and_idlers_do_not() -> None:
    def swing(motion: Tensor) -> Tensor:
        return of(motion, "headPitch").diff(dim=1).abs().amax(1)

    assert swing(live(LISTENING)).median() > 3 * swing(live(IDLE)).median()


def test_stress_moves_head_and_brows() -> None:
    calm, stressed = live(SPEAKING), live(SPEAKING, stressed=True)
    assert of(calm, "browInnerUp").max() == 0
    assert of(stressed, "browInnerUp").max() > 0.1
    assert of(stressed, "headPitch").std() > of(calm, "headPitch").std()


def test_controls_switch_off_what_they_name() -> None:
    assert of(live(SPEAKING, blink_rate=0.0), "eyeBlinkLeft").max() == 0
    still = live(SPEAKING, stressed=True, head_motion=0.0)
    assert all(of(still, name).abs().max() == 0 for name in POSE if name.startswith("head"))
    ahead = live(SPEAKING, gaze=0.0)
    assert of(ahead, "gazeYaw").abs().max() == of(ahead, "gazePitch").abs().max() == 0
    mute = live(SPEAKING, stressed=True, expression=0.0)
    mouth = [n for n in BLENDSHAPES if n.startswith(("mouth", "brow", "jaw"))]
    assert all(of(mute, name).max() == 0 for name in mouth)


def test_more_blinks_when_asked_for() -> None:
    one, two = blinks(live(SPEAKING))[0], blinks(live(SPEAKING, blink_rate=2.0))[0]
    assert two.mean() > 1.4 * one.mean()


def test_same_seed_same_life_whoever_shares_the_batch() -> None:
    many, few = live(SPEAKING, frames=100), live(SPEAKING, frames=100, batch=3)
    torch.testing.assert_close(many[:3], few, rtol=0, atol=1e-5)
    assert not torch.allclose(many[0], many[1])


def test_no_generator_is_touched() -> None:
    before = torch.get_rng_state()
    live(SPEAKING, frames=50)
    assert torch.equal(before, torch.get_rng_state())


def test_inactive_slot_waits() -> None:
    state = LIFE.init_state(torch.arange(2))
    doing, stress = torch.full((2,), SPEAKING), torch.zeros(2)
    controls = control_row().expand(2, -1)
    for n in range(60):
        LIFE.step(doing, stress, controls, state, torch.tensor([True, n < 30]))
    assert state.frame.tolist() == [60, 30]
    wanted = live(SPEAKING, frames=31, batch=2)[1, 30]
    found = LIFE.step(doing, stress, controls, state, torch.tensor([True, True]))[1]
    torch.testing.assert_close(found, wanted)


def test_behaviour_changes_do_not_make_the_head_jump() -> None:
    state = LIFE.init_state(torch.arange(8))
    active, stress = torch.ones(8, dtype=torch.bool), torch.zeros(8)
    controls = control_row().expand(8, -1)
    rows = [
        LIFE.step(torch.full((8,), (n // 20) % 3), stress, controls, state, active)
        for n in range(300)
    ]
    yaw = of(torch.stack(rows, 1), "headYaw")
    assert yaw.diff(dim=1).abs().max() < 1.5


def test_draws_are_uniform_and_independent() -> None:
    keys = seed_keys(torch.arange(200))
    counters = torch.arange(100).expand(200, -1)
    draws = uniform(keys, torch.zeros(100, dtype=torch.int64), counters)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(float(draws.mean()) - 0.5) < 0.01
    assert abs(float(draws.std()) - 12**-0.5) < 0.01
    for one, other in ((draws[:-1], draws[1:]), (draws[:, :-1], draws[:, 1:])):
        pair = torch.stack([one.flatten(), other.flatten()])
        assert abs(float(torch.corrcoef(pair)[0, 1])) < 0.03


def test_large_and_negative_seeds_differ() -> None:
    seeds = torch.tensor([0, 1, -1, 2**31, 2**62, -(2**63)])
    assert len(set(seed_keys(seeds).tolist())) == len(seeds)
