"""What goes on beyond the edge of a photo, behind a person, and of a person."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.photo.continuation import continued
from pipelines.photo.crop import Crop, inside


def stripes(height: int, width: int) -> torch.Tensor:
    """Horizontal stripes 16 pixels apart, as a horizon or a shelf gives them."""
    rows = 0.5 + 0.3 * torch.sin(torch.arange(height) * (2 * torch.pi / 16))
    return rows.view(1, -1, 1).expand(3, height, width).contiguous()


def test_what_is_known_is_left_alone() -> None:
    picture = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(1))
    known = torch.zeros(1, 64, 96)
    known[:, 10:50, 20:70] = 1.0
    filled = continued(picture, known)
    assert torch.equal(filled * known, picture * known)
    assert filled.min() >= 0.0
    assert filled.max() <= 1.0


def test_a_photo_goes_on_beyond_a_straight_edge() -> None:
    picture, known = stripes(128, 256), torch.zeros(1, 128, 256)
    known[:, :, 64:192] = 1.0
    beyond = continued(picture * known, known)[0, :, 182:204]
    contrast = beyond.std(dim=0)
    # 12 pixels beyond lie within half the mirror's reach of a tenth of 256
    assert contrast[-1] > 0.6 * contrast[0]
    assert not torch.isnan(beyond).any()


def test_no_outline_comes_back_behind_a_person() -> None:
    picture = torch.full((3, 128, 128), 0.6)
    picture[:, :, 86:92] = 0.1  # a post beside the person
    known = torch.ones(1, 128, 128)
    known[:, 20:, 40:84] = 0.0
    behind = continued(picture, known, mirror=False)[0, 40:, 48:76]
    rough = (behind[:, 1:] - behind[:, :-1]).abs().max()
    assert rough < 0.06, "the post's step is 0.5; texture is cut at 0.03 either way"


def test_what_of_a_crop_shows_the_photo() -> None:
    whole = inside(Crop(10.0, 5.0, 80.0), 100, 100, size=64)
    assert whole.all()
    part = inside(Crop(-40.0, 0.0, 160.0), 80, 160, size=64)
    assert not part[:, :16].any()
    assert not part[:, 48:].any()
    assert part[:, 17:47].all()
    assert np.array_equal(part, part[::-1])
