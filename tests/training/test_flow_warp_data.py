"""Faces to train the renderer on: drawn with known motion, or from recordings; and batches."""

from __future__ import annotations

import csv
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipelines.motion.space import BLENDSHAPES, MOTION_DIM, MOTION_INDEX
from training.faces import draw_portrait, random_params
from training.flow_warp import data
from training.flow_warp.ahead import Ahead
from training.flow_warp.augment import Shots, mirror, mirror_motion, reframe
from training.flow_warp.batches import Sampler
from training.flow_warp.clips import ClipError, _pictures, recorded_clip
from training.flow_warp.drawn import GROUP, drawn_clip
from training.flow_warp.motions import motion_bank
from training.flow_warp.photos import choose, portrait_clip
from training.flow_warp.store import Clip, Face, read_faces, write_clip
from training.portraits.held_out import read_index

SIZE, FRAMES = 16, 6


@pytest.fixture(scope="module")
def drawn() -> Clip:
    return drawn_clip(1, 4, 64)


@pytest.fixture
def faces(tmp_path: Path) -> list[Face]:
    """Four grey people in two groups; brightness says who and which frame."""
    folder = tmp_path
    for who in range(4):
        level = 40 * who + 5 * np.arange(FRAMES)
        frames = np.broadcast_to(level[:, None, None, None], (FRAMES, SIZE, SIZE, 3))
        motion = np.zeros((FRAMES, MOTION_DIM), np.float32)
        motion[:, 0] = np.arange(FRAMES) / 10
        regions = np.zeros((FRAMES, 3, 3), np.float32)
        clip = Clip(frames.astype(np.uint8), regions, motion, f"group {who // 2}")
        write_clip(folder / f"{who}.safetensors", clip)
    return read_faces(folder, SIZE)


def test_a_bank_rests_first_and_moves_every_channel_within_range() -> None:
    bank = motion_bank(3, 2000)
    shapes = bank[:, : len(BLENDSHAPES)]
    assert not bank[0].any()
    assert shapes.min() >= 0.0
    assert shapes.max() <= 1.0
    assert (bank.std(0) > 0.005).all()
    assert np.abs(bank[:, MOTION_INDEX["headYaw"]]).max() <= 12.0
    assert np.array_equal(bank, motion_bank(3, 2000))
    assert not np.array_equal(bank, motion_bank(4, 2000))


