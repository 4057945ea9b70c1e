"""Wide openings grow, ordinary ones do not, and controls bend before the end of the range."""

from __future__ import annotations

import torch

from pipelines.motion.lip_closure import parting_weights
from pipelines.motion.reach import Reach, bend, widened
from pipelines.motion.reading import gap_of
from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX


def spoken(jaw: float) -> torch.Tensor:
    row = torch.zeros(1, MOTION_DIM)
    row[0, MOTION_INDEX["jawOpen"]] = jaw
    row[0, MOTION_INDEX["mouthFunnel"]] = 0.1
    row[0, MOTION_INDEX["headYaw"]] = 5.0
    return row


def partings(expression: float) -> torch.Tensor:
    jaws = torch.linspace(0.0, 0.5, 101)
    rows = torch.cat([spoken(float(jaw)) for jaw in jaws])
    moved: torch.Tensor = Reach()(rows, torch.full((len(rows),), expression))
    return moved @ parting_weights()


def test_ordinary_openings_are_as_they_were() -> None:
    usual = torch.linspace(-0.05, 0.18, 24)
    torch.testing.assert_close(widened(usual), usual)
    row = spoken(0.10)
    torch.testing.assert_close(Reach()(row, torch.ones(1)), row)


def test_the_widest_vowels_open_as_far_as_people_do() -> None:
    """The network's widest partings are 0.35 to 0.37; the widest of people read 0.10."""
    widest = widened(torch.tensor([0.35, 0.37]))
    assert all(0.09 < gap_of(x) < 0.115 for x in widest.double().numpy())


def test_more_stays_more_without_jumps() -> None:
    for expression in (0.5, 1.0, 1.5, 2.0):
        steps = partings(expression).diff()
        assert (steps > 0).all()
        assert steps.max() < 0.035  # in steps of 0.005: seven times as fast, at most
    assert partings(2.0).max() <= 0.75


def test_expression_is_useful_up_to_2() -> None:
    said = Reach()(spoken(0.15), torch.ones(1)) @ parting_weights()
    for expression in (0.5, 1.5, 2.0):
        more = Reach()(spoken(0.15), torch.tensor([expression])) @ parting_weights()
        torch.testing.assert_close(more, said * expression)
    row = torch.full((1, MOTION_DIM), 0.6)
    twice = Reach()(row, torch.full((1,), 2.0))[0, : len(BLENDSHAPES)]
    bent = [n for n in BLENDSHAPES if n not in ("jawOpen", "mouthClose")]
    assert all(0.9 < twice[MOTION_INDEX[name]] < 1.0 for name in bent)
    assert not Reach()(row, torch.zeros(1))[0, : len(BLENDSHAPES)].any()


def test_a_bend_is_smooth_and_never_passes_its_limit() -> None:
    x = torch.linspace(0.0, 3.0, 301)
    y = bend(x, 0.6, 1.0)
    torch.testing.assert_close(y[:61], x[:61])
    assert y.max() <= 1.0
    assert y.diff().diff().abs().max() < 1e-3  # no corner
