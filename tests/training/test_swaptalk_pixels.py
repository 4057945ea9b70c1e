"""Training of the pixel module: what it sees of a square, that it listens, learns and goes on."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipelines.motion.space import MOTION_DIM
from pipelines.swaptalk.config import EarConfig
from pipelines.swaptalk.latents import lower
from pipelines.swaptalk.vqgan.crop import face_square
from pipelines.weights import CheckpointError, read_metadata
from tests.support.tiny_swaptalk import tiny_networks
from training.flow_warp.store import Clip, write_clip
from training.swaptalk.pixels.__main__ import prepare
from training.swaptalk.pixels.faces import read_squares
from training.swaptalk.pixels.learner import PixelLearner
from training.swaptalk.pixels.network import PixelConfig, PixelLips, load_pixels, metadata_of
from training.swaptalk.run import Plan, Run
from training.swaptalk.samplers import LipBatch
from training.workers import Workers

SIZE, FRAMES = 32, 12
TINY = PixelConfig(
    size=SIZE, patch=2, warp_patch=4, ear=EarConfig(ahead=0, width=16, tokens=3),
    warp_widths=(8, 8, 12), widths=(12, 16, 16), heads=2,
)  # fmt: skip
MOUTH, EYES = (0.0, 0.35), ((-0.3, -0.2), (0.3, -0.2))
ALONE = Workers(torch.device("cpu"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces of one colour each, whose dark mouths open with the jaw."""
    folder = tmp_path_factory.mktemp("pixels")
    chance = np.random.default_rng(0)
    regions = np.array([[*MOUTH, 0.25], *([*eye, 0.1] for eye in EYES)], np.float32)
    for split, people in (("train", 3), ("held_out", 2)):
        for who in range(people):
            motion = np.zeros((FRAMES, MOTION_DIM), np.float32)
            motion[:, 0] = np.arange(FRAMES) % 2  # shut or wide open
            frames = np.empty((FRAMES, 64, 64, 3), np.uint8)
            frames[:] = chance.integers(120, 220, 3)
            for index in range(FRAMES):
                half = 1 + round(4 * motion[index, 0])  # never above the seam
                frames[index, 43 - half : 43 + half, 24:40] = 20
            held = np.broadcast_to(regions, (FRAMES, 3, 3)).copy()
            write_clip(folder / split / f"{who}.safetensors", Clip(frames, held, motion, str(who)))
    return folder


