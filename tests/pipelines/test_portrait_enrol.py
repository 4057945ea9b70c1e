"""Enrolling photos, with the face mesh present."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter

pytest.importorskip("mediapipe")
data = pytest.importorskip("skimage.data")

from pipelines.photo.detect import FaceMesh, find_meshes, on_the_face  # noqa: E402
from pipelines.photo.errors import EnrolmentError  # noqa: E402
from pipelines.portrait.enrol import enrol  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


KEY = "0" * 64


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return np.asarray(data.astronaut())


def code_of(photo: bytes) -> str:
    with pytest.raises(EnrolmentError) as caught:
        enrol(photo, KEY)
    return caught.value.code


def test_a_photo_becomes_identity_features(astronaut: np.ndarray) -> None:
    photo = png(astronaut)
    identity = enrol(photo, KEY)
    assert identity.key == KEY
    size = identity.arrays["canvas"].shape[0]
    assert size >= 512
    assert identity.preview.shape == (size, size, 3)
    assert identity.arrays["matte"].shape == (size, size)
    assert identity.arrays["background"].shape == (size, size, 3)
    assert identity.arrays["landmarks"].shape == (478, 3)
    assert identity.nbytes < 4_000_000
    # forehead to chin takes the share of the canvas that the framing promises
    points = identity.arrays["landmarks"]
    assert 0.42 < np.linalg.norm(points[10, :2] - points[152, :2]) / 2 < 0.50


def test_the_background_holds_nothing_of_the_person(astronaut: np.ndarray) -> None:
    identity = enrol(png(astronaut), KEY)
    matte = identity.arrays["matte"] > 250
    canvas = identity.arrays["canvas"].astype(float)
    behind = identity.arrays["background"].astype(float)
    upper = np.zeros_like(matte)
    upper[: len(matte) // 2] = True  # hair and face; the suit below fills the picture's width
    person, backdrop = matte & upper, ~matte & upper
    wall = np.median(canvas[backdrop], axis=0)
    assert np.abs(behind[person] - wall).mean() < 25
    assert np.abs(canvas[person] - wall).mean() > 60


def test_the_same_photo_gives_the_same_features(astronaut: np.ndarray) -> None:
    one, two = enrol(png(astronaut), KEY), enrol(png(astronaut), KEY)
    assert np.allclose(one.tensors["landmarks"], two.tensors["landmarks"], atol=2e-3)


def test_no_face() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    assert code_of(png(noise)) == "no_face"


def test_several_faces(astronaut: np.ndarray) -> None:
    face = astronaut[0:220, 120:340]
    assert code_of(png(np.hstack([face, face]))) == "several_faces"


def test_a_small_face_in_the_background_is_ignored(astronaut: np.ndarray) -> None:
    face = Image.fromarray(astronaut[0:220, 120:340])
    scene = np.full((700, 1000, 3), 180, dtype=np.uint8)
    scene[40:700, 20:680] = np.asarray(face.resize((660, 660)))
    scene[20:160, 840:980] = np.asarray(face.resize((140, 140)))
    assert enrol(png(scene), KEY).preview.shape == (704, 704, 3)  # of the large face


def test_a_face_that_is_small_in_a_large_photo_is_found(astronaut: np.ndarray) -> None:
    scene = np.full((1500, 2000, 3), 120, dtype=np.uint8)
    face = Image.fromarray(astronaut[0:220, 120:340])
    scene[300:520, 1300:1520] = np.asarray(face)
    points = enrol(png(scene), KEY).arrays["landmarks"]
    assert np.abs(points[:468, :2]).max() < 1.0  # all of the face is on the canvas


def test_face_too_small(astronaut: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(astronaut).resize((200, 200)))
    assert code_of(png(small)) == "face_too_small"


def test_a_turned_face_is_refused(astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.photo.detect.MAX_YAW_DEG", -1.0)
    assert code_of(png(astronaut)) == "face_turned"


def test_a_sideways_photo_is_turned_upright(astronaut: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    buffer = io.BytesIO()
    Image.fromarray(np.rot90(astronaut).copy()).save(buffer, "JPEG", quality=92, exif=exif)
    points = enrol(buffer.getvalue(), KEY).arrays["landmarks"]
    assert points[152, 1] > points[10, 1] + 0.6  # the chin is below the forehead


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_photos_without_exif_are_turned_upright(astronaut: np.ndarray, quarters: int) -> None:
    upright = enrol(png(astronaut), KEY)
    turned = enrol(png(np.rot90(astronaut, quarters)), KEY)
    assert np.array_equal(upright.preview, turned.preview)


def advice_on(photo: np.ndarray) -> set[str]:
    return {code for code, _ in json.loads(enrol(png(photo), KEY).meta.get("advice", "[]"))}


def blurred(photo: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(sigma)))


def test_advice_says_what_is_wrong_and_only_that(astronaut: np.ndarray) -> None:
    near = np.asarray(Image.fromarray(astronaut).resize((1024, 1024)))  # a face of 212 pixels
    assert not advice_on(near) & {"small", "blurred", "dark", "bright", "turned", "tight"}
    assert "small" in advice_on(astronaut)
    assert "blurred" in advice_on(blurred(near, 5))
    assert "bright" in advice_on((near.astype(np.int16) * 2).clip(0, 255).astype(np.uint8))
    assert "dark" in advice_on((near * 0.25).astype(np.uint8))
    top = int(find_meshes(near, most=1)[0].points[:, 1].min())
    assert "tight" in advice_on(near[top - 8 :])


def test_hopeless_photos_are_refused(astronaut: np.ndarray) -> None:
    near = np.asarray(Image.fromarray(astronaut).resize((1024, 1024)))
    assert code_of(png((near * 0.06).astype(np.uint8))) in ("too_dark", "no_face")
    assert code_of(png(blurred(near, 24))) in ("too_blurred", "no_face")


def test_a_mesh_in_a_pattern_is_no_second_person(
    astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_meshes(astronaut, most=1)
    phantom = FaceMesh(found[0].points * np.float32(0.8) + np.float32([0, 250, 0]))
    monkeypatch.setattr("pipelines.photo.detect.find_meshes", with_first([*found, phantom]))
    assert enrol(png(astronaut), KEY).preview.ndim == 3


def with_first(faces: list[FaceMesh]) -> Callable[..., list[FaceMesh]]:
    """The detector, that gives `faces` the first time."""
    answers = [faces]
    return lambda photo, most: answers.pop() if answers else find_meshes(photo, most)


def test_a_mesh_whose_mouth_lies_in_the_nose_is_put_right(astronaut: np.ndarray) -> None:
    true = find_meshes(astronaut, most=1)[0]
    assert on_the_face(astronaut, true) is true
    points = true.points.copy()
    low = points[:, 1] > points[1, 1]  # all below the tip of the nose, up by an eighth of the face
    points[low, 1] -= 0.125 * true.height
    put_right = on_the_face(astronaut, FaceMesh(points))
    away = np.linalg.norm(put_right.points[:, :2] - true.points[:, :2], axis=1)
    assert away.max() < 0.1 * true.height


def test_a_mesh_where_the_detector_sees_no_face_is_none(astronaut: np.ndarray) -> None:
    true = find_meshes(astronaut, most=1)[0]
    elsewhere = FaceMesh(true.points + np.float32([130, 250, 0]))
    with pytest.raises(EnrolmentError) as caught:
        on_the_face(astronaut, elsewhere)
    assert caught.value.code == "no_face"
