"""Portraits enrolled with a video of the person talking, beside a photo or in its place."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mediapipe")

from benchmarks.avatars import CAST
from pipelines.identity import IdentityFeatures
from pipelines.learnt import Learnt
from pipelines.motion.style import STYLE_DIM
from pipelines.photo.errors import EnrolmentError
from pipelines.pipeline import EnrolmentCancelled, Material, QuietProgress
from pipelines.portrait import learn
from pipelines.portrait.system import SYSTEM
from tests.support.videos import drawn_clip, write_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

OPTIONS = SYSTEM.Options()
PHOTO = CAST / "amara.png"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    drawn = drawn_clip()
    return write_clip(tmp_path_factory.mktemp("video") / "me.mp4", drawn.pictures, drawn.sound)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("video") / "silent.mp4", drawn_clip().pictures)


@pytest.fixture(scope="module")
def alone(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> IdentityFeatures:
    return enrol(Material(video=clip), tmp_path_factory.mktemp("work"))


def enrol(material: Material, folder: Path) -> IdentityFeatures:
    folder.mkdir(exist_ok=True)
    return SYSTEM.enrol(material, OPTIONS, QuietProgress(folder))


def test_a_video_alone_gives_the_photo_too(clip: Path, alone: IdentityFeatures) -> None:
    assert alone.key == SYSTEM.key(Material(video=clip), OPTIONS)
    assert alone.arrays["style"].shape == (STYLE_DIM,)
    assert alone.preview.shape == (512, 512, 3)
    with Image.open(io.BytesIO(alone.arrays["photo"].tobytes())) as photo:
        assert photo.size == (256, 256)
    assert "too little to learn from" in alone.meta["note"]


def test_what_was_learnt_stands_for_the_video(
    clip: Path, alone: IdentityFeatures, tmp_path: Path
) -> None:
    """Without it the features come out the same, by the same key."""
    learnt = Learnt.of_features(alone)
    assert learnt is not None
    assert learnt.photo is not None
    readout = np.ones((2, 9), np.float32)
    learnt = replace(learnt, style=replace(learnt.style, readout=readout))
    (tmp_path / "me.learnt").write_bytes(learnt.save())
    (tmp_path / "me.jpg").write_bytes(learnt.photo)
    kept = Material(photo=tmp_path / "me.jpg", learnt=tmp_path / "me.learnt")
    assert SYSTEM.key(kept, OPTIONS) == alone.key
    again = enrol(kept, tmp_path)
    assert np.array_equal(again.arrays["style_readout"], readout)
    assert np.abs(again.arrays["landmarks"] - alone.arrays["landmarks"]).max() < 0.01
    assert again.meta == alone.meta
    # the read-out is of one network; with another's weights there is the style alone
    other = replace(learnt, network="0" * 64)
    (tmp_path / "me.learnt").write_bytes(other.save())
    assert "style_readout" not in enrol(kept, tmp_path).arrays


def test_a_photo_beside_a_video_is_the_one_that_is_drawn(clip: Path, tmp_path: Path) -> None:
    both = Material(photo=PHOTO, video=clip)
    made, plain = enrol(both, tmp_path), enrol(Material(photo=PHOTO), tmp_path)
    assert np.array_equal(made.preview, plain.preview)
    assert "photo" not in made.arrays
    assert made.arrays["style"].shape == (STYLE_DIM,)
    assert made.key == SYSTEM.key(both, OPTIONS)
    learnt = Learnt.of_features(made)
    assert learnt is not None
    (tmp_path / "me.learnt").write_bytes(learnt.save())
    kept = Material(photo=PHOTO, learnt=tmp_path / "me.learnt")
    assert SYSTEM.key(kept, OPTIONS) == made.key


def test_keys_tell_videos_and_photos_apart(clip: Path, silent: Path) -> None:
    materials = [
        Material(photo=PHOTO),
        Material(video=clip),
        Material(video=silent),
        Material(photo=PHOTO, video=clip),
        Material(photo=PHOTO, video=silent),
        Material(photo=CAST / "omar.png", video=clip),
    ]
    assert len({SYSTEM.key(material, OPTIONS) for material in materials}) == len(materials)


def test_a_silent_video_is_a_photo_at_most(silent: Path, tmp_path: Path) -> None:
    made = enrol(Material(video=silent), tmp_path / "alone")
    assert "has no sound" in made.meta["note"]
    assert not made.arrays["style"].any()
    with pytest.raises(EnrolmentError, match="has no sound") as caught:
        enrol(Material(photo=PHOTO, video=silent), tmp_path / "beside")
    assert caught.value.code == "no_sound"


def test_two_people_are_refused(tmp_path: Path) -> None:
    both = [np.hstack([picture, picture]) for picture in drawn_clip().pictures]
    with pytest.raises(EnrolmentError) as caught:
        enrol(Material(video=write_clip(tmp_path / "us.mp4", both)), tmp_path)
    assert caught.value.code == "several_faces"


def test_an_interrupted_enrolment_does_not_look_through_the_video_again(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(QuietProgress):
        def __call__(self, share: float, stage: str) -> None:
            if stage == "learning how the lips move":
                raise EnrolmentCancelled

    with pytest.raises(EnrolmentCancelled):
        SYSTEM.enrol(Material(video=clip), OPTIONS, Interrupted(tmp_path))
    monkeypatch.setattr(learn, "study", lambda *_: pytest.fail("it was looked through again"))
    made = enrol(Material(video=clip), tmp_path)
    assert made.key == SYSTEM.key(Material(video=clip), OPTIONS)


def test_progress_goes_up_to_the_end(silent: Path, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []

    class Listener(QuietProgress):
        def __call__(self, share: float, stage: str) -> None:
            told.append((share, stage))

    SYSTEM.enrol(Material(video=silent), OPTIONS, Listener(tmp_path))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {"following the face", "finding the face"} <= {stage for _, stage in told}