def _run(data: Path, out: Path, steps: int) -> Run:
    plan = Plan(steps=steps, rate=4e-3, warm_up=3, average=0.8, report=steps // 2 or 1)
    return prepare(Namespace(data=data, out=out, batch=4), plan, ALONE, TINY)


def _speaking(seed: int = 0) -> PixelLips:
    torch.manual_seed(seed)
    network = PixelLips(TINY)
    for layer in (network.transform.leave, network.warp.offsets.leave):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return network.eval().requires_grad_(False)


def _seen() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    squares = torch.rand(2, 2, 3, SIZE, SIZE) * 2.0 - 1.0
    return squares[0], squares[1], torch.rand(2, 3, MOTION_DIM)


def test_the_mouth_is_the_references_before_training() -> None:
    target, reference, sound = _seen()
    torch.testing.assert_close(PixelLips(TINY)(target, reference, sound), lower(reference))


def test_only_the_upper_half_of_the_target_is_seen_and_only_the_mouth_is_heard() -> None:
    network, (target, reference, sound) = _speaking(), _seen()
    made = network(target, reference, sound)
    other, looked = target.clone(), sound.clone()
    other[:, :, SIZE // 2 :] = 0.0
    looked[..., -8:] += 1.0  # head and gaze
    assert torch.equal(network(other, reference, looked), made)
    spoken = sound.clone()
    spoken[..., 0] += 0.5
    assert not torch.allclose(network(target, reference, spoken), made)
    other[:, :, : SIZE // 2] += 0.5 * target[:, :, : SIZE // 2].flip(3)
    assert not torch.allclose(network(other, reference, sound), made)


def test_a_warp_moves_pixels() -> None:
    """By less than a cell, which patches as a whole could not."""
    network, (target, reference, _) = _speaking(), _seen()
    torch.nn.init.zeros_(network.warp.offsets.leave.weight)
    bias = network.warp.offsets.leave.bias
    assert bias is not None
    bias.copy_(torch.tensor([0.25, 0.0]))  # of four pixels
    moved = network.warp_reference(target[:, :, : SIZE // 2], reference).lower
    torch.testing.assert_close(moved[..., :-1], lower(reference)[..., 1:])


def test_squares_of_another_size_are_refused() -> None:
    target, reference, sound = _seen()
    with pytest.raises(ValueError, match=r"expected squares \[B, 3, 32, 32\]"):
        PixelLips(TINY)(target[..., :16], reference, sound)
    with pytest.raises(ValueError, match="do not part into patches"):
        PixelConfig(size=100)
    with pytest.raises(ValueError, match="not from mel"):
        PixelConfig(ear=EarConfig(hears="mel"))


def test_what_is_seen_of_a_store_is_the_square_of_the_face(data: Path) -> None:
    (face, *_) = read_squares(data / "train", SIZE)
    squares = face.latents([0, 5])
    assert squares.shape == (2, 3, SIZE, SIZE)
    larger = (SIZE / 64) / float(face_square(torch.tensor([[MOUTH, *EYES]]))[0, 0, 0])
    for square, frame in zip(squares, (0, 5), strict=True):
        dark = square.mean(0) < -0.5
        half = 1 + round(4 * float(face.motion[frame, 0]))
        assert int(dark.any(0).sum()) == pytest.approx(16 * larger, abs=1.5)
        assert int(dark.any(1).sum()) == pytest.approx(2 * half * larger, abs=1.5)
    assert torch.equal(face.regions[0], face.regions[7])
    assert face.regions[0, 0, 1] > 0.0 > face.regions[0, 1, 1]  # below and above the seam
    with pytest.raises(ValueError, match="no faces of known motion"):
        read_squares(data, SIZE)


def test_it_learns_to_listen(data: Path, tmp_path: Path) -> None:
    run = _run(data, tmp_path, 100)
    run.held_out = run.draw
    before = run.judge()
    assert before["colour"] == pytest.approx(before["still"])
    run.train()
    after = run.judge()
    assert after["colour"] < 0.8 * before["colour"], (before, after)

    def misheard(step: int) -> LipBatch:
        batch = run.draw(step)
        assert isinstance(batch, LipBatch)
        return batch._replace(sound=batch.sound.roll(1, 0))

    run.held_out = misheard
    assert run.judge()["colour"] > 1.2 * after["colour"]


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    once = _run(data, tmp_path / "once", 8)
    once.train()
    first = _run(data, tmp_path / "parts", 8)
    draw = first.draw

    def until(step: int) -> LipBatch:
        if step >= 6:
            raise InterruptedError
        batch = draw(step)
        assert isinstance(batch, LipBatch)
        return batch

    first.draw = until
    with pytest.raises(InterruptedError):
        first.train()
    rest = _run(data, tmp_path / "parts", 8)
    assert rest.step == 4
    rest.train()
    _same(once, rest)
    lines = (tmp_path / "parts/curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 8]


def _same(one: Run, other: Run) -> None:
    for name, value in one.average.items():
        assert torch.equal(value, other.average[name]), name


def test_weights_come_back_with_their_configuration(data: Path, tmp_path: Path) -> None:
    run = _run(data, tmp_path, 1)
    run.train()
    network = load_pixels(tmp_path / "model.safetensors")
    assert network.config == TINY
    for name, value in network.state_dict().items():
        assert torch.equal(value, run.average[name]), name
    about = read_metadata(tmp_path / "model.safetensors")
    assert about["encoder"] == "pixels"
    assert metadata_of(TINY).items() <= about.items()
    space, _ = tiny_networks()
    save_file(space.state_dict(), tmp_path / "other.safetensors", {"kind": "swaptalk-vqgan"})
    with pytest.raises(CheckpointError, match="swaptalk-vqgan, expected swaptalk-pixels"):
        load_pixels(tmp_path / "other.safetensors")


def test_a_frame_takes_no_more_than_3_gflop() -> None:
    with torch.device("meta"):
        network = PixelLips()
        squares, sound = torch.zeros(1, 3, 256, 256), torch.zeros(1, 5, MOTION_DIM)
        ready = network.prepare(network.warp_reference(squares[:, :, :128], squares))
        with FlopCounterMode(display=False) as counter:
            network.speak(ready, network.listen(sound))
    assert 0.5e9 < counter.get_total_flops() < 3e9


def test_losses_weigh_the_mouth_most() -> None:
    learner = PixelLearner(PixelLips(TINY))
    regions = torch.tensor([[[*MOUTH, 0.25], *([*eye, 0.1] for eye in EYES)]])
    square = torch.zeros(1, 3, SIZE, SIZE)
    off = {}
    for name, row in (("mouth", 21), ("chin", 30)):
        target = square.clone()
        target[:, :, row, 14:18] = 1.0
        sound = torch.zeros(1, 3, MOTION_DIM)
        losses = learner(LipBatch(target, square, sound, sound[:, :1], regions))
        off[name] = float(losses["colour"].detach())
    assert off["mouth"] > 3.0 * off["chin"] > 0.0
