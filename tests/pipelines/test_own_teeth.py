"""Teeth that a photo shows are the avatar's, and parted lips close over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("mediapipe")

from pipelines.photo.decode import Image8
from pipelines.photo.detect import find_face
from pipelines.photo.geometry import BROW, SIDES, Array, Face, Rim, measure, single
from pipelines.portrait.enrol import describe
from pipelines.portrait.erase_mouth_and_eyes import (
    corners_shut,
    lips_only,
    without_mouth_and_eyes,
)
from pipelines.portrait.lip_line import corners, opening
from pipelines.portrait.mouth_space import mouth_space
from pipelines.portrait.neutral import KEPT, corner_lift, neutral, stretched
from pipelines.portrait.own_teeth import own_teeth
from pipelines.portrait.rest_closure import seam
from pipelines.portrait.teeth import mm_grid
from tests.support.parted_lips import TOOTH, part_lips
from training.faces.anatomy import measure as anatomy
from training.faces.cast import CAST
from training.faces.portrait import paint_portrait

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

SIZE = 512
SCALE = 3.0  # pixels per mm


@pytest.fixture(scope="module")
def drawn() -> Image8:
    pixels = paint_portrait(CAST["lucia"], SIZE).rgb
    return np.asarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


def _shown(photo: Image8) -> tuple[Face, torch.Tensor]:
    identity = describe(photo, find_face(photo), "of a test")
    face = measure(*(identity.arrays[n] for n in ("landmarks", "eye_rims", "lip_line")))
    return face, torch.from_numpy(identity.arrays["canvas"].copy()).permute(2, 0, 1) / 255


def _parted(drawn: Image8, behind: str) -> tuple[Face, torch.Tensor]:
    line = (anatomy(CAST["lucia"]).mouth.line * SIZE).astype(np.float32)
    return _shown(part_lips(drawn, line, 16.0, behind)[0])


@pytest.fixture(scope="module")
def smiling(drawn: Image8) -> tuple[Face, torch.Tensor]:
    return _parted(drawn, "teeth")


@pytest.mark.parametrize("grey", [False, True])
def test_teeth_keep_the_colour_they_have_in_the_photo(
    smiling: tuple[Face, torch.Tensor], grey: bool
) -> None:
    face, picture = smiling
    tooth = torch.tensor(TOOTH) / 255
    if grey:
        picture, tooth = picture.mean(0, True).expand(3, -1, -1), tooth.mean().expand(3)
    found = own_teeth(face, picture, SCALE)
    assert found is not None
    x, y = mm_grid(SCALE)
    front = (np.abs(x) < 6) & (y > -4.5) & (y < -1.0)  # of the incisors, off edge and gum
    front &= found.upper[3].numpy() > 0.9
    colour = found.upper[:3][:, front] / found.upper[3:][:, front]
    seen = colour.quantile(0.75, dim=1)
    assert (seen > 0.9 * tooth).all()  # the aim: 0.85 of the photo's in every later frame
    assert (seen < 1.08 * tooth).all()
    if grey:
        assert np.ptp(seen.numpy()) < 0.12  # what is painted is made grey where it is used


def test_the_row_is_whole(smiling: tuple[Face, torch.Tensor]) -> None:
    found = own_teeth(*smiling, SCALE)
    assert found is not None
    x, y = mm_grid(SCALE)
    row = found.upper[3].numpy()
    assert row[(np.abs(x) < 16) & (y < -4) & (y > -15)].min() > 0.99
    assert row[y > 3].max() == 0.0


def test_no_teeth_are_found_where_none_show(drawn: Image8) -> None:
    assert own_teeth(*_parted(drawn, "dark"), SCALE) is None
    assert own_teeth(*_shown(drawn), SCALE) is None


def test_nothing_of_the_teeth_stays_on_the_lips(smiling: tuple[Face, torch.Tensor]) -> None:
    face, picture = smiling
    skin = without_mouth_and_eyes(lips_only(face, 1.0), picture)
    x = np.linspace(-0.8, 0.8, 61) * face.mouth.half_width + face.mouth.middle
    upper, lower = face.mouth.upper_at(x), face.mouth.lower_at(x)
    between = [upper + (lower - upper) * share for share in np.linspace(0, 1, 21)]
    at = face.to_canvas(np.stack([np.stack([x, y], axis=-1) for y in between]).astype(np.float32))

    def whitest(source: torch.Tensor) -> float:
        seen = torch.nn.functional.grid_sample(source[None], torch.from_numpy(at)[None])[0]
        return float(seen[2].max())  # teeth are the only thing there with much blue

    assert whitest(picture) > 0.75
    assert whitest(skin) < 0.55


def test_the_red_of_parted_lips_goes_on_into_their_corners(
    smiling: tuple[Face, torch.Tensor],
) -> None:
    """Where the opening tapers off to nothing, skin does not meet skin."""
    face, picture = smiling
    wide = lips_only(face, 1.0)
    skin = without_mouth_and_eyes(wide, picture)
    left, right = opening(wide)

    def seen(u: Array) -> torch.Tensor:
        x = single((left + right) / 2 + u * (right - left) / 2)
        y = 0.6 * wide.mouth.upper_at(x) + 0.4 * wide.mouth.lower_at(x)
        at = torch.from_numpy(wide.to_canvas(single(np.stack([x, y], axis=-1))))[None, None]
        return torch.nn.functional.grid_sample(skin[None], at, align_corners=False)[0, :, 0]

    red, green, _ = seen(single([-1.15, -0.85, 0.0, 0.85, 1.15]))
    redness = (red - green) / red  # of skin 0.32 and 0.38 here, of the lips 0.51
    beyond, ends, middle = redness[[0, 4]], redness[[1, 3]], redness[2]
    assert ((ends - beyond) > 0.25 * (middle - beyond)).all()  # -0.4 to 0.1 before
    shut = corners_shut(wide).mouth
    gap, before = shut.lower - shut.upper, wide.mouth.lower - wide.mouth.upper
    beside = (shut.x <= left) | (shut.x >= right)
    assert np.abs(gap[beside]).max() < 1e-6
    assert gap[len(gap) // 2] == pytest.approx(before[len(gap) // 2])


def test_parted_lips_come_together_as_wide_as_they_are_in_the_photo(
    smiling: tuple[Face, torch.Tensor],
) -> None:
    """Beyond where they part, too, there is red up to their corners, and a dark line in it."""
    face, picture = smiling
    wide = lips_only(face, 1.0)
    skin = without_mouth_and_eyes(wide, picture)
    ends = zip(opening(wide), corners(wide), (-1.0, 1.0), strict=True)
    for parts, corner, way in ends:
        assert (corner - parts) * way > 0.01  # of the 0.13 of half the mouth
        x = single([parts + 0.4 * (corner - parts), corner + 0.02 * way, 0.0, parts])
        y = 0.6 * wide.mouth.upper_at(x) + 0.4 * wide.mouth.lower_at(x)
        at = torch.from_numpy(wide.to_canvas(single(np.stack([x, y], axis=-1))))[None, None]
        seen = torch.nn.functional.grid_sample(skin[None], at, align_corners=False)[0, :, 0]
        lip, beyond, middle, _ = (seen[0] - seen[1]) / seen[0]
        assert lip - beyond > 0.18 * (middle - beyond)  # 0.08 and 0.17 before, 0.21 and 0.45 now
        line = seam(mouth_space(corners_shut(wide), x, y))
        for layer in (line.upper, line.lower):
            _, beyond_it, deepest, begins = layer[3]
            assert begins < 0.1 * deepest < 0.0  # 0 before
            assert beyond_it == pytest.approx(0.0)


def test_lips_that_a_grin_has_stretched_are_not_painted(
    smiling: tuple[Face, torch.Tensor],
) -> None:
    face, picture = smiling
    rim = face.mouth
    far = single((rim.x - rim.middle) * 0.18 / rim.half_width + rim.middle)
    lips = Rim(single(face.lips.x * 0.2 / face.lips.half_width), face.lips.upper, face.lips.lower)
    mouth = Rim(far, rim.upper - 0.02, rim.lower + 0.02)
    grin = replace(face, mouth=mouth, lips=lips)
    x = np.linspace(-0.3, 0.3, 31) * rim.half_width + rim.middle
    inner, outer = grin.mouth.lower_at(x), face.lips.lower_at(x)
    at = face.to_canvas(single(np.stack([x, 0.3 * inner + 0.7 * outer], axis=-1)))[None, None]

    def red(source: torch.Tensor) -> torch.Tensor:
        seen = torch.nn.functional.grid_sample(source[None], torch.from_numpy(at))
        return seen[0, :, 0].mean(1)

    kept = red(without_mouth_and_eyes(grin, picture)) / red(picture)
    assert stretched(grin) == 1.0
    assert float(kept.min()) > 0.85


@pytest.mark.parametrize("bent", [-0.04, 0.04])  # face units: a smile, a frown
def test_a_smile_or_a_frown_is_kept_in_part(drawn: Image8, bent: float) -> None:
    face, _ = _shown(drawn)
    rim = face.mouth
    u = (rim.x - rim.middle) / rim.half_width
    line = (bent * u**2 + 0.005 * (1 - u**2)).astype(np.float32)
    posed = replace(face, mouth=Rim(rim.x, line, line))
    ends = rim.x[[0, -1]]
    moved = neutral(posed, ends, line[[0, -1]])[1]
    lift = corner_lift(posed)
    ordinary = float(np.clip(lift, -0.004, 0.010))
    left = lift - float(moved.mean()) - ordinary
    assert left / (lift - ordinary) == pytest.approx(KEPT, abs=0.05)


@pytest.mark.parametrize(
    ("raised", "least", "most"),
    [
        ((0.06, 0.06, 0.06, 0.06, 0.06), 0.0, 0.0061),  # high as a whole: so the person is
        ((0.0, 0.0, 0.0, 0.04, 0.08), 0.01, 0.05),  # the inner end alone: worried, and let down
        ((0.0, 0.0, 0.0, -0.04, -0.08), -0.05, -0.01),  # a frown, and raised
    ],
)
def test_a_brow_is_moved_back_from_an_expression_only(
    drawn: Image8, raised: tuple[float, ...], least: float, most: float
) -> None:
    face, _ = _shown(drawn)
    points = face.points.copy()
    for side in SIDES:
        chain = list(BROW[side])
        eye = points[{"Right": 133, "Left": 362}[side], 1]
        level = eye - 0.13  # ordinary, and the middle of the brow above its inner end
        points[chain, 1] = level - np.array([0.0, 0.01, 0.02, 0.01, 0.0]) - np.array(raised)
    inner = points[[BROW[side][-1] for side in SIDES], :2]
    found = neutral(replace(face, points=points), *inner.T.astype(np.float32))[1]
    assert np.all((found >= least) & (found <= most))


def test_a_neutral_face_is_left_alone(drawn: Image8) -> None:
    face, _ = _shown(drawn)
    rim = face.mouth
    flat = np.zeros_like(rim.x)
    calm = replace(face, mouth=Rim(rim.x, flat, flat))
    x, y = np.meshgrid(np.linspace(-0.3, 0.3, 31), np.linspace(-0.1, 0.2, 31))
    moved = neutral(calm, x.ravel().astype(np.float32), y.ravel().astype(np.float32))
    assert np.abs(moved).max() < 0.002
