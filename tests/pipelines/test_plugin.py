"""A pipeline of another distribution: found by entry point, of a video, with all that is its own.

It stands in `tests/support/toy_pipeline`; nothing of the product knows it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.batch import Batch
from pipelines.identity import IdentityFeatures, IdentityStore
from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import HOP_SAMPLES, EnrolmentCancelled, Material, Pipeline, System
from pipelines.registry import find_system, known_systems, read_options
from tests.support.plugins import installed
from tests.support.toy import QuietProgress, write_video

SIZE = (320, 180)
BASE, FRAMES = 60, 5


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with installed("toy_pipeline"):
        yield find_system("toy")


@pytest.fixture(scope="module")
def identity(system: System, tmp_path_factory: pytest.TempPathFactory) -> IdentityFeatures:
    folder = tmp_path_factory.mktemp("toy")
    video = write_video(folder / "face.mkv", FRAMES, BASE)
    return system.enrol(Material(video=video), system.Options(), QuietProgress(folder / "work"))


class Played:
    """A pipeline of two slots, stepped by hand."""

    def __init__(self, system: System, identity: IdentityFeatures, **options: Any) -> None:
        self.pipeline: Pipeline = system.build(2, system.Options(**options), "cpu")
        self.batch = Batch.of(2, system.sizes, self.pipeline.motion_dim)
        self.batch.size[:] = SIZE
        for slot in range(2):
            self.pipeline.set_identity(slot, identity, SIZE)

    def step(self, loudness: float = 0.0, *, slot: int = 0, clear: bool = False) -> np.ndarray:
        """One hop to one slot; the picture it draws, [270, 320]."""
        batch = self.batch
        batch.hops[:] = loudness
        batch.active[:] = batch.draw[:] = np.arange(2) == slot
        batch.clear[:] = batch.active & clear
        self.pipeline.step(batch)
        assert batch.drawn.tolist() == batch.draw.tolist()
        return batch.picture(slot).copy()


def luma(picture: np.ndarray) -> int:
    return int(picture[90, 100])


def bar(picture: np.ndarray) -> int:
    """Rows of the bar that shows how loud it is."""
    return int((picture[:180, 305] > 230).sum())


def test_it_is_known_only_while_it_is_installed(system: System) -> None:
    assert "toy" in known_systems()
    assert system.name == "toy"
    script = "from pipelines.registry import known_systems as k; import sys; sys.exit('toy' in k())"
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", script], env=env, check=False).returncode == 0


def test_its_options_and_controls_are_its_own(system: System) -> None:
    assert read_options(system, {"tint": "30"}).tint == 30
    with pytest.raises(ValueError, match=r"pipeline\.toy\.precision"):
        read_options(system, {"precision": "float32"})
    with pytest.raises(ValueError, match="tint must lie"):
        read_options(system, {"tint": 300})
    assert [control.name for control in system.controls] == ["brightness"]


def test_a_video_becomes_an_identity_that_is_kept(
    system: System, identity: IdentityFeatures, tmp_path: Path
) -> None:
    store = IdentityStore(tmp_path)
    store.save(identity)
    loaded = store.load(identity.key)
    assert loaded.arrays["frames"].shape == (FRAMES, 270, 320)
    assert loaded.preview.shape == (180, 320, 3)


def test_its_key_is_that_of_the_bytes(system: System, tmp_path: Path) -> None:
    videos = [write_video(tmp_path / f"{n}.mkv", FRAMES, BASE + n) for n in range(2)]
    videos.append(Path(shutil.copy(videos[0], tmp_path / "copy.mkv")))
    keys = [system.key(Material(video=video), system.Options()) for video in videos]
    assert keys[0] == keys[2] != keys[1]


def test_enrolment_can_be_cancelled_and_goes_on_where_it_was(
    system: System, identity: IdentityFeatures, tmp_path: Path
) -> None:
    class Stopped(QuietProgress):
        def __call__(self, share: float, stage: str) -> None:
            super().__call__(share, stage)
            if len(self.reports) == 3:
                raise EnrolmentCancelled

    material = Material(video=write_video(tmp_path / "face.mkv", FRAMES, BASE))
    with pytest.raises(EnrolmentCancelled):
        system.enrol(material, system.Options(), Stopped(tmp_path / "work"))
    assert len(list((tmp_path / "work").iterdir())) == 2
    again = QuietProgress(tmp_path / "work")
    whole = system.enrol(material, system.Options(), again)
    assert np.array_equal(whole.arrays["frames"], identity.arrays["frames"])
    shares = [share for share, _ in again.reports]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize("content", [b"", b"no video", b"\x1aE\xdf\xa3" * 30])
def test_what_is_no_video_is_refused(system: System, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "face.mkv").write_bytes(content)
    material = Material(video=tmp_path / "face.mkv")
    with pytest.raises(EnrolmentError, match="video"):
        system.enrol(material, system.Options(), QuietProgress(tmp_path / "work"))


def test_pictures_follow_the_video_back_and_forth(
    system: System, identity: IdentityFeatures
) -> None:
    played = Played(system, identity)
    steps = [(luma(played.step()) - BASE) / 8 for _ in range(10)]
    assert steps == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1]
    assert luma(played.step(slot=1)) == BASE, "the other slot has a place of its own"


def test_a_seed_begins_elsewhere(system: System, identity: IdentityFeatures) -> None:
    played = Played(system, identity)
    played.step()
    played.pipeline.reset(0, seed=2)
    assert luma(played.step()) == BASE + 16


def test_pictures_follow_the_sound_one_hop_late(system: System, identity: IdentityFeatures) -> None:
    played = Played(system, identity)
    assert played.pipeline.look_ahead == HOP_SAMPLES
    heights = [bar(played.step(loudness)) for loudness in (0.5, 0.25, 0.0, 0.0)]
    assert heights == [0, 90, 45, 0]


def test_a_clear_forgets_the_sound_and_goes_on_in_the_loop(
    system: System, identity: IdentityFeatures
) -> None:
    played = Played(system, identity)
    played.step(0.5)
    picture = played.step(clear=True)
    assert bar(picture) == 0
    assert luma(picture) == BASE + 8


def test_pictures_follow_the_option_and_the_control(
    system: System, identity: IdentityFeatures
) -> None:
    plain, tinted = Played(system, identity).step(), Played(system, identity, tint=40).step()
    assert tinted[200, 0] - plain[200, 0] == 40
    played = Played(system, identity)
    played.pipeline.set_controls(0, {"brightness": 2.0})
    assert luma(played.step()) == 2 * BASE
    played.pipeline.reset(0, seed=0)
    assert luma(played.step()) == BASE, "a reset slot has default controls"


def test_the_still_is_the_first_picture(system: System, identity: IdentityFeatures) -> None:
    played = Played(system, identity)
    for _ in range(3):
        played.step(0.5)
    played.pipeline.still(0, played.batch)
    assert luma(played.batch.picture(0)) == BASE
    assert bar(played.batch.picture(0)) == 0
