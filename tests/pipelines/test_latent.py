"""The motion latent: there and back, exact rest, springs that come home."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.motion.latent import DRIVEN, LATENT_DIM, LATENT_NAMES, SHAPES, MotionLatent, rest
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX

LATENT = MotionLatent()


def moving(frames: int = 120) -> Tensor:
    """A mouth that opens and shuts, a head that turns; [1, T, MOTION_DIM]."""
    times = torch.arange(frames) * 0.04
    motion = torch.zeros(1, frames, MOTION_DIM)
    motion[0, :, MOTION_INDEX["jawOpen"]] = 0.2 + 0.2 * torch.sin(times * 20.0)
    motion[0, :, MOTION_INDEX["headYaw"]] = 5.0 * torch.sin(times * 2.0)
    motion[0, :, MOTION_INDEX["headPitch"]] = 3.0 * (1.0 - torch.cos(times * 3.0))
    for side in ("Left", "Right"):
        motion[0, :, MOTION_INDEX[f"browOuterUp{side}"]] = 0.1 * (1.0 - torch.cos(times * 4.0))
    return motion


def test_there_and_back() -> None:
    motion = moving()
    latent = LATENT.encode(motion)
    assert latent.shape == (1, 120, LATENT_DIM)
    assert latent.abs().max() <= 1
    back, _ = LATENT.decode(latent, LATENT.at_rest(1))
    torch.testing.assert_close(back, motion, rtol=0, atol=1e-4)


def test_springs_carry_over_from_piece_to_piece() -> None:
    latent = LATENT.encode(moving())
    whole, last = LATENT.decode(latent, LATENT.at_rest(1))
    springs, pieces = LATENT.at_rest(1), []
    for piece in latent.split([1, 7, 50, 62], 1):
        motion, springs = LATENT.decode(piece, springs)
        pieces.append(motion)
    torch.testing.assert_close(torch.cat(pieces, 1), whole)
    torch.testing.assert_close(springs, last)


def test_rest_is_exactly_nothing() -> None:
    motion, springs = LATENT.decode(rest().expand(2, 30, -1), LATENT.at_rest(2))
    assert motion.abs().max() == 0
    assert springs.abs().max() == 0
    torch.testing.assert_close(LATENT.encode(torch.zeros(1, 3, MOTION_DIM))[0, 0], rest())


def test_whatever_drives_it_the_head_stays_and_comes_home() -> None:
    hard = rest().expand(1, 2_000, -1).clone()
    hard[..., DRIVEN] = torch.randn(1, 2_000, 9, generator=torch.Generator().manual_seed(0)).sign()
    pushed, springs = LATENT.decode(hard, LATENT.at_rest(1))
    yaw = MOTION_INDEX["headYaw"]
    assert pushed[0, :, yaw].abs().max() < 60.0
    released, _ = LATENT.decode(rest().expand(1, 100, -1), springs)
    assert released[0, -1].abs().max() < 0.05


def test_left_and_right_are_averaged() -> None:
    motion = torch.zeros(1, 2, MOTION_DIM)
    motion[..., MOTION_INDEX["mouthStretchLeft"]] = 0.3
    back, _ = LATENT.decode(LATENT.encode(motion), LATENT.at_rest(1))
    for side in ("Left", "Right"):
        assert abs(float(back[0, 0, MOTION_INDEX[f"mouthStretch{side}"]]) - 0.15) < 1e-6


def test_channels_are_named_once() -> None:
    assert len(set(LATENT_NAMES)) == LATENT_DIM == 20
    assert SHAPES.stop == DRIVEN.start
