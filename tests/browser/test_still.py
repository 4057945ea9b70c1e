"""Nothing moves at Start: what the page shows at rest is where the live picture begins."""

import base64
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.pages import MARKS, serving, start, stop
from tests.support.site import ELEMENT, embedded, served

pytestmark = MARKS

VIDEO, POSTER = "document.querySelector('#avatar-video')", "document.querySelector('#poster')"
SHIFT = 0.01
"""Of the picture's size. The whole photo in its place is off by 0.04 and more."""
CLOSE = 8.0
"""Mean difference in grey levels: of encoding and of a breath 3, of the whole photo 18."""
FIRST = 4
"""Pictures after which the encoder has caught up with the first one."""
LOOK = """(element) => {
  const canvas = document.createElement("canvas");
  canvas.width = element.videoWidth || element.naturalWidth;
  canvas.height = element.videoHeight || element.naturalHeight;
  canvas.getContext("2d").drawImage(element, 0, 0);
  return canvas.toDataURL();
}"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as process:
        yield process


def look(page, element: str) -> np.ndarray:
    """What an image or a video shows now, in grey levels."""
    url = page.evaluate(f"({LOOK})({element})")
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    return np.asarray(picture.convert("L"), np.float32)


def agree(still: np.ndarray, live: np.ndarray) -> None:
    """Whether two pictures show the same at the same place."""
    height, width = live.shape
    assert still.shape[1] / still.shape[0] == pytest.approx(width / height, rel=0.01)
    still = cv2.resize(still, (width, height), interpolation=cv2.INTER_AREA)
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (across, down), _ = cv2.phaseCorrelate(still, live, window)
    assert max(abs(across) / width, abs(down) / height) < SHIFT
    assert np.abs(still - live).mean() < CLOSE


def wait_for_still(page, image: str, frame: str = "") -> None:
    page.wait_for_function(
        f"{image}.src.includes('/still') && {image}.src.endsWith('{frame}')"
        f" && {image}.naturalWidth > 0"
    )


def wait_for_pictures(page, video: str) -> None:
    page.wait_for_function(f"{video}.getVideoPlaybackQuality().totalVideoFrames >= {FIRST}")


@pytest.mark.parametrize("frame", ["square", "16:9"])
def test_the_live_picture_begins_where_the_still_was(page, frame):
    page.select_option("#frame", frame)
    wait_for_still(page, POSTER, frame.replace(":", "%3A"))
    page.click("#mute")  # nothing is said, so that nothing but a breath moves
    still, there = look(page, POSTER), page.locator("#poster").bounding_box()
    start(page)
    wait_for_pictures(page, VIDEO)
    agree(still, look(page, VIDEO))
    assert page.locator("#avatar-video").bounding_box() == pytest.approx(there, abs=1.0)
    stop(page)
    page.click("#mute")


def test_so_does_that_of_the_element(browser, running):
    image = f"{ELEMENT}.shadowRoot.querySelector('img')"
    with served() as site, embedded(browser, site, running, 'audio="push"') as page:
        wait_for_still(page, image)
        still = look(page, image)
        page.click("vivavoce-avatar")
        page.wait_for_function(f"{ELEMENT}.state === 'live'")
        wait_for_pictures(page, f"{ELEMENT}.video")
        agree(still, look(page, f"{ELEMENT}.video"))
