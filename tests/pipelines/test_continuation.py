"""What goes on behind a person, and of a person beyond an edge."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.photo.beyond import beyond_edges
from pipelines.photo.continuation import continued
from pipelines.photo.crop import Crop, inside


def test_what_is_known_is_left_alone() -> None:
    picture = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(1))
    known = torch.zeros(1, 64, 96)
    known[:, 10:50, 20:70] = 1.0
    filled = continued(picture, known)
    assert torch.equal(filled * known, picture * known)
    assert filled.min() >= 0.0
    assert filled.max() <= 1.0


def test_no_outline_comes_back_behind_a_person() -> None:
    picture = torch.full((3, 128, 128), 0.6)
    picture[:, :, 86:92] = 0.1  # a post beside the person
    known = torch.ones(1, 128, 128)
    known[:, 20:, 40:84] = 0.0
    behind = continued(picture, known)[0, 40:, 48:76]
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


def cut_out(inside: np.ndarray) -> torch.Tensor:
    """A grey person, premultiplied [4, S, S], of a mask."""
    alpha = torch.from_numpy(inside.astype(np.float32))[None]
    return torch.cat([0.5 * alpha.expand(3, -1, -1), alpha])


def test_an_outline_that_meets_the_edge_at_a_slant_keeps_its_direction() -> None:
    y, x = np.mgrid[:96, :96]
    wide = beyond_edges(cut_out(y > 60 - x), margin=20)  # hair falling outward, to the left
    alpha = wide[3, 20:116].numpy()
    for away in (3, 9, 15):
        begins = int(np.flatnonzero(alpha[:, 20 - away] > 0.5)[0])
        assert abs(begins - (60 + away)) <= 2, "a mirror image would begin at 60: a step"
    assert torch.allclose(wide[:3], 0.5 * wide[3:]), "colours stay those of the person"


def test_a_round_end_closes_beyond_every_edge() -> None:
    y, x = np.mgrid[:96, :96]
    disc = cut_out((x - 12) ** 2 + (y - 48) ** 2 < 18**2)  # its edge cuts off a third
    for turn in range(4):
        turned = torch.rot90(disc, turn, (1, 2))
        wide = torch.rot90(beyond_edges(turned, margin=28), -turn, (1, 2))
        assert torch.equal(wide[:, 28:124, 28:124], disc)
        assert wide[3, 28 + 48, 28 - 4] == 1.0
        assert not wide[3, :, :6].any(), "it ends"
        assert not wide[3, :, 124:].any()
