"""The product page: faces, sessions, what is said when the server is full, and how it fits."""

import urllib.error
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image

from tests.support.pages import (
    CAST,
    MARKS,
    change_face,
    get,
    opened,
    serving,
    start,
    stop,
    wait_until_empty,
    watch_lips,
)

pytestmark = MARKS


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), settings="max_sessions = 2") as process:
        yield process


def test_shows_the_cast(page):
    page.wait_for_selector("#gallery [role=option]")
    assert len(page.query_selector_all("#gallery [role=option]")) == len(CAST)


def test_the_face_talks_with_the_voice(page, running):
    session = start(page)
    watch_lips(page)
    assert get(f"{running.url}/v1/sessions/{session}")["connected"]
    stop(page)
    wait_until_empty(running)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{running.url}/v1/sessions/{session}")


def test_the_face_can_be_changed_while_it_talks(page, running):
    change_face(page, running, start(page))
    stop(page)


UNPLUG = """() => {
  const { track } = window.vivavoce.pc.getSenders().find((s) => s.track?.kind === "audio");
  window.__lost = track;
  track.stop();
  track.dispatchEvent(new Event("ended"));
}"""
HEARD_AGAIN = """() => window.vivavoce.pc.getSenders().some(
  ({ track }) => track?.kind === "audio" && track !== window.__lost && track.readyState === "live"
)"""


def test_a_microphone_that_goes_away_is_replaced_as_soon_as_there_is_one(page):
    session = start(page)
    page.evaluate(UNPLUG)
    page.wait_for_function(HEARD_AGAIN)
    page.evaluate(
        """() => {
          const { mediaDevices } = navigator;
          window.__ask = mediaDevices.getUserMedia;
          mediaDevices.getUserMedia = async () => {
            throw new DOMException("none", "NotFoundError");
          };
        }"""
    )
    page.evaluate(UNPLUG)
    page.wait_for_function(
        "document.querySelector('#microphone-hint').textContent.includes('went away')"
    )
    assert page.evaluate("window.vivavoce.state") == "live"
    page.evaluate(
        """() => {
          navigator.mediaDevices.getUserMedia = window.__ask;
          navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
        }"""
    )
    page.wait_for_function(HEARD_AGAIN)
    assert page.evaluate("window.vivavoce.sessionId") == session
    watch_lips(page)  # it is heard
    stop(page)


def test_a_full_server_is_explained(page, browser, running):
    with ExitStack() as stack:
        others = [stack.enter_context(opened(browser, running)) for _ in range(2)]
        for other in others:
            start(other)
        page.click("#start")
        page.wait_for_selector("#error:not([hidden])")
        said = page.inner_text("#error").lower()
        assert "full" in said or "busy" in said
        for other in others:
            assert other.evaluate("window.vivavoce.state") == "live"


def test_a_tab_that_vanishes_frees_its_place(page, browser, running):
    with opened(browser, running) as other:
        start(other)
    wait_until_empty(running)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_fits_the_window(browser, running, dark, width):
    looks = {
        "viewport": {"width": width, "height": 844},
        "color_scheme": "dark" if dark else "light",
    }
    with opened(browser, running, **looks) as page:
        wide = "document.documentElement.scrollWidth"
        assert page.evaluate(wide) <= width
        text = "document.querySelector('#connection-text').textContent = 'Looking for the server'"
        page.evaluate(text)  # the longest, which is there before the server answers
        assert page.evaluate(wide) <= width


def test_a_video_is_offered_beside_a_photo_or_in_its_place(page, tmp_path):
    page.click("#upload-tile")
    page.wait_for_selector("#upload-talk-file")
    hint = page.inner_text("#upload-talk-hint")
    assert "learn how they move their lips" in hint
    assert "are deleted right after" in hint
    page.set_input_files("#upload-file", CAST[0])
    page.wait_for_selector("#upload-preview")
    assert page.is_visible("#upload-talk")
    video = tmp_path / "me.mp4"
    video.write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(64))
    page.set_input_files("#upload-file", video)
    page.wait_for_selector("#upload-video", state="attached")
    assert not page.is_visible("#upload-talk")
    assert "Its best picture becomes the photo" in page.inner_text("#upload-talk-hint")
    page.click("#upload-cancel")


def test_an_upload_is_shown_as_it_will_be_drawn_with_advice(page, tmp_path):
    small = Image.open(CAST[1]).convert("RGB").resize((200, 200))
    dark = np.asarray(small).astype(float) * 0.3
    photo = tmp_path / "someone.png"
    Image.fromarray(np.rot90(dark.astype(np.uint8))).save(photo)
    page.click("#upload-tile")
    page.set_input_files("#upload-file", photo)
    page.click("#upload-submit")
    page.wait_for_selector("#upload-result:not([aria-busy])")
    assert page.evaluate("document.querySelector('#upload-clip').naturalWidth") == 256
    said = page.inner_text("#upload-advice")
    assert "dark" in said
    assert "pixels high" in said
    page.click("#upload-done")
    page.wait_for_selector("#upload-dialog", state="hidden")
    assert page.inner_text("#avatar-name") == "Someone"
