"""Drawn lower faces: cached as in the paper's order, and of the frame's colours once pasted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kernels.i420 import rgb_to_i420
from pipelines.motion.space import MOTION_DIM
from pipelines.swaptalk.faces import LatentFaces
from pipelines.swaptalk.mask import HEIGHT, WIDTH
from pipelines.swaptalk.paste import Face, paste, small
from tests.support.tiny_swaptalk import TINY_VQGAN, tiny_faces, tiny_networks, tiny_swap


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("swapped", [True, False])
def test_the_cached_path_equals_the_papers_order(local: bool, swapped: bool) -> None:
    """Over several frames, each with the codes of the one before."""
    space, lips = tiny_networks(1, replace(TINY_VQGAN, local_decoder=local))
    faces = LatentFaces(space, lips, 0.1, tiny_swap())
    torch.manual_seed(2)
    squares = torch.rand(5, 3, 64, 64) * 2.0 - 1.0
    motion = torch.rand(5, faces.tokens, MOTION_DIM)
    source = torch.rand(1, 3, 64, 64) * 2.0 - 1.0 if swapped else None
    with torch.inference_mode():
        maps = faces.encode(squares)
        if source is not None:
            maps = faces.swap(faces.encode(source), maps)
        rows = faces.prepare(maps, maps[2:3])
        cached = uncached = torch.full((1, *faces.cells), -1)
        for n in range(5):
            row = {name: held[n : n + 1] for name, held in rows.items()}
            ours = faces.draw(row, motion[n : n + 1], cached)
            paper = faces.uncached(
                squares[n : n + 1], squares[2:3], motion[n : n + 1], uncached, source
            )
            cached, uncached = ours.codes, paper.codes
            assert torch.equal(cached, uncached)
            assert (ours.lower - paper.lower).abs().max() < 1e-5
            assert ours.lower.std() > 0.01


def test_the_templates_own_mouth_is_never_seen() -> None:
    faces = tiny_faces()
    torch.manual_seed(3)
    squares = torch.rand(2, 3, 64, 64) * 2.0 - 1.0
    other = squares.clone()
    other[0, :, 32:] = -other[0, :, 32:]
    first, second = (faces.encode(each) for each in (squares, other))
    rows, others = (faces.prepare(each, first[1:]) for each in (first, second))
    for name in rows:
        assert torch.equal(rows[name][0], others[name][0]), name


def test_networks_that_do_not_fit_are_refused() -> None:
    space, _ = tiny_networks(0, replace(TINY_VQGAN, size=128))
    _, lips = tiny_networks()
    with pytest.raises(ValueError, match="maps of 8 x 8 x 8, the VQGAN's are 8 x 16 x 16"):
        LatentFaces(space, lips, 0.0)


@pytest.mark.parametrize("light", [-0.1, 0.0, 0.1])
def test_colours_are_those_of_the_frame(light: float) -> None:
    """A lower half that is lighter all over comes in as light as what is around it."""
    chance = np.random.default_rng(0)
    line = np.linspace(-1.0, 1.0, 256)
    slope = 0.5 + 0.1 * line[None] + 0.05 * line[:, None] + chance.normal(0.0, 0.01, (256, 256))
    scene = torch.from_numpy(np.stack([slope, 0.8 * slope, 0.7 * slope])).float()
    lower = scene[:, 128:]
    down = torch.linspace(0.0, 1.0, HEIGHT)[:, None].expand(HEIGHT, WIDTH)
    across = torch.linspace(-1.0, 1.0, WIDTH).expand(HEIGHT, WIDTH)
    mask = (2.0 - 3.0 * torch.hypot(across, 2.0 * down - 1.0)).clamp(0.0, 1.0)
    planes = rgb_to_i420(scene[None])[0]
    before = planes.clone()
    place = np.array([[128.0, 0.0, 128.0], [0.0, 128.0, 128.0]])
    paste((lower + light).clamp(0, 1), Face(place, mask, small(lower)), planes)
    assert (planes.float() - before.float()).abs().mean() < 0.5
    assert (planes.float() - before.float()).abs().max() <= 3.0  # the grain is resampled


def test_around_a_resting_mouth_the_frame_is_seen_as_it_is() -> None:
    faces = tiny_faces()
    torch.manual_seed(3)
    squares = torch.rand(2, 3, 64, 64) * 0.4 - 0.2
    with torch.inference_mode():
        maps = faces.encode(squares)
        rows = faces.prepare(maps, maps[:1], squares)
        last = torch.full((2, *faces.cells), -1)
        drawn = faces.draw(rows, torch.zeros(2, faces.tokens, MOTION_DIM), last).lower
    seen = squares[:, :, 32:] * 0.5 + 0.5
    edge = (drawn - seen)[:, :, :, :8].abs()
    assert edge.median() < 1.0 / 255.0  # what is drawn may be wrong by more than is kept
    assert (drawn - seen)[:, :, 6:14, 28:36].abs().mean() > 0.02  # the mouth is drawn
