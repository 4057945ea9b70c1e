"""What flows say of eyes whose lids are on their way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipelines.motion.space import MOTION_DIM, MOTION_INDEX
from training.flow_warp.lids import FREE, with_lids
from training.flow_warp.losses import flow_loss, hole_loss

SIZE = 64
EYES = ((20, 28), (38, 46))  # columns of the right and the left eye's opening, in rows 26 to 35
ROWS = slice(26, 36)
REGIONS = torch.tensor([[[0.0, 0.5, 0.2], [-0.25, -0.03, 0.14], [0.31, -0.03, 0.14]]])


def straight() -> Tensor:
    """Frames that look where they are, [1, 2, SIZE, SIZE]."""
    line = (torch.arange(SIZE) + 0.5) * (2.0 / SIZE) - 1.0
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


def flows() -> Tensor:
    """The same, with nothing known of eyes and mouth."""
    found = straight()
    for left, right in EYES:
        found[..., ROWS, left:right] = float("nan")
    found[..., 46:52, 26:40] = float("nan")
    return found


def blinking(**down: float) -> Tensor:
    motion = torch.zeros(1, MOTION_DIM)
    for name, value in down.items():
        motion[0, MOTION_INDEX[name]] = value
    return motion


def test_half_a_blink_shows_skin_above_and_the_eye_below() -> None:
    told = with_lids(flows(), REGIONS, blinking(eyeBlinkRight=0.5, eyeBlinkLeft=0.5))
    rows, places = (told[0, 1, :, 23] + 1.0) * (SIZE / 2) - 0.5, torch.arange(SIZE)
    assert rows[30:32].isnan().all()  # the lashes
    torch.testing.assert_close(rows[32:36], places[32:36].float(), rtol=0, atol=1e-3)
    lid = rows[26:30]
    assert (lid < 25).all()
    assert (lid > 20).all()
    assert (lid.diff() < 0).all()  # as in a mirror
    assert told[0, :, 46:52, 26:40].isnan().all()  # the mouth


def test_a_shut_eye_shows_skin_alone_and_a_wink_is_of_one_eye() -> None:
    told = with_lids(flows(), REGIONS, blinking(eyeBlinkRight=1.0))
    rows = (told[0, 1] + 1.0) * (SIZE / 2) - 0.5
    assert (rows[26:30, 22] < 25).all()
    assert bool(told[0, :, 30:35, 22].isinf().all())  # too far below the rim to be told
    open_eye = rows[28:36, 42]
    torch.testing.assert_close(open_eye, torch.arange(28.0, 36.0), rtol=0, atol=1e-3)


def test_a_lowered_gaze_lowers_lids() -> None:
    still, lowered = (
        with_lids(flows(), REGIONS, blinking(gazePitch=angle))[0, 1, :, 23]
        for angle in (0.0, -15.0)
    )
    above = (lowered - still)[28:30]
    assert (above < -0.05).sum() + lowered[28:30].isnan().sum() == 2


def test_nothing_is_asked_of_free_flows() -> None:
    free = straight()
    free[:, :, 26:36, 20:28] = FREE
    grid, weight = straight(), torch.ones(1, 1, SIZE, SIZE)
    assert float(flow_loss([grid], free, weight)) < 1e-6
    masks = torch.full((1, 1, SIZE, SIZE), 12.0)
    masks[..., 26:36, 20:28] = -12.0
    assert float(hole_loss([masks], free, REGIONS)) < 1e-3
    masks[..., 20:26, 20:28] = -12.0
    assert float(hole_loss([masks], free, REGIONS)) > 0.02


@pytest.mark.parametrize("known", [True, False])
def test_what_is_all_known_or_all_unknown_stays(known: bool) -> None:
    given = straight() if known else torch.full((1, 2, SIZE, SIZE), float("nan"))
    told = with_lids(given, REGIONS, blinking(eyeBlinkRight=1.0, eyeBlinkLeft=1.0))
    torch.testing.assert_close(told, given, equal_nan=True)
