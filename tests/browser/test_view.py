"""The page for OBS: it watches a session of somebody else's, and shows nothing but the face."""

from contextlib import contextmanager

import pytest

from tests.support.pages import MARKS, PATIENCE_S, get, serving, start, stop, until

pytestmark = MARKS
GREEN = [0, 255, 0]
CORNERS = """() => {
  const canvas = document.querySelector("#keyed");
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  const at = (x, y) => [...pen.getImageData(x * width, y * height, 1, 1).data];
  return [at(0.01, 0.01), at(0.99, 0.01), at(0.01, 0.4), at(0.99, 0.4), at(0.5, 0.5)];
}"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as process:
        yield process


@contextmanager
def viewing(browser, running, query):
    """The clean page; nothing in it may fail."""
    page = browser.new_page(bypass_csp=True, viewport={"width": 640, "height": 480})
    page.set_default_timeout(PATIENCE_S * 1000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{running.url}/?{query}")
    yield page
    page.close()
    assert not problems


def copied_link(page):
    """What the button puts on the clipboard, which a browser without a window keeps closed."""
    page.evaluate("navigator.clipboard.writeText = async (text) => void (window.copied = text)")
    page.click("#view-link")
    page.wait_for_selector(".toast")
    return page.evaluate("window.copied")


def parties(running, session):
    return get(f"{running.url}/v1/sessions/{session}")["parties"]


def test_a_copied_link_shows_the_session_and_nothing_else(page, browser, running):
    session = start(page)
    link = copied_link(page)
    assert link == f"{running.url}/?view={session}"
    with viewing(browser, running, link.partition("?")[2]) as view:
        view.wait_for_function("window.vivavoce.state === 'live'")
        view.wait_for_function("document.querySelector('#avatar-video').currentTime > 1")
        assert view.evaluate("document.querySelector('#avatar-video').videoWidth") == 256
        assert parties(running, session) == 2
        assert get(f"{running.url}/health")["sessions"] == 1
        heard = """async () => {
            const stats = [...(await window.vivavoce.pc.getStats()).values()];
            return stats.some((s) => s.kind === "audio" && s.totalAudioEnergy > 1e-4);
        }"""
        until(lambda: view.evaluate(heard))
        for chrome in (".topbar", ".panel", ".dock", "#state", "#poster", "#badge"):
            assert not view.is_visible(chrome)
    until(lambda: parties(running, session) == 1)  # it told the server that it went
    assert page.evaluate("window.vivavoce.state") == "live"
    stop(page)


def test_the_face_is_put_before_a_colour_or_before_nothing(page, browser, running):
    session = start(page)
    for key, behind in (("00ff00", [*GREEN, 255]), ("transparent", [0, 0, 0, 0])):
        with viewing(browser, running, f"view={session}&key={key}") as view:
            view.wait_for_function("window.vivavoce.state === 'live'")
            until(lambda view=view: view.query_selector("#keyed").get_attribute("width") == "256")
            until(lambda view=view: view.evaluate(CORNERS)[-1][3] == 255)  # empty until it is drawn
            until(lambda view=view, behind=behind: near(view.evaluate(CORNERS)[0], behind))
            *corners, face = view.evaluate(CORNERS)
            assert all(near(corner, behind) for corner in corners)
            assert not near(face, behind)
            assert face[3] == 255
            view.wait_for_function("window.vivavoce.keyed === 'known'")
    stop(page)


def near(colour, wanted):
    """To within what the video's coding does to a plain background."""
    if wanted[3] == 0:
        return colour[3] == 0
    return max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= 24


def test_a_wide_picture_of_any_size_fills_a_wide_window(browser, running):
    # A busy server draws smaller ones for a while; which, is not for a test to say.
    view = browser.new_page(bypass_csp=True, viewport={"width": 1280, "height": 720})
    view.set_default_timeout(PATIENCE_S * 1000)
    view.route("**/whep/*", lambda route: None)  # it is never answered: the page goes on waiting
    view.goto(f"{running.url}/?view=nothing")
    view.wait_for_function("window.vivavoce")
    view.evaluate(
        """() => {
          const canvas = document.createElement("canvas");
          const pen = canvas.getContext("2d");
          window.resize = (width, height) => Object.assign(canvas, { width, height });
          resize(640, 360);
          setInterval(() => pen.fillRect(0, 0, 9, 9), 20);
          const video = document.querySelector("#avatar-video");
          video.srcObject = canvas.captureStream();
          return video.play();
        }"""
    )
    for width, height in ((640, 360), (848, 480), (1280, 720)):
        view.evaluate(f"resize({width}, {height})")
        view.wait_for_function(f"document.querySelector('#avatar-video').videoWidth === {width}")
        box = view.locator("#avatar-video").bounding_box()
        assert box == {"x": 0, "y": 0, "width": 1280, "height": 720}
    view.close()


def test_a_page_that_waits_shows_the_session_once_it_can(page, browser, running):
    with viewing(browser, running, "view=nothing") as view:
        view.wait_for_selector("#clean-message")
        assert "not running" in view.inner_text("#clean-message")
    session = start(page)
    with viewing(browser, running, f"view={session}") as view:
        view.wait_for_function("window.vivavoce.state === 'live'")
        stop(page)
        view.wait_for_function("window.vivavoce.state === 'failed'")
        assert view.query_selector("#clean-message") is None  # it may be on the air
