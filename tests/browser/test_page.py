"""The product page in real Chromium, with a WAV file as microphone, against a real server."""

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright", reason="the browser tests need the dev extra")
pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from benchmarks.bench_latency import PROBE, openness
from benchmarks.browser import CHROMIUM, chromium, hold_head_still, server
from benchmarks.signals import clicks_and_vowels, write_wav

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; install it with: apt-get install chromium"
    ),
]
CAST = sorted((Path(__file__).parent.parent.parent / "cast").glob("*.png"))[:3]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    cast = folder / "cast"
    cast.mkdir()
    for portrait in CAST:
        shutil.copy(portrait, cast)
    settings = folder / "vivavoce.toml"
    settings.write_text(f'cast_dir = "{cast}"\nload_share = 10.0\nmax_sessions = 2\n')
    with server(folder / "data", "--size", "256", "--config", str(settings)) as process:
        yield process


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    wav = write_wav(tmp_path_factory.mktemp("sound") / "mic.wav", clicks_and_vowels(20))
    with chromium(wav) as browser:
        yield browser


@pytest.fixture
def page(browser, running):
    page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script(path=PROBE)
    page.goto(running.url)
    page.wait_for_function("window.vivavoce?.state === 'ready'")
    yield page
    page.close()
    assert not problems


def start(page) -> str:
    page.click("#start")
    page.wait_for_function("window.vivavoce.state === 'live'", timeout=30_000)
    return page.evaluate("window.vivavoce.sessionId")


def get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def wait_until_empty(page, running) -> None:
    for _ in range(80):
        if get(f"{running.url}/health")["sessions"] == 0:
            return
        page.wait_for_timeout(250)
    pytest.fail("a session is still open after 20 s")


def test_shows_the_cast(page):
    page.wait_for_selector("#gallery [role=option]")
    assert len(page.query_selector_all("#gallery [role=option]")) == len(CAST)


def test_the_face_talks_with_the_voice_and_in_time(page, running):
    session = start(page)
    hold_head_still(page)
    page.evaluate("window.__probe.start(document.querySelector('#avatar-video'))")
    page.wait_for_timeout(9_000)
    probe = page.evaluate("(({returned, mouth}) => ({returned, mouth}))(window.__probe)")
    times, opened = openness(probe["mouth"])
    assert len(times) > 100
    assert len(probe["returned"]) >= 3  # the voice came back, vowel by vowel
    speaking, silent = [], []
    for onset in probe["returned"]:
        speaking += opened[(times > onset + 0.05) & (times < onset + 0.40)].tolist()
        silent += opened[(times > onset - 0.45) & (times < onset - 0.20)].tolist()
    assert np.median(speaking) > 1.5 * np.median(silent)
    described = get(f"{running.url}/v1/sessions/{session}")
    assert described["connected"]
    assert described["measurements"]["concealed_ms"] < 2_000
    page.click("#start")
    page.wait_for_function("window.vivavoce.state === 'ready'")
    wait_until_empty(page, running)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{running.url}/v1/sessions/{session}")


def test_the_face_can_be_changed_while_it_talks(page, running):
    session = start(page)
    before = get(f"{running.url}/v1/sessions/{session}")["avatar"]
    other = next(a["id"] for a in get(f"{running.url}/v1/avatars")["avatars"] if a["id"] != before)
    page.click(f'#gallery [data-id="{other}"]')
    page.wait_for_function(
        "window.vivavoce.events.some((event) => event.type === 'session.updated')"
    )
    assert get(f"{running.url}/v1/sessions/{session}")["avatar"] == other
    page.click("#start")


def test_a_full_server_is_explained(page, browser, running):
    others = []
    for _ in range(2):
        other = browser.new_page(bypass_csp=True)
        other.goto(running.url)
        other.wait_for_function("window.vivavoce?.state === 'ready'")
        start(other)
        others.append(other)
    page.click("#start")
    page.wait_for_selector("#error:not([hidden])")
    assert (
        "full" in page.inner_text("#error").lower() or "busy" in page.inner_text("#error").lower()
    )
    for other in others:
        assert other.evaluate("window.vivavoce.state") == "live"
        other.close()


def test_a_tab_that_vanishes_frees_its_place(page, browser, running):
    other = browser.new_page(bypass_csp=True)
    other.goto(running.url)
    other.wait_for_function("window.vivavoce?.state === 'ready'")
    start(other)
    other.close()
    wait_until_empty(page, running)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_fits_the_window(browser, running, dark, width):
    page = browser.new_page(
        viewport={"width": width, "height": 844},
        color_scheme="dark" if dark else "light",
        bypass_csp=True,
    )
    page.goto(running.url)
    page.wait_for_function("window.vivavoce?.state === 'ready'")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
