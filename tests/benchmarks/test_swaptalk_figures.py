"""The figures of swaptalk's table, on pictures whose figures are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.linalg import sqrtm

from benchmarks.avatars import CAST
from benchmarks.faces.mesh import MeshReader
from benchmarks.swaptalk.figures import Clip
from benchmarks.swaptalk.figures.frechet import frechet_distance
from benchmarks.swaptalk.figures.identity import FaceReader, consistency, likeness, retrieved
from benchmarks.swaptalk.figures.mouth import LIPS, lip_distance, lips
from benchmarks.swaptalk.figures.pictures import flicker, outside_change, ssim
from benchmarks.swaptalk.figures.sharpness import cpbd, edge_widths
from training.recognise.network import FaceNetwork

SIZE = 64
CHANCE = np.random.default_rng(0)
MASK = np.zeros((SIZE, SIZE), np.bool_)
MASK[40:60, 10:50] = True


def _clip(frames: int = 3) -> Clip:
    """Smooth noise, the same in all frames."""
    noise = CHANCE.uniform(40, 200, (SIZE, SIZE, 3)).astype(np.float32)
    frame = cv2.GaussianBlur(noise, (0, 0), 1.0).astype(np.uint8)
    return np.tile(frame, (frames, 1, 1, 1))


def _blurred(clip: Clip, sigma: float) -> Clip:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])


def test_ssim_is_one_of_equals_and_falls_with_what_is_lost() -> None:
    clip = _clip()
    found = [ssim(clip, clip), *(ssim(_blurred(clip, sigma), clip) for sigma in (0.5, 1.0, 2.0))]
    assert found[0] == pytest.approx(1.0)
    assert all(a > b + 0.005 for a, b in pairwise(found)), found
    one = clip.copy()
    one[1] = _blurred(clip, 2.0)[1]
    assert ssim(one, clip) == pytest.approx((2.0 + found[3]) / 3.0)
    plain = np.full((1, SIZE, SIZE, 3), 100, np.uint8)
    little = (0.01 * 255) ** 2
    wanted = (2.0 * 100 * 110 + little) / (100**2 + 110**2 + little)
    assert ssim(plain, plain + 10) == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(ValueError, match="clips of"):
        ssim(clip[:2], clip)
    with pytest.raises(ValueError, match="expected uint8"):
        ssim(clip.astype(np.float32), clip.astype(np.float32))  # type: ignore[arg-type]


def test_only_what_is_outside_the_mask_counts() -> None:
    truth = _clip()
    made = truth.copy()
    made[:, MASK] = 0
    assert outside_change(made, truth, MASK) == 0.0
    made[0][~MASK] += 3
    assert outside_change(made, truth, MASK) == pytest.approx(1.0)
    moving = np.stack([np.ones_like(MASK), MASK, MASK])
    assert outside_change(made, truth, moving) == 0.0
    with pytest.raises(ValueError, match="nothing is outside"):
        outside_change(made, truth, np.ones_like(MASK))
    with pytest.raises(ValueError, match="expected a mask"):
        outside_change(made, truth, MASK[1:])


def test_what_jumps_flickers_and_what_moves_evenly_does_not() -> None:
    clip = _clip(5)
    for index in range(5):
        clip[index][MASK] = 100 + 4 * index  # brightens evenly
        clip[index][~MASK] = 100 + 4 * (index % 2)  # jumps there and back
    found = flicker(clip, MASK)
    assert found.inside == 0.0
    assert found.outside == 8.0
    clip[2][MASK] += 10
    assert flicker(clip, MASK).inside == pytest.approx((10 + 20 + 10) / 3)
    with pytest.raises(ValueError, match="three frames"):
        flicker(clip[:2], MASK)
    with pytest.raises(ValueError, match="inside and outside"):
        flicker(clip, np.zeros_like(MASK))


def test_frechet_distance_is_that_of_normal_distributions() -> None:
    a, b = CHANCE.normal(size=(40, 6)), CHANCE.normal(size=(30, 6)) @ CHANCE.normal(size=(6, 6))
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, a + 2.0) == pytest.approx(24.0)
    assert frechet_distance(a, 3.0 * (a - a.mean(0)) + a.mean(0)) == pytest.approx(
        4.0 * np.trace(np.cov(a.T))
    )
    root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(wanted)
    with pytest.raises(ValueError, match="cannot compare"):
        frechet_distance(a, b[:, 1:])


def _unit(rows: object) -> NDArray[np.float64]:
    found = np.asarray(rows, np.float64)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def test_who_is_retrieved_and_how_alike_frames_are() -> None:
    sources = _unit(np.eye(3))
    clip = _unit([[1.0, 0.1, 0.0], [0.9, 0.0, 0.2], [0.2, 0.1, 1.0], [0.0, 0.1, 1.0]])
    assert retrieved(clip, sources, 0) == 50.0
    assert retrieved(clip, sources, 1) == 0.0
    assert likeness(clip, sources[0]) == pytest.approx(100.0 * clip[:, 0].mean())
    pairs = [a @ b for n, a in enumerate(clip) for b in clip[n + 1 :]]
    assert consistency(clip) == pytest.approx(100.0 * np.mean(pairs))
    assert consistency(np.repeat(clip[:1], 5, 0)) == pytest.approx(100.0)
    with pytest.raises(ValueError, match="two sources"):
        retrieved(clip, sources[:1], 0)
    with pytest.raises(ValueError, match="two frames"):
        consistency(clip[:1])


def test_faces_are_read_in_batches(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "recogniser.safetensors"
    save_file(FaceNetwork().state_dict(), path)
    reader = FaceReader(path)
    squares = CHANCE.integers(0, 256, (18, 32, 32, 3)).astype(np.uint8)
    vectors, features = reader.vectors(squares), reader.features(squares)
    assert vectors.shape == (18, 128)
    assert features.shape == (18, 256)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(reader.vectors(squares[17:]), vectors[17:], atol=1e-5)
    assert consistency(vectors[:2]) < 99.9999
    with pytest.raises(ValueError, match="no recogniser at"):
        FaceReader(tmp_path / "none")


def test_lips_are_compared_once_their_middles_meet() -> None:
    truth = CHANCE.uniform(80, 160, (4, len(LIPS), 2))
    assert lip_distance(truth + 7.0, truth) == pytest.approx(0.0, abs=1e-9)
    middle = truth.mean(1, keepdims=True)
    wider = middle + 1.5 * (truth - middle)
    wanted = 0.5 * np.linalg.norm(truth - middle, axis=2)
    assert lip_distance(wider, truth) == pytest.approx(wanted.mean())
    wider[0] = np.nan
    assert lip_distance(wider, truth) == pytest.approx(wanted[1:].mean())
    wider[:] = np.nan
    with pytest.raises(ValueError, match="no frame shows a face"):
        lip_distance(wider, truth)


def test_lips_are_read_from_pixels() -> None:
    """In pixels of 256 whatever the size, and none where no face is."""
    face = cv2.cvtColor(cv2.imread(str(CAST / "mei.png")), cv2.COLOR_BGR2RGB)
    reader = MeshReader()
    small = cv2.resize(face, (256, 256), interpolation=cv2.INTER_AREA)
    large = cv2.resize(face, (512, 512), interpolation=cv2.INTER_AREA)
    first, second = (lips(frame[None], reader) for frame in (small, large))
    assert 0.0 <= lip_distance(first, second) < 2.0
    mouth = first[0]
    drawn = small.copy()
    x, y = mouth.mean(0).round().astype(int)
    wide = int(np.ptp(mouth[:, 0]))
    cv2.ellipse(drawn, (x, y), (wide // 3, wide // 3), 0, 0, 360, (60, 10, 10), -1)
    assert np.isnan(lips(np.zeros((1, 256, 256, 3), np.uint8), reader)).all()
    assert lip_distance(lips(drawn[None], reader), first) > 2.0
    reader.close()


def _edge(width: int, contrast: int = 200) -> NDArray[np.uint8]:
    """A grey level rises over `width` pixels in the middle of a picture."""
    line = np.clip((np.arange(128) - 64 + width) / width, 0.0, 1.0)
    return np.tile((20 + contrast * line).round().astype(np.uint8), (128, 1))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("width", [2, 3, 4, 7])
def test_edges_are_as_wide_as_they_rise_or_fall(width: int, flip: bool) -> None:
    values = _edge(width).astype(np.float64)
    widths = edge_widths(values[:, ::-1] if flip else values)
    assert set(np.unique(widths)) == {0, width}
    assert not edge_widths(values.T).any()  # a level edge is none
    assert not edge_widths(np.full((64, 64), 9.0)).any()


@pytest.mark.parametrize(
    ("width", "contrast", "sharp"), [(3, 200, 1), (4, 200, 0), (5, 45, 1), (6, 45, 0)]
)
def test_an_edge_is_sharp_up_to_what_is_just_noticed(
    width: int, contrast: int, sharp: float
) -> None:
    frame = np.repeat(_edge(width, contrast)[:, 8:120, None], 3, 2)  # within the first block
    assert cpbd(frame[None]) == sharp


def test_blur_is_detected() -> None:
    board = (np.indices((128, 128)) // 16 % 2).sum(0) % 2
    frame = np.repeat((60 + 130 * board).astype(np.uint8)[..., None], 3, 2)
    found = [cpbd(_blurred(frame[None], sigma)) for sigma in (0.3, 1.0, 2.5)]
    assert found[0] > 0.95
    assert found[2] < 0.05
    assert cpbd(np.full((2, 64, 64, 3), 90, np.uint8)) == 0.0
    with pytest.raises(ValueError, match="64 px"):
        cpbd(frame[None, :40])
