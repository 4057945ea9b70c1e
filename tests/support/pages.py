"""The product page in real Chromium, with a WAV file as microphone, against a real server."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser tests need the dev extra")
pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from benchmarks.service.browser import CHROMIUM, chromium, hold_head_still, server
from benchmarks.service.latency import PROBE, openness
from benchmarks.service.signals import clicks_and_vowels, write_wav

MARKS = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; install it with: apt-get install chromium"
    ),
]
CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[:3]


@contextmanager
def serving(folder: Path, *flags: str, settings: str = "") -> Iterator:
    """A server process with the faces of `CAST`, at 256 pixels."""
    cast = folder / "cast"
    cast.mkdir()
    for portrait in CAST:
        shutil.copy(portrait, cast)
    config = folder / "vivavoce.toml"
    config.write_text(f'cast_dir = "{cast}"\nload_share = 10.0\n{settings}\n')
    with server(folder / "data", "--size", "256", "--config", str(config), *flags) as process:
        yield process


@contextmanager
def speaking_browser(folder: Path) -> Iterator:
    """Chromium that hears clicks and vowels."""
    with chromium(write_wav(folder / "mic.wav", clicks_and_vowels(20))) as browser:
        yield browser


@contextmanager
def opened(browser, running, **options) -> Iterator:
    """The page, ready; closed at the end, when nothing in it may have failed."""
    page = browser.new_page(bypass_csp=True, **options)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script(path=PROBE)
    page.goto(running.url)
    page.wait_for_function("window.vivavoce?.state === 'ready'")
    yield page
    page.close()
    assert not problems


def get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def start(page) -> str:
    """Begin a session; its id."""
    page.click("#start")
    page.wait_for_function("window.vivavoce.state === 'live'", timeout=30_000)
    return page.evaluate("window.vivavoce.sessionId")


def stop(page) -> None:
    page.click("#start")
    page.wait_for_function("window.vivavoce.state === 'ready'")


def watch_lips(page) -> tuple[list[float], list[float]]:
    """How open the mouth is in vowels and between them, over nine seconds."""
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
    return speaking, silent


def change_face(page, running, session: str) -> None:
    """Choose another face in the gallery and wait until the session wears it."""
    where = f"{running.url}/v1/sessions/{session}"
    worn = get(where)["avatar"]
    other = next(a["id"] for a in get(f"{running.url}/v1/avatars")["avatars"] if a["id"] != worn)
    page.click(f'#gallery [data-id="{other}"]')
    page.wait_for_function(
        "(face) => window.vivavoce.events.some("
        "(e) => e.type === 'session.updated' && e.session.avatar === face)",
        arg=other,
    )
    assert get(where)["avatar"] == other
