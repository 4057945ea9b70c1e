"""The drawn portraits: reproducible, valid, and found by the face-mesh detector like a photo."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("skia", reason="skia-python, which draws the cast, is not installed")

from training.faces import CAST, FaceParams, draw_portrait, person_matte, random_params
from training.faces.anatomy import measure

CAST_FOLDER = Path(__file__).parents[2] / "cast"
SMALL = 256  # pixels: enough to see that a drawing is whole


def shipped(name: str) -> NDArray[np.uint8]:
    with Image.open(CAST_FOLDER / f"{name}.png") as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image)


def test_same_params_give_the_same_bytes() -> None:
    params = random_params(4)
    assert random_params(4) == params
    assert draw_portrait(params, SMALL).tobytes() == draw_portrait(params, SMALL).tobytes()


def test_another_seed_gives_another_person() -> None:
    assert random_params(1) != random_params(2)
    a, b = (draw_portrait(random_params(seed), SMALL).astype(int) for seed in (1, 2))
    assert np.abs(a - b).mean() > 5


@pytest.mark.parametrize("seed", range(6))
def test_random_person_is_a_person_before_a_wall(seed: int) -> None:
    params = random_params(seed)
    image, matte = draw_portrait(params, SMALL), person_matte(params, SMALL)
    assert image.shape == (SMALL, SMALL, 3)
    assert image.dtype == np.uint8
    assert matte.shape == (SMALL, SMALL)
    assert matte.min() >= 0.0
    assert matte.max() <= 1.0
    face = slice(int(0.36 * SMALL), int(0.68 * SMALL)), slice(int(0.4 * SMALL), int(0.6 * SMALL))
    assert matte[face].min() > 0.99
    assert matte[: SMALL // 32].max() < 0.01  # the wall above
    assert matte[-1, SMALL // 3 : -SMALL // 3].min() > 0.9  # the chest
    assert image[face].std() > 10  # it has features
    assert np.abs(np.diff(image[: SMALL // 32].astype(int), axis=1)).max() < 4  # a calm wall


def test_changing_one_parameter_changes_only_what_it_names() -> None:
    params = CAST["freya"]
    other = dataclasses.replace(params, eye_colour=(0.2, 0.3, 0.9))
    changed = np.any(draw_portrait(params, SMALL) != draw_portrait(other, SMALL), axis=-1)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 0.40 * SMALL
    assert rows.max() < 0.55 * SMALL
    assert columns.min() > 0.35 * SMALL
    assert columns.max() < 0.65 * SMALL


def test_the_folder_holds_exactly_the_cast() -> None:
    assert {path.stem for path in CAST_FOLDER.glob("*.png")} == set(CAST)
    assert len(CAST) >= 8


@pytest.mark.parametrize(
    "name", [name if name == "mei" else pytest.param(name, marks=pytest.mark.slow) for name in CAST]
)
def test_shipped_picture_is_what_the_code_draws(name: str) -> None:
    image = shipped(name)
    assert image.shape == (768, 768, 3)
    assert (CAST_FOLDER / f"{name}.png").stat().st_size < 700_000
    again = draw_portrait(CAST[name], 768)
    assert np.abs(image.astype(int) - again).mean() < 1.0  # Skia may round otherwise elsewhere


@pytest.fixture(scope="module")
def face_mesh() -> Iterator[Callable[[NDArray[np.uint8]], NDArray[np.float64] | None]]:
    """Finds the 478 landmarks of one face, [478, 2] in [0, 1], or None."""
    mediapipe = pytest.importorskip(
        "mediapipe", reason="mediapipe (extra 'enrol') is not installed"
    )
    with (
        warnings.catch_warnings(),
        mediapipe.solutions.face_mesh.FaceMesh(
            static_image_mode=True, max_num_faces=2, refine_landmarks=True
        ) as detector,
    ):
        warnings.simplefilter("ignore")  # protobuf deprecations inside mediapipe

        def find(image: NDArray[np.uint8]) -> NDArray[np.float64] | None:
            faces = detector.process(image).multi_face_landmarks
            if not faces:
                return None
            assert len(faces) == 1
            return np.asarray([(point.x, point.y) for point in faces[0].landmark])

        yield find


def assert_landmarks_fit(found: NDArray[np.float64], params: FaceParams) -> None:
    """Irises, lip line, mouth corners and chin lie where they were drawn."""
    at = measure(params)
    unit = float(np.hypot(*(found[33] - found[263])))  # outer eye corners
    seam = at.mouth.line[len(at.mouth.line) // 2]
    drawn = {
        468: ((at.eyes[0].x, at.eyes[0].y), 0.04),
        473: ((at.eyes[1].x, at.eyes[1].y), 0.04),
        13: (seam, 0.08),
        14: (seam, 0.08),
        78: (at.mouth.line[0], 0.09),
        308: (at.mouth.line[-1], 0.09),
        152: ((0.5, at.chin_y), 0.08),
    }
    for index, (place, tolerance) in drawn.items():
        error = float(np.hypot(*(found[index] - place))) / unit
        assert error < tolerance, f"landmark {index} is off by {error:.3f} eye distances"


@pytest.mark.parametrize("name", CAST)
def test_face_mesh_finds_the_cast(
    name: str, face_mesh: Callable[[NDArray[np.uint8]], NDArray[np.float64] | None]
) -> None:
    found = face_mesh(shipped(name))
    assert found is not None
    assert_landmarks_fit(found, CAST[name])
    assert abs(found[[33, 263], 1].ptp()) < 0.01  # the head is upright
    assert abs(found[1, 0] - 0.5) < 0.02  # and in the middle
    height = found[152, 1] - found[10, 1]
    assert 0.38 < height < 0.52  # the face fills the picture as enrolment likes it


def test_face_mesh_finds_random_people(
    face_mesh: Callable[[NDArray[np.uint8]], NDArray[np.float64] | None],
) -> None:
    for seed in range(40, 44):
        params = random_params(seed)
        found = face_mesh(draw_portrait(params, 384))
        assert found is not None, f"seed {seed}"
        assert_landmarks_fit(found, params)
