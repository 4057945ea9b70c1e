"""SyncNet and its figures: equal to the published numbers, from crops as its tracker makes them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks.avatars import CAST, enrolled, size_of
from benchmarks.lips.run import Bench, main
from benchmarks.lips.syncnet.distance import LipSync, lip_sync, mean_distances
from benchmarks.lips.syncnet.faces import Box, Track, cropped, face_crops
from benchmarks.lips.syncnet.measure import sound_clips, summary, watch
from benchmarks.lips.syncnet.network import SyncNet, load_syncnet
from pipelines.clip import play
from pipelines.photo.follow import FaceFollower
from pipelines.portrait.system import SYSTEM as PORTRAIT
from pipelines.weights import CheckpointError
from tests.support.fill import fill, fixture, keys_of, relative_error

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as published, in the format of the PyTorch of its time, without counters."""
    state = fill("syncnet_v2", "wav2lip")
    kept = {key: value for key, value in state.items() if "num_batches" not in key}
    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(kept, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="module")
def network(published: Path) -> SyncNet:
    return load_syncnet(published)


def test_every_published_key_has_its_place() -> None:
    with torch.device("meta"):
        state = SyncNet().state_dict()
    table = {key: shape for key, (_, shape, _) in keys_of("syncnet_v2", "wav2lip").items()}
    assert {key: tuple(value.shape) for key, value in state.items()} == table


@torch.inference_mode()
def test_lips(network: SyncNet) -> None:
    arrays = fixture("syncnet_v2", "wav2lip")
    starts = arrays["clip_starts"].tolist()
    features = network.lip_features(torch.from_numpy(arrays["frames_bgr_uint8"]))
    assert relative_error(features[starts], arrays["lip_cnn"]) <= TOLERANCE
    assert relative_error(network.netfclip(features)[starts], arrays["lip_embedding"]) <= TOLERANCE


@torch.inference_mode()
def test_sound(network: SyncNet) -> None:
    arrays = fixture("syncnet_v2", "wav2lip")
    starts = arrays["clip_starts"].tolist()
    rows = sound_clips(arrays["audio_int16"].astype(np.float32) / 2**15, 3)[starts]
    assert relative_error(rows[1], arrays["mfcc"][8:28]) <= TOLERANCE
    assert relative_error(network.sound_features(rows), arrays["audio_cnn"]) <= TOLERANCE
    assert relative_error(network.embed_sound(rows), arrays["audio_embedding"]) <= TOLERANCE


def test_distances() -> None:
    arrays = fixture("lse", "wav2lip")
    lips, sound = torch.from_numpy(arrays["video_feat"]), torch.from_numpy(arrays["audio_feat"])
    assert relative_error(mean_distances(lips, sound), arrays["mean_dist"]) <= TOLERANCE
    found = lip_sync(lips, sound)
    assert found.lse_d == pytest.approx(float(arrays["lse_d"]), rel=TOLERANCE)
    assert found.lse_c == pytest.approx(float(arrays["lse_c"]), rel=TOLERANCE)
    assert found.offset == arrays["offset"]


def test_late_lips_have_a_positive_offset() -> None:
    sound = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    lips = torch.cat([torch.zeros(4, 8), sound[:-4]])
    assert lip_sync(lips, sound).offset == 4
    with pytest.raises(ValueError, match="alike"):
        lip_sync(lips, sound[1:])


def test_a_crop_is_what_the_tracker_cuts() -> None:
    """40 above to 72 below and 56 to either side, here beyond the left and lower edges."""
    picture = np.arange(100 * 120 * 3, dtype=np.uint32).reshape(100, 120, 3).astype(np.uint8)
    wide = np.full((300, 320, 3), 110, np.uint8)
    wide[100:200, 100:220] = picture
    part = wide[100 + 60 - 40 : 100 + 60 + 72, 100 + 50 - 56 : 100 + 50 + 56]
    expected = cv2.resize(part, (224, 224))
    assert np.array_equal(cropped(picture, 50.0, 60.0, 40.0), expected)


def test_a_track_is_steady_and_bridges_lost_faces() -> None:
    boxes: list[Box | None] = [(10.0 + n, 20.0, 30.0 + n, 50.0) for n in range(40)]
    boxes[20] = (500.0, 400.0, 900.0, 900.0)  # one wrong reading
    boxes[5] = boxes[30] = None
    track = Track.of(boxes)
    assert track.half.tolist() == [15.0] * 40
    assert track.y.tolist() == [35.0] * 40
    assert np.abs(track.x[6:-6] - np.arange(26.0, 54.0)).max() <= 1.0
    with pytest.raises(ValueError, match="no face in any of 3 frames"):
        Track.of([None] * 3)


def test_the_mouth_lies_in_the_middle_of_a_crop() -> None:
    """Of a face of the cast, turned a little larger or smaller: the crop keeps its scale."""
    picture = cv2.imread(str(CAST / "amara.png"))
    mouths = []
    for size in (256, 384):
        (crop,) = face_crops([cv2.resize(picture, (size, size))])
        assert crop.shape == (224, 224, 3)
        with FaceFollower() as follower:
            points = follower.read(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB))
        assert points is not None
        mouths.append(points[13, :2])
    assert np.abs(mouths[0] - mouths[1]).max() <= 4.0
    assert np.abs(mouths[0] - np.array([112.0, 124.0])).max() <= 12.0


def test_sync_of_a_rendered_stream(network: SyncNet) -> None:
    size = size_of(PORTRAIT, 256)
    pipeline = PORTRAIT.build(1, PORTRAIT.Options(), "cpu")
    bench = Bench(pipeline, enrolled(PORTRAIT, CAST / "amara.png"), size)
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, 8 * 640).astype(np.float32)
    shown = [one.picture.copy() for one in play(pipeline, samples, size) if one.picture is not None]
    found = bench.sync(samples, network)
    assert found == watch(network, shown, samples)
    assert found.lse_d > 0.0
    with pytest.raises(ValueError, match="5 frames and 5120 samples are too few; at least 6"):
        watch(network, shown[:5], samples)


def test_summary_is_of_all_clips() -> None:
    clips = [LipSync(8.0, 2.0, 1), LipSync(9.0, 4.0, 1), LipSync(10.0, 6.0, 4)]
    assert summary(clips) == {"lse_c": 4.0, "lse_d": 9.0, "offset_frames": 1.0}


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"netcnnlip.0.weight": torch.zeros(1)}, tmp_path / "other.model")
    with pytest.raises(CheckpointError, match=r"\(SyncNet\): lacks netcnnlip\.0\.bias"):
        load_syncnet(tmp_path / "other.model")


def test_motion_has_no_pixels_to_see(capsys: pytest.CaptureFixture[str], published: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--from-motion", "--syncnet", str(published)])
    assert "--syncnet reads pixels" in capsys.readouterr().err
