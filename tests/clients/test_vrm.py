"""The VRM demo page in Chromium: the model talks, blinks and turns its head as the avatar does."""

import functools
import io
import threading
from http.server import ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="the browser tests need the dev extra")

from benchmarks.service.browser import chromium
from benchmarks.service.extension import Quiet
from benchmarks.service.signals import clicks_and_vowels, write_wav
from tests.clients.environments import vrm_site
from tests.support.pages import MARKS, PATIENCE_S, get, serving, until, wait_until_empty

pytestmark = MARKS
IN_SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
SIDE = 480
MOUTH = (190, 250, 290, 320)
"""Where the picture of the model has it: left, top, right, bottom."""


@pytest.fixture(scope="module")
def site():
    handler = functools.partial(Quiet, directory=str(vrm_site()))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def running(tmp_path_factory, site):
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, settings=f'allowed_origins = ["{site}"]') as process:
        yield process


@pytest.fixture
def page(running, site, tmp_path):
    with chromium(write_wav(tmp_path / "mic.wav", clicks_and_vowels(20)), *IN_SOFTWARE) as browser:
        context = browser.new_context(viewport={"width": SIDE, "height": SIDE})
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{site}/index.html?server={running.url}")
        page.wait_for_function("window.demo")
        yield page
        assert not problems


def mouth(page) -> np.ndarray:
    shot = Image.open(io.BytesIO(page.screenshot())).convert("L").crop(MOUTH)
    return np.asarray(shot, np.float32)


def weight(page, name: str) -> float:
    return page.evaluate(f"demo.vrm.expressionManager.getValue('{name}')")


def turn(page) -> float:
    return page.evaluate("demo.vrm.humanoid.getNormalizedBoneNode('head').rotation.y")


def test_the_model_moves_as_the_avatar_does(page, running, tmp_path):
    rest = mouth(page)
    page.click("#start")
    page.wait_for_function("demo.motion")
    assert get(f"{running.url}/health")["sessions"] == 1
    until(lambda: weight(page, "jawOpen") > 0.2)
    until(lambda: np.abs(mouth(page) - rest).mean() > 3)
    page.screenshot(path=tmp_path / "talking.png")
    turns, lids = [], []

    def watched() -> bool:
        turns.append(turn(page))
        lids.append(weight(page, "eyeBlinkLeft"))
        return float(np.ptp(turns)) > 0.005 and float(np.ptp(lids)) > 0.3

    until(watched)
    page.evaluate("demo.source.close()")
    wait_until_empty(running)


def test_a_page_may_follow_a_session_of_somebody_else(page, running, site):
    page.click("#start")
    page.wait_for_function("demo.motion")
    session = page.evaluate("demo.source.id")
    other = page.context.new_page()
    other.goto(f"{site}/index.html?server={running.url}&session={session}")
    other.wait_for_function("window.demo")
    other.click("#start")
    other.wait_for_function("demo.frames > 25")
    page.evaluate("demo.source.close()")
    other.wait_for_function("document.querySelector('#said').textContent.includes('has ended')")
