"""The product page on a server that runs `anitalker` with the shipped weights."""

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright", reason="the browser tests need the dev extra")
pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from benchmarks.bench_latency import PROBE, openness
from benchmarks.browser import CHROMIUM, chromium, hold_head_still, server
from benchmarks.signals import clicks_and_vowels, write_wav
from pipelines.presets import PRESETS
from pipelines.weights import list_weights
from tests.browser.test_page import get, start

PRESET = PRESETS["anitalker"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; install it with: apt-get install chromium"
    ),
    pytest.mark.skipif(
        not {PRESET.renderer_weights, PRESET.motion_weights} <= set(list_weights()),
        reason="the weights of the anitalker preset are not installed",
    ),
]
CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[:2]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    (folder / "cast").mkdir()
    for portrait in CAST:
        shutil.copy(portrait, folder / "cast")
    settings = folder / "vivavoce.toml"
    settings.write_text(f'cast_dir = "{folder / "cast"}"\nload_share = 10.0\n')
    flags = ("--pipeline", "anitalker", "--size", "256", "--config", str(settings))
    with server(folder / "data", *flags) as process:
        yield process


@pytest.fixture(scope="module")
def page(running, tmp_path_factory):
    wav = write_wav(tmp_path_factory.mktemp("sound") / "mic.wav", clicks_and_vowels(20))
    with chromium(wav) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
        page.add_init_script(path=PROBE)
        page.goto(running.url)
        page.wait_for_function("window.vivavoce?.state === 'ready'")
        yield page


def test_the_face_talks_with_the_voice_and_changes(page, running):
    session = start(page)
    hold_head_still(page)
    page.evaluate("window.__probe.start(document.querySelector('#avatar-video'))")
    page.wait_for_timeout(9_000)
    probe = page.evaluate("(({returned, mouth}) => ({returned, mouth}))(window.__probe)")
    times, opened = openness(probe["mouth"])
    assert len(times) > 100
    speaking, silent = [], []
    for onset in probe["returned"]:
        speaking += opened[(times > onset + 0.05) & (times < onset + 0.40)].tolist()
        silent += opened[(times > onset - 0.45) & (times < onset - 0.20)].tolist()
    assert np.median(speaking) > 1.3 * np.median(silent)
    described = get(f"{running.url}/v1/sessions/{session}")
    assert described["pipeline"] == "anitalker"
    assert abs(described["measurements"]["av_skew_ms"]) < 45

    other = next(
        a["id"]
        for a in get(f"{running.url}/v1/avatars")["avatars"]
        if a["id"] != described["avatar"]
    )
    page.click(f'#gallery [data-id="{other}"]')
    page.wait_for_function(
        "(face) => window.vivavoce.events.some("
        "(e) => e.type === 'session.updated' && e.session.avatar === face)",
        arg=other,
    )
    assert get(f"{running.url}/v1/sessions/{session}")["avatar"] == other
    page.click("#start")
    page.wait_for_function("window.vivavoce.state === 'ready'")