def test_the_drawn_face_moves_as_the_motion_says(drawn: Clip) -> None:
    assert drawn.motion is not None
    assert np.array_equal(drawn.motion, motion_bank(1 // GROUP, 4))
    frames = drawn.frames.astype(np.float32)
    assert frames.shape == (4, 64, 64, 3)
    changed = np.abs(frames[1:] - frames[0]).mean((1, 2, 3))
    assert (changed > 0.5).all()
    (mx, my, mw), (rx, ry, _), (lx, ly, _) = drawn.regions[0].tolist()
    assert rx < mx < lx  # the subject's right eye is at the left of the picture
    assert ry < my
    assert ly < my
    assert abs(mx) < 0.15
    assert 0.1 < mw < 0.35


def test_a_clip_comes_back_from_disk(tmp_path: Path, drawn: Clip) -> None:
    write_clip(tmp_path / "a.safetensors", drawn)
    (face,) = read_faces(tmp_path, 64)
    assert face.group == drawn.group
    assert len(face) == 4
    assert np.array_equal(face.frame(2).numpy(), drawn.frames[2])
    assert face.motion is not None
    assert np.array_equal(face.motion.numpy(), drawn.motion)
    with pytest.raises(ValueError, match="the renderer wants 128"):
        read_faces(tmp_path, 128)
    with pytest.raises(ValueError, match="holds no faces"):
        read_faces(tmp_path / "none", 64)


def test_twins_show_the_same_motion_and_drive_each_other(faces: list[Face]) -> None:
    sampler = Sampler(faces, seed=0, pairs=2, drives=3, cross=1.0, vary=False)
    batch = sampler.draw(7)
    assert batch.sources.shape == (4, 3, SIZE, SIZE)
    assert batch.driving.shape == (12, 3, SIZE, SIZE)
    assert batch.drivers.tolist() == [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]
    driving_motion = batch.motion[4:]
    assert torch.equal(driving_motion, driving_motion[batch.drivers])
    who = batch.people[4:]
    assert bool((who != who[batch.drivers]).all())
    frame = (driving_motion[:, 0] * 10).round()
    level = (batch.driving[:, 0, 0, 0] + 1.0) * 127.5
    torch.testing.assert_close(level, 40.0 * who + 5.0 * frame, rtol=0, atol=1e-2)


def test_strangers_are_never_crossed(faces: list[Face]) -> None:
    batch = Sampler([faces[0], faces[2]], seed=0, cross=1.0).draw(0)
    assert batch.drivers.tolist() == list(range(8))


def test_a_batch_of_unknown_motion_is_driven_by_pictures(faces: list[Face]) -> None:
    sampler = Sampler(faces, seed=0, mapped=1.0)
    assert sampler.draw(0).mapped
    for face in faces:
        if face.group == "group 1":
            face.motion = None
    mapped = [sampler.draw(step).mapped for step in range(20)]
    assert any(mapped)
    assert not all(mapped)


def test_batches_follow_seed_rank_and_step(faces: list[Face]) -> None:
    def first(seed: int, rank: int, step: int) -> torch.Tensor:
        return Sampler(faces, seed=seed, rank=rank).draw(step).driving

    assert torch.equal(first(1, 0, 5), first(1, 0, 5))
    for other in ((2, 0, 5), (1, 1, 5), (1, 0, 6)):
        assert not torch.equal(first(1, 0, 5), first(*other))


def test_batches_drawn_ahead_are_the_same(faces: list[Face]) -> None:
    ahead = Ahead(Sampler(faces, seed=1), threads=3)
    for step in (4, 5, 6, 7):
        assert torch.equal(ahead.draw(step).driving, Sampler(faces, seed=1).draw(step).driving)


def test_portraits_alike_are_taken_once_and_those_for_validation_never(tmp_path: Path) -> None:
    kept = read_index()[0]
    others = [kept | {"file": f"somebody-{n}.jpg", "yaw_deg": str(yaw)} for n, yaw in
              ((1, 3.0), (2, 3.0), (3, 4.0))]  # fmt: skip
    index = tmp_path / "index.csv"
    with index.open("w", newline="") as file:
        writer = csv.DictWriter(file, kept.keys())
        writer.writeheader()
        writer.writerows([kept, *others])
    held, chosen = choose(tmp_path, index)
    assert kept["file"] in {path.name for path in held}
    assert {path.name for path in chosen} == {"somebody-1.jpg", "somebody-3.jpg"}
    with pytest.raises(ValueError, match="no portraits"):
        choose(tmp_path)


def test_a_portrait_is_moved_without_its_mark(tmp_path: Path) -> None:
    photo = draw_portrait(random_params(2), 256)
    photo[-16:, -60:] = (255, 0, 255)
    path = tmp_path / "marked.png"
    Image.fromarray(photo).save(path)
    clip = portrait_clip(path, 9, 2, 64, mark=(60, 16))
    assert clip.group == f"portrait-{9 // GROUP}"
    assert clip.motion is not None
    red, green, blue = clip.frames[0].astype(int).transpose(2, 0, 1)
    assert ((red - green) < 120).all() or ((blue - green) < 120).all()
    assert ((red - green > 100) & (blue - green > 100)).sum() == 0


def test_a_mirror_swaps_sides_and_twice_is_nothing() -> None:
    motion = torch.from_numpy(motion_bank(0, 50))
    seen = mirror_motion(motion)
    left, right = MOTION_INDEX["mouthSmileLeft"], MOTION_INDEX["mouthSmileRight"]
    assert torch.equal(seen[:, left], motion[:, right])
    assert torch.equal(seen[:, MOTION_INDEX["headYaw"]], -motion[:, MOTION_INDEX["headYaw"]])
    assert torch.equal(mirror_motion(seen), motion)
    regions = torch.tensor([[[0.1, 0.4, 0.2], [-0.3, -0.2, 0.1], [0.3, -0.1, 0.1]]]).expand(2, 3, 3)
    shots = Shots(torch.rand(2, 3, 8, 8), regions, torch.rand(2, 2, 4, 4))
    turned = mirror(shots)
    assert turned.regions[0, 1].tolist() == pytest.approx([-0.3, -0.1, 0.1])  # was the left eye
    again = mirror(turned)
    assert torch.equal(again.frames, shots.frames)
    assert torch.equal(again.regions, shots.regions)
    assert torch.equal(again.flows, shots.flows)


def test_another_framing_moves_regions_with_the_picture() -> None:
    line = torch.linspace(-1, 1, 65)[:-1] + 1 / 64
    spot = torch.exp(-((line[:, None] - 0.3) ** 2 + (line[None] + 0.2) ** 2) / 0.02)
    regions = torch.tensor([[[-0.2, 0.3, 0.1]] * 3])
    shots = Shots(spot.expand(1, 3, 64, 64), regions, torch.zeros(1, 2, 4, 4))
    moved = reframe(shots, np.random.default_rng(5))
    peak = moved.frames[0, 0].flatten().argmax()
    x, y = line[peak % 64], line[peak // 64]
    assert abs(float(x) - float(moved.regions[0, 0, 0])) < 0.04
    assert abs(float(y) - float(moved.regions[0, 0, 1])) < 0.04


def _looked_up(source: Tensor, flows: Tensor) -> tuple[Tensor, Tensor]:
    """Frames as the flows find them in the source, and where they do."""
    size = source.shape[-1]
    known = (~flows.isnan().any(1, keepdim=True)).float()
    known = (F.interpolate(known, (size, size), mode="bilinear") > 0.999).float()
    places = F.interpolate(flows.nan_to_num(), (size, size), mode="bilinear")
    found = F.grid_sample(source, places.permute(0, 2, 3, 1), align_corners=False)
    return found, known


def test_known_flows_find_each_frame_in_the_resting_one(drawn: Clip) -> None:
    assert drawn.flows is not None
    frames = torch.from_numpy(drawn.frames).permute(0, 3, 1, 2).float()
    found, known = _looked_up(frames[:1].expand_as(frames), drawn.flows.float())
    assert 0.9 < float(known.mean()) < 1.0  # not in mouths, not where the head uncovers something
    copied = ((frames[:1] - frames) * known).abs()[1:].mean()
    assert float(((found - frames) * known).abs()[1:].mean()) < 0.6 * float(copied)


def test_flows_stay_true_in_varied_batches(tmp_path: Path) -> None:
    for number in (8, 9):
        write_clip(tmp_path / f"{number}.safetensors", drawn_clip(number, 4, 64))
    sampler = Sampler(read_faces(tmp_path, 64), seed=0, pairs=1, drives=2)
    apart, copied = [], []
    for step in range(12):
        batch = sampler.draw(step)
        source = batch.sources.repeat_interleave(2, 0)
        found, known = _looked_up(source, batch.flows)
        apart.append(float(((found - batch.driving) * known).abs().mean()))
        copied.append(float(((source - batch.driving) * known).abs().mean()))
    assert sum(copied) > 0.0  # some sources were at rest
    assert sum(apart) < 0.6 * sum(copied)


def test_every_recording_has_a_name_and_a_side_of_its_own(
    tmp_path: Path, drawn: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def recorded(path: Path, frames: int, size: int) -> Clip:
        made.append(path.relative_to(tmp_path / "talks").as_posix())
        return drawn

    monkeypatch.setattr(data, "recorded_clip", recorded)
    (tmp_path / "talks" / "a").mkdir(parents=True)
    for batch in (["a/b.mp4", "a-b.mp4", "x.mp4", "x.mov"], ["0.mp4", f"{'é' * 100}/a.mp4"]):
        for name in batch:
            (tmp_path / "talks" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "talks" / name).touch()
        data.record(tmp_path / "out", tmp_path / "talks", 2, 4, 64)
        assert sorted(made[-len(batch) :]) == sorted(batch)  # none lost, none made again
    held = [len(list((tmp_path / "out" / split).iterdir())) for split in ("train", "held_out")]
    assert sum(held) == len(made) == 6
    assert min(held) > 0


def write_video(path: Path, frames: np.ndarray) -> None:
    """Twelve frames, alternating, of twice the size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = (2 * side for side in frames.shape[1:3])
        stream.bit_rate = 2_000_000
        for index in range(12):
            picture = frames[index % len(frames)].repeat(2, 0).repeat(2, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_a_recording_becomes_a_clip(tmp_path: Path) -> None:
    clip = drawn_clip(1, 2, 128)
    path = tmp_path / "talk.mp4"
    write_video(path, clip.frames)
    made = recorded_clip(path, 8, 128)
    assert made.frames.shape == (8, 128, 128, 3)
    assert made.motion is None
    # The drawn frame was this same crop already.
    np.testing.assert_allclose(made.regions[0], clip.regions[0], atol=0.08)
    with pytest.raises(ClipError, match="8 are needed"):
        recorded_clip(path, 4, 128)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_telephone_held_otherwise_is_turned_upright(tmp_path: Path, turns: int) -> None:
    """It stores what its sensor saw and, in the track's header, how to turn that."""
    upright = np.zeros((1, 32, 48, 3), np.uint8)
    upright[0, :16, :24] = 255  # its upper left
    path = tmp_path / "turned.mp4"
    write_video(path, np.rot90(upright, -turns, (1, 2)))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    (across, down), one = [(0, -1), (-1, 0), (0, 1)][turns - 1], 1 << 16
    old = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    assert content[matrix : matrix + 36] == old
    new = (across * one, down * one, 0, -down * one, across * one, 0, 0, 0, 1 << 30)
    content[matrix : matrix + 36] = struct.pack(">9i", *new)
    path.write_bytes(content)
    picture = next(_pictures(path, 1))
    assert picture.shape == (64, 96, 3)
    assert picture[8:24, 8:40].mean() > 200.0
    assert picture[40:, 56:].mean() < 50.0


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"not a video")
    with pytest.raises(ClipError, match="cannot be decoded"):
        recorded_clip(path, 8, 64)
