"""What pictures show around the face: sizes, places, and that only the canvas moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")
data = pytest.importorskip("skimage.data", reason="the photo comes with scikit-image")

from pipelines.identity import IdentityFeatures, IdentityStore  # noqa: E402
from pipelines.motion.space import MOTION_DIM, MOTION_INDEX  # noqa: E402
from pipelines.photo.crop import Crop, canvas_side  # noqa: E402
from pipelines.photo.detect import find_face  # noqa: E402
from pipelines.photo.framing import (  # noqa: E402
    FRAMES,
    PHOTO,
    SQUARE,
    WIDE,
    choose_size,
    framed,
    frames_of,
    largest_sizes,
    place,
    rungs,
    sizes_below,
    sizes_for,
    window,
)
from pipelines.photo.placement import filling  # noqa: E402
from pipelines.photo.surroundings import around  # noqa: E402
from pipelines.pipeline import Size  # noqa: E402
from pipelines.portrait.bake import CACHE, bake  # noqa: E402
from pipelines.portrait.enrol import describe  # noqa: E402
from pipelines.portrait.render import draw_rgb  # noqa: E402
from pipelines.portrait.system import SYSTEM  # noqa: E402
from pipelines.registry import find_system  # noqa: E402
from tests.support.plugins import installed  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

CPU = torch.device("cpu")
Picture = NDArray[np.uint8]


def identity_of(photo: Picture, key: str) -> IdentityFeatures:
    return describe(photo, find_face(photo), key * 64)


@pytest.fixture(scope="module")
def photo() -> Picture:
    return np.asarray(data.astronaut())[:, :480].copy()


@pytest.fixture(scope="module")
def identity(photo: Picture) -> IdentityFeatures:
    """Whose photo is wide enough for 16:9."""
    return identity_of(photo, "a")


@pytest.fixture(scope="module")
def narrow(photo: Picture) -> IdentityFeatures:
    """Whose photo is not."""
    return identity_of(np.ascontiguousarray(photo[:, 90:370]), "b")


def motion(**values: float) -> torch.Tensor:
    row = torch.zeros(MOTION_DIM)
    for name, value in values.items():
        row[MOTION_INDEX[name]] = value
    return row


MOVED = {"jawOpen": 0.6, "headYaw": 9.0, "headRoll": 6.0, "headY": 0.05, "eyeBlinkLeft": 0.8}


def drawn(identity: IdentityFeatures, size: Size, **values: float) -> Picture:
    return draw_rgb(CACHE.get(identity, size, CPU), motion(**values)).numpy()


def coarse(picture: Picture) -> NDArray[np.float64]:
    """Means over squares of 8 pixels."""
    height, width = (length // 8 for length in picture.shape[:2])
    return np.asarray(picture.reshape(height, 8, width, 8, 3).mean((1, 3)))


def test_every_frame_has_its_sizes(identity: IdentityFeatures, narrow: IdentityFeatures) -> None:
    assert sizes_for(SYSTEM, identity) == SYSTEM.sizes
    assert sizes_for(SYSTEM, framed(identity, WIDE)) == FRAMES[WIDE].sizes
    assert sizes_for(SYSTEM, framed(identity, PHOTO)) == ((240, 256), (480, 512), (676, 720))
    assert sizes_for(SYSTEM, framed(narrow, PHOTO)) == ((140, 256), (280, 512), (394, 720))
    for frame in FRAMES:
        for width, height in sizes_for(SYSTEM, framed(narrow, frame)):
            assert width % 2 == height % 2 == 0
            assert any(width <= w and height <= h for w, h in largest_sizes(SYSTEM))


def test_a_size_is_chosen_by_its_lines_in_every_frame() -> None:
    assert choose_size(SYSTEM, None) == (512, 512)
    assert choose_size(SYSTEM, 720) == choose_size(SYSTEM, "720x720") == (720, 720)
    assert choose_size(SYSTEM, None, WIDE) == choose_size(SYSTEM, 720, WIDE) == (1280, 720)
    assert choose_size(SYSTEM, 256, WIDE) == choose_size(SYSTEM, "640X360", WIDE) == (640, 360)
    assert choose_size(SYSTEM, 512, PHOTO) == (910, 512)
    with pytest.raises(ValueError, match="draws 640x360, 848x480, 1280x720"):
        choose_size(SYSTEM, 300, WIDE)
    with pytest.raises(ValueError, match="'portrait' draws square, photo, 16:9"):
        choose_size(SYSTEM, None, "round")


def test_smaller_sizes_have_the_same_shape() -> None:
    sizes = ((256, 256), (320, 180), (512, 512), (640, 360), (1280, 720))
    assert sizes_below((1280, 720), sizes) == ((1280, 720), (640, 360), (320, 180))
    assert sizes_below((512, 512), sizes) == ((512, 512), (256, 256))
    assert sizes_below((320, 180), sizes) == ((320, 180),)


def test_a_busy_machine_stays_in_the_frame(identity: IdentityFeatures) -> None:
    assert rungs(SYSTEM, identity, (512, 512)) == ((512, 512), (256, 256))
    wide = framed(identity, WIDE)
    assert rungs(SYSTEM, wide, (1280, 720)) == ((1280, 720), (848, 480), (640, 360))
    assert rungs(SYSTEM, framed(identity, PHOTO), (910, 512)) == ((480, 512), (240, 256))
    with pytest.raises(ValueError, match="size must be one of"):
        rungs(SYSTEM, wide, (512, 512))


def test_a_system_without_frames_draws_its_own() -> None:
    with installed("toy_pipeline"):
        toy = find_system("toy")
        assert frames_of(toy)[SQUARE].sizes == tuple(toy.sizes)
        assert choose_size(toy, None) == toy.sizes[-1]
        with pytest.raises(ValueError, match="'toy' draws square"):
            choose_size(toy, None, WIDE)


@pytest.mark.parametrize("frame", [PHOTO, WIDE])
def test_the_canvas_lies_where_the_surroundings_have_it(
    identity: IdentityFeatures, narrow: IdentityFeatures, frame: str
) -> None:
    for each in (framed(identity, frame), framed(narrow, frame)):
        for size in sizes_for(SYSTEM, each):
            placed = place(each, size)
            left, top, right, bottom = window(each, size)
            _, _, *canvas = each.arrays["surroundings"][(PHOTO, WIDE).index(frame)]
            step = canvas[2] / placed.side
            assert (right - left, bottom - top) == pytest.approx((size[0] * step, size[1] * step))
            assert left + placed.left * step == pytest.approx(canvas[0])
            assert top + placed.top * step == pytest.approx(canvas[1])


@pytest.mark.parametrize("frame", [PHOTO, WIDE])
@pytest.mark.parametrize("whose", ["identity", "narrow"])
def test_outside_of_the_canvas_nothing_changes_and_inside_it_is_the_square(
    request: pytest.FixtureRequest, whose: str, frame: str
) -> None:
    each = framed(request.getfixturevalue(whose), frame)
    size = sizes_for(SYSTEM, each)[1]
    placed = place(each, size)
    rest, moved = (drawn(each, size, **row).astype(int) for row in ({}, MOVED))
    assert rest.shape == (size[1], size[0], 3)
    box = placed.visible(size)
    outside = np.ones(rest.shape[:2], bool)
    outside[box] = False
    assert np.array_equal(rest[outside], around(each, size)[outside])
    assert np.array_equal(rest[outside], moved[outside])
    alone = bake(framed(each, SQUARE), (placed.side,) * 2, filling((placed.side,) * 2))
    square = draw_rgb(alone, motion(**MOVED)).numpy().astype(int)
    middle = slice(placed.side // 4, placed.side * 3 // 4)
    shown = moved[placed.top + middle.start :, placed.left + middle.start :]
    length = middle.stop - middle.start
    differences = np.abs(shown[:length, :length] - square[middle, middle])
    assert differences.mean() < 0.5
    assert np.abs(square - draw_rgb(alone, motion()).numpy()).mean() > 5.0  # it did move


@pytest.mark.parametrize("frame", [PHOTO, WIDE])
def test_no_seam_is_to_be_seen(identity: IdentityFeatures, frame: str) -> None:
    """Steps across the canvas's edges are as those of the photo itself, in whatever pose."""
    each = framed(identity, frame)
    size = sizes_for(SYSTEM, each)[-1]
    placed, still = place(each, size), around(each, size).astype(int)
    moved = drawn(each, size, **MOVED).astype(int)
    for axis, start, length in ((1, placed.left, size[0]), (0, placed.top, size[1])):
        for edge in (start, start + placed.side):
            if not 0 < edge < length:
                continue
            steps = [
                np.abs(np.take(x, edge, axis) - np.take(x, edge - 1, axis)).mean()
                for x in (moved, still)
            ]
            assert steps[0] < steps[1] + 1.5


