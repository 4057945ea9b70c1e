"""The one face of a video, followed: on clips that our own renderer draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mediapipe")

from pipelines.photo.errors import EnrolmentError
from pipelines.photo.video.steady import SteadyPicture
from pipelines.photo.video.study import Study, choose_photo, read_photo, study
from pipelines.photo.video.track import track_face
from pipelines.pipeline import FPS, HOP_SAMPLES, EnrolmentCancelled, QuietProgress
from tests.support.videos import SIZE, Drawn, drawn_clip, write_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return drawn_clip()


@pytest.fixture(scope="module")
def found(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("video")
    return study(write_clip(folder / "clip.mp4", drawn.pictures, drawn.sound), quiet())


def quiet() -> QuietProgress:
    return QuietProgress(Path())


def refusal(pictures: Sequence[np.ndarray]) -> EnrolmentError:
    """What is said of these pictures at 25 fps."""
    steady = (SteadyPicture(n, picture, True, 0.0) for n, picture in enumerate(pictures))
    with pytest.raises(EnrolmentError) as caught:
        list(track_face(steady))
    return caught.value


def scaled(picture: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((size, size)))


def blank(count: int) -> list[np.ndarray]:
    return [np.full((SIZE, SIZE, 3), 128, np.uint8)] * count


def test_lips_are_read_in_step_with_the_sound(found: Study, drawn: Drawn) -> None:
    assert len(found.curves) == len(drawn.pictures)
    assert found.sound is not None
    assert found.sound.shape == (len(found.curves) * HOP_SAMPLES,)
    gap = found.curves.gap
    assert not np.isnan(gap).any()
    loud = np.abs(found.sound.reshape(-1, HOP_SAMPLES)).max(1) > 0.1
    spoken = np.convolve(loud, np.ones(21), "same") > 0  # in pauses lips relax before they close
    assert (~spoken).sum() >= 5
    assert gap[spoken].max() > 0.03  # of the face height
    assert gap[~spoken].max() < 0.012
    assert 0.4 < np.median(found.curves.width) < 0.9
    assert np.abs(found.curves.yaw_deg).max() < 15.0


def test_turned_and_rarer_pictures_give_the_same_curves(
    found: Study, drawn: Drawn, tmp_path: Path
) -> None:
    turned = [np.rot90(picture, -1).copy() for picture in drawn.pictures]
    every = np.arange(len(turned))
    kept = every[every % 7 != 3]  # a variable rate
    clip = write_clip(
        tmp_path / "clip.mp4",
        [turned[n] for n in kept],
        drawn.sound,
        times_s=kept / FPS,
        rotation=90,
        sound_at_s=0.0,
    )
    again = study(clip, quiet())
    assert len(again.curves) == len(found.curves)
    known = ~np.isnan(again.curves.gap)
    assert known.all()  # the nearest picture is one frame away at most
    assert np.corrcoef(again.curves.gap, found.curves.gap)[0, 1] > 0.95
    assert np.abs(again.curves.roll_deg - found.curves.roll_deg).mean() < 1.0


def test_lips_of_pictures_from_another_time_are_not_read(drawn: Drawn, tmp_path: Path) -> None:
    kept = [n for n in range(len(drawn.pictures)) if not 10 <= n < 20]
    clip = write_clip(
        tmp_path / "clip.mp4",
        [drawn.pictures[n] for n in kept],
        times_s=[n / FPS for n in kept],
    )
    gap = study(clip, quiet()).curves.gap
    assert np.flatnonzero(np.isnan(gap)).tolist() == list(range(11, 19))


def test_the_best_photo_has_closed_lips_and_open_eyes(
    found: Study, drawn: Drawn, tmp_path: Path
) -> None:
    number = choose_photo(found)
    assert found.curves.gap[number] < 0.01
    assert found.curves.lids[number] > 0.8 * np.median(found.curves.lids)
    clip = write_clip(tmp_path / "clip.mp4", drawn.pictures)
    photo = read_photo(clip, number)
    assert np.abs(photo.astype(int) - drawn.pictures[number]).mean() < 6.0


def test_a_blurred_or_turned_picture_is_not_chosen(found: Study) -> None:
    best = choose_photo(found)
    blurred, turned = found.sharpness.copy(), found.curves.yaw_deg.copy()
    blurred[best] /= 20.0
    blurred[best + 1 :] /= 20.0
    assert choose_photo(Study(found.curves, blurred, None)) < best or best == 0
    turned[:] = 60.0
    curves = found.curves.__class__(**{**vars(found.curves), "yaw_deg": turned})
    with pytest.raises(EnrolmentError, match="turned away") as caught:
        choose_photo(Study(curves, found.sharpness, None))
    assert caught.value.code == "face_turned"


def test_another_scene_is_a_cut(drawn: Drawn) -> None:
    other = np.roll(drawn.pictures[0], 100, axis=1)[:, :, ::-1]
    refused = refusal([*drawn.pictures[:20], other, *drawn.pictures[20:30]])
    assert refused.code == "video_cut"
    assert "at 0.8 s" in str(refused)


def test_the_same_face_from_closer_is_a_cut(drawn: Drawn) -> None:
    closer = [scaled(picture, 400)[60:316, 72:328].copy() for picture in drawn.pictures[20:30]]
    refused = refusal([*drawn.pictures[:20], *closer])
    assert refused.code == "video_cut"
    assert "at 0.8 s" in str(refused) or "at 0.9 s" in str(refused)


def test_two_faces_side_by_side_are_refused(drawn: Drawn) -> None:
    both = [np.hstack([picture, picture]) for picture in drawn.pictures[:40]]
    refused = refusal(both)
    assert refused.code == "several_faces"
    assert "2 faces are seen at 0.0 s" in str(refused)


def test_a_face_in_the_background_for_a_moment_is_no_matter(drawn: Drawn) -> None:
    wide = [np.hstack([picture, picture * 0]) for picture in drawn.pictures[:40]]
    for picture in wide[11:14]:
        picture[40:168, 300:428] = scaled(drawn.pictures[12], 128)
    shown = (SteadyPicture(n, picture, True, 0.0) for n, picture in enumerate(wide))
    assert sum(frame.points is not None for frame in track_face(shown)) > 35


def test_no_face_for_longer_than_a_moment_is_refused(drawn: Drawn) -> None:
    black = [picture * np.uint8(0) + np.uint8(90) for picture in drawn.pictures[:30]]
    faded = [
        (picture * (1 - share) + 90 * share).astype(np.uint8)
        for picture, share in zip(drawn.pictures[10:30], np.linspace(0, 1, 20), strict=True)
    ]
    refused = refusal([*drawn.pictures[:10], *faded, *black])
    assert refused.code == "no_face"
    assert "at 1." in str(refused) or "at 0.9 s" in str(refused)


def test_nobody_in_it(tmp_path: Path) -> None:
    assert refusal(blank(20)).code == "no_face"
    assert refusal(blank(60)).code == "no_face"


def test_a_face_that_is_too_small(drawn: Drawn) -> None:
    small = [scaled(picture, 120) for picture in drawn.pictures[:40]]
    refused = refusal(small)
    assert refused.code == "face_too_small"
    assert "64 pixels" in str(refused)


def test_a_study_can_be_cancelled(drawn: Drawn, tmp_path: Path) -> None:
    told: list[float] = []

    class Impatient(QuietProgress):
        def __call__(self, share: float, stage: str) -> None:
            told.append(share)
            if share > 0.3:
                raise EnrolmentCancelled

    clip = write_clip(tmp_path / "clip.mp4", drawn.pictures)
    with pytest.raises(EnrolmentCancelled):
        study(clip, Impatient(tmp_path))
    assert told == sorted(told)
    assert len(told) < 30
