"""Masks and sunglasses are told of; what only looks a little like them is not."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

pytest.importorskip("mediapipe")

from benchmarks.faces.poses import POSES
from benchmarks.faces.studio import Studio
from pipelines.photo.advice import advise
from pipelines.photo.covered import wears_mask, wears_sunglasses
from pipelines.photo.decode import Image8
from pipelines.photo.detect import FaceMesh, find_face
from pipelines.portrait.enrol import describe
from pipelines.registry import find_system
from tests.support.worn import Colour, with_glasses, with_mask

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))
BLUE, BLACK, WHITE = (170, 200, 220), (30, 30, 32), (235, 235, 235)
SMOKE, BROWN, CLEAR = (20, 20, 22), (45, 30, 20), (205, 210, 215)


@cache
def photo_of(path: Path) -> tuple[Image8, FaceMesh]:
    photo = np.asarray(Image.open(path).convert("RGB"))
    return photo, find_face(photo)


def told_of(photo: Image8, face: FaceMesh | None = None) -> set[str]:
    """Of what hides a face, as `face` or the mesh of `photo` itself shows it."""
    advice = advise(photo, find_face(photo) if face is None else face)
    return {code for code, _ in advice} & {"mask", "sunglasses"}


def grey(photo: Image8) -> Image8:
    return np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))


@pytest.mark.parametrize("path", CAST, ids=lambda path: path.stem)
def test_faces_are_bare(path: Path) -> None:
    """Beards, headscarves, dark skin and spectacles among them; in colour, grey and dark."""
    photo, face = photo_of(path)
    blurred = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(7)))
    for seen in (photo, grey(photo), (photo * 0.35).astype(np.uint8), blurred):
        assert told_of(seen, face) == set()
    assert told_of(with_glasses(photo, face, CLEAR, 0.08)) == set()


@pytest.mark.parametrize("colour", [BLUE, BLACK, WHITE], ids=["blue", "black", "white"])
@pytest.mark.parametrize("name", ["amara", "freya", "omar", "walter"])
def test_a_mask_is_told_of(name: str, colour: Colour) -> None:
    photo, face = photo_of(CAST[0].with_stem(name))
    assert told_of(with_mask(photo, face, colour)) == {"mask"}


@pytest.mark.parametrize(("lens", "dense"), [(SMOKE, 0.95), (BROWN, 0.9)], ids=["black", "brown"])
@pytest.mark.parametrize("name", ["amara", "freya", "omar", "walter"])
def test_sunglasses_are_told_of(name: str, lens: Colour, dense: float) -> None:
    photo, face = photo_of(CAST[0].with_stem(name))
    assert told_of(with_glasses(photo, face, lens, dense)) == {"sunglasses"}


def test_what_hides_a_face_comes_with_its_features() -> None:
    photo, face = photo_of(CAST[0])
    masked = with_mask(photo, face, BLUE)
    said = json.loads(describe(masked, find_face(masked), "of a test").meta["advice"])
    assert said[0][0] == "mask"


@pytest.mark.parametrize("name", ["freya", "kenji"])
def test_shut_eyes_are_no_sunglasses(name: str) -> None:
    photo, face = photo_of(CAST[0].with_stem(name))
    identity = describe(photo, face, "of a test")
    studio = Studio(find_system("portrait"), (512, 512))
    shut = studio.look(identity, POSES["blink"])
    seen = find_face(shut)
    assert not wears_sunglasses(shut, seen)
    assert not wears_mask(shut, seen)
