"""The drawn portraits: reproducible, valid, and found by the face-mesh detector like a photo."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("skia", reason="skia-python, which draws the cast, is not installed")

from pipelines.training.faces import (
    CAST,
    draw_portrait,
    person_matte,
    random_params,
)

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
    assert 0.0 <= matte.min()
    assert matte.max() <= 1.0
    middle = slice(int(0.4 * SMALL), int(0.7 * SMALL))
    assert matte[middle, middle].min() > 0.99  # the face
    assert matte[: SMALL // 32].max() < 0.01  # the wall above
    assert matte[-1, SMALL // 3 : -SMALL // 3].min() > 0.9  # the chest
    assert image[middle, middle].std() > 10  # it has features
    assert image[: SMALL // 32].std() < 25  # the wall is calm


def test_changing_one_parameter_changes_only_what_it_names() -> None:
    params = CAST["freya"]
    other = dataclasses.replace(params, eye_colour=(0.2, 0.3, 0.9))
    changed = np.any(draw_portrait(params, SMALL) != draw_portrait(other, SMALL), axis=-1)
    rows, columns = np.nonzero(changed)
    assert 0.40 * SMALL < rows.min()
    assert rows.max() < 0.55 * SMALL
    assert 0.35 * SMALL < columns.min()
    assert columns.max() < 0.65 * SMALL


def test_the_folder_holds_exactly_the_cast() -> None:
    assert {path.stem for path in CAST_FOLDER.glob("*.png")} == set(CAST)
    assert len(CAST) >= 8


@pytest.mark.parametrize("name", CAST)
def test_shipped_picture_is_what_the_code_draws(name: str) -> None:
    image = shipped(name)
    assert image.shape == (768, 768, 3)
    assert (CAST_FOLDER / f"{name}.png").stat().st_size < 700_000
    again = draw_portrait(CAST[name], 768)
    assert np.abs(image.astype(int) - again).mean() < 1.0  # Skia may round otherwise elsewhere
