"""What the page shows around the face: the frames, and the shape in which they arrive."""

import numpy as np
import pytest
from PIL import Image

from pipelines.photo.framing import FRAMES, WIDE
from tests.support.pages import CAST, MARKS, opened, serving, start, stop, until

pytestmark = MARKS
SHAPE = "(({videoWidth, videoHeight}) => [videoWidth, videoHeight])(%s)"
VIDEO = "document.querySelector('#avatar-video')"
PICTURES = 25


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    looks = {"viewport": {"width": 1280, "height": 800}}
    with (
        serving(folder, settings='size = "720"') as running,
        opened(browser, running, **looks) as page,
    ):
        yield page


def show(page, frame: str) -> tuple[int, int]:
    """Begin a session in a frame, see a second of its pictures, and say how large they are."""
    page.select_option("#frame", frame)
    start(page)
    until(lambda: page.evaluate(f"{VIDEO}.getVideoPlaybackQuality().totalVideoFrames") >= PICTURES)
    return tuple(page.evaluate(SHAPE % VIDEO))


def test_the_choice_lies_beside_the_face_and_is_kept(page):
    label = page.get_by_label("Picture", exact=True)
    label.wait_for()  # visible, once the page knows what the server's pipelines can show
    label.select_option(WIDE)
    page.reload()
    page.wait_for_function("window.vivavoce?.state === 'ready'")
    assert page.get_by_label("Picture", exact=True).input_value() == WIDE


def test_wide_arrives_in_a_size_of_its_own_undistorted(page):
    assert show(page, WIDE) in FRAMES[WIDE].sizes
    box = page.locator("#avatar-video").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(16 / 9, rel=0.01)
    assert page.is_disabled("#frame")
    stop(page)
    assert page.is_enabled("#frame")


def test_a_photo_keeps_its_shape(page, tmp_path):
    face = Image.open(CAST[0]).convert("RGB").resize((360, 360))
    wide = np.pad(np.asarray(face), ((0, 0), (180, 0), (0, 0)), mode="edge")  # 3:2
    Image.fromarray(wide).save(tmp_path / "holiday.png")
    page.click("#upload-tile")
    page.set_input_files("#upload-file", tmp_path / "holiday.png")
    shown = page.locator("#upload-preview").bounding_box()
    assert shown["width"] / shown["height"] == pytest.approx(1.5, rel=0.02)
    page.click("#upload-submit")
    page.wait_for_selector("#upload-result:not([hidden])")
    page.click("#upload-done")
    width, height = show(page, "photo")
    assert width / height == pytest.approx(1.5, abs=2 / height)
    box = page.locator("#avatar-video").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(1.5, rel=0.01)
    stop(page)
