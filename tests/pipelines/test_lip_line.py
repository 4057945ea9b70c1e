"""The lip line in the pixels, on mouths whose line is known: drawn, and opened by the renderer."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

pytest.importorskip("mediapipe")

from pipelines.photo.crop import Crop, choose_crop, to_canvas
from pipelines.photo.decode import Image8
from pipelines.photo.detect import find_face
from pipelines.photo.geometry import Face, Rim, measure
from pipelines.portrait.enrol import describe
from pipelines.portrait.lip_line import APART, find_lip_line, opening
from tests.support.parted_lips import part_lips
from training.faces.anatomy import measure as anatomy
from training.faces.cast import CAST
from training.faces.portrait import paint_portrait

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

SIZE = 512

Spoil = Callable[[Image.Image], Image.Image]


def _jpeg(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


# A blur moves the darkest row toward the upper lip, which is in its own shadow, by 1.1 to 1.6
# pixels; sharp pictures are right to 0.55. A mesh alone is up to 4 pixels off.
SPOILT: dict[str, tuple[Spoil, float]] = {  # and the mean error allowed, pixels of the canvas
    "as drawn": (lambda p: p, 0.8),
    "blurred": (lambda p: p.filter(ImageFilter.GaussianBlur(2.0)), 2.0),
    "grey": (lambda p: p.convert("L").convert("RGB"), 0.8),
    "jpeg": (_jpeg, 0.8),
    "small": (
        lambda p: p.resize((160, 160), Image.Resampling.LANCZOS).resize(
            p.size, Image.Resampling.BICUBIC
        ),
        1.8,
    ),
}


@cache
def _drawn(name: str) -> Image.Image:
    pixels = paint_portrait(CAST[name], SIZE).rgb
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


def _pixels(face: Face) -> float:
    return face.unit * 256


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", ["mei", "walter"])  # lipstick; a beard
def test_the_seam_of_drawn_lips_is_found_to_a_fraction_of_a_pixel(name: str, how: str) -> None:
    spoil, allowed = SPOILT[how]
    photo = np.asarray(spoil(_drawn(name)))
    mesh = find_face(photo)
    crop = choose_crop(mesh, SIZE, SIZE)
    identity = describe(photo, mesh, "of a test")
    face = measure(identity.arrays["landmarks"])
    rim = Rim(*identity.arrays["lip_line"])
    line = anatomy(CAST[name]).mouth.line * SIZE
    canvas = (line - np.array([crop.left, crop.top])) / crop.side * 2 - 1
    true = face.to_face(canvas.astype(np.float32))
    x = np.linspace(-0.8, 0.8, 41) * rim.half_width + rim.middle
    error = np.abs(np.interp(x, rim.x, rim.upper) - np.interp(x, true[:, 0], true[:, 1]))
    assert rim.gap < 1e-4
    assert error.mean() * _pixels(face) < allowed
    for corner, end in ((rim.left, 0), (rim.right, -1)):
        assert abs(corner - true[end, 0]) * _pixels(face) < 8.0  # the mesh: 12


def _mesh(frame: Image8) -> Face:
    whole = Crop(0.0, 0.0, float(len(frame)))
    return measure(to_canvas(find_face(frame).points, whole))


@pytest.mark.parametrize("how", ["as drawn", "grey", "small"])
@pytest.mark.parametrize(
    ("name", "behind"), [("lucia", "teeth"), ("lucia", "dark"), ("omar", "teeth")]
)
def test_the_edges_of_parted_lips_are_found(name: str, how: str, behind: str) -> None:
    line = (anatomy(CAST[name]).mouth.line * SIZE).astype(np.float32)
    open_, lower = part_lips(np.asarray(_drawn(name)), line, 14.0, behind)
    photo = np.asarray(SPOILT[how][0](Image.fromarray(open_)))
    face = _mesh(photo)
    rim = Rim(*find_lip_line(face, torch.from_numpy(photo.copy()).permute(2, 0, 1) / 255))
    x = np.linspace(-0.8, 0.8, 41) * rim.half_width + rim.middle
    errors = []
    for edge, y in ((rim.upper_at(x), line[:, 1]), (rim.lower_at(x), lower)):
        at = (face.to_canvas(np.stack([x, edge], axis=-1).astype(np.float32)) + 1) * SIZE / 2
        errors.append(at[:, 1] - np.interp(at[:, 0], line[:, 0], y))
    error = np.array(errors)
    assert rim.gap > APART
    allowed = SPOILT[how][1] * (1.7 if name == "omar" else 1.0)  # a black moustache beside dark
    assert np.abs(error).mean() < allowed


def test_shade_between_closed_lips_is_no_opening() -> None:
    line = (anatomy(CAST["lucia"]).mouth.line * SIZE).astype(np.float32)
    drawn = _drawn("lucia").copy()
    ImageDraw.Draw(drawn).line([tuple(at) for at in line.tolist()], fill=(60, 20, 20), width=9)
    photo = np.asarray(drawn.filter(ImageFilter.GaussianBlur(1.0)))
    face = _mesh(np.asarray(_drawn("lucia")))
    half = 0.5 * np.float32(APART / 2) * (np.abs(np.linspace(-1, 1, len(face.mouth.x))) < 0.8)
    seam = (face.mouth.upper + face.mouth.lower) / 2
    apart = replace(face, mouth=Rim(face.mouth.x, seam - half, seam + half))
    rim = Rim(*find_lip_line(apart, torch.from_numpy(photo.copy()).permute(2, 0, 1) / 255))
    assert 0.5 * apart.mouth.gap < rim.gap < APART  # the line is 0.028 thick


def test_a_dark_line_beyond_the_corners_belongs_to_the_mouth_but_does_not_open() -> None:
    line = (anatomy(CAST["lucia"]).mouth.line * SIZE).astype(np.float32)
    photo = part_lips(np.asarray(_drawn("lucia")), line, 14.0, "teeth")[0]
    draw = ImageDraw.Draw(marked := Image.fromarray(photo))
    for end, way in ((line[0], -1), (line[-1], 1)):
        draw.line([*end, end[0] + 20 * way, end[1]], fill=(45, 16, 16), width=4)
    face = _mesh(np.asarray(marked))
    without, found = (
        replace(face, mouth=Rim(*find_lip_line(face, torch.from_numpy(p).permute(2, 0, 1) / 255)))
        for p in (photo, np.asarray(marked).copy())
    )
    beyond = 6.0 / _pixels(face)  # of 20 pixels; the search ends 0.035 beyond the mesh's corners
    assert found.mouth.left < min(without.mouth.left, face.lips.left) - beyond
    assert found.mouth.right > max(without.mouth.right, face.lips.right) + beyond
    assert opening(found)[0] > face.lips.left
    assert opening(found)[1] < face.lips.right