def test_a_photo_is_shown_as_it_was_taken(photo: Picture, identity: IdentityFeatures) -> None:
    each = framed(identity, PHOTO)
    shown = around(each, (480, 512))
    off = coarse(shown) - coarse(photo)
    assert np.abs(off).mean() < 4.0  # moved by a pixel, so that the canvas lies on even ones


def test_16_9_holds_the_photo_and_goes_on_where_it_ends(
    photo: Picture, narrow: IdentityFeatures
) -> None:
    each = framed(narrow, WIDE)
    size = FRAMES[WIDE].sizes[-1]
    placed, shown = place(each, size), around(each, size).astype(int)
    assert placed.side == size[1]
    middle = narrow.arrays["landmarks"][[10, 152], 0].mean()  # canvas coordinates
    assert placed.left + (middle + 1) / 2 * placed.side == pytest.approx(size[0] / 2, abs=8)
    columns = np.abs(np.diff(shown, axis=1)).mean((0, 2))
    assert columns.max() < 40  # no hard edge where the photo ends,
    ends = shown[:, [*range(60), *range(size[0] - 60, size[0])]]
    assert ends.std(axis=0).mean() > 2.0  # and no bare surface


def test_the_canvas_has_the_pixels_that_the_photo_has() -> None:
    assert [canvas_side(Crop(0, 0, side)) for side in (100, 520, 650, 4000)] == [512, 512, 640, 768]


def test_stored_surroundings_are_the_same(identity: IdentityFeatures, tmp_path: object) -> None:
    store = IdentityStore(tmp_path)  # type: ignore[arg-type]
    store.save(identity)
    loaded = framed(store.load(identity.key), WIDE)
    assert np.array_equal(around(loaded, (640, 360)), around(framed(identity, WIDE), (640, 360)))


def test_a_face_without_surroundings_is_refused(identity: IdentityFeatures) -> None:
    arrays = {k: v for k, v in identity.arrays.items() if k != "surroundings"}
    old = framed(IdentityFeatures("c" * 64, arrays, identity.meta), WIDE)
    with pytest.raises(ValueError, match="no surroundings for the frame '16:9'"):
        place(old, (1280, 720))
