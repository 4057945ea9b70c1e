"""The product page in real Chromium, with a WAV file as microphone, against a real server."""

import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright", reason="the browser tests need the dev extra")
pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from benchmarks.service.browser import CHROMIUM, chromium, hold_head_still, server
from benchmarks.service.latency import PROBE
from benchmarks.service.signals import clicks_and_vowels, write_wav

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; install it with: apt-get install chromium"
    ),
]
CAST = sorted((Path(__file__).parents[2] / "cast").glob("*.png"))[:3]
PATIENCE_S = 240
"""Only what never happens takes as long, on a machine as slow and as busy as it may be."""
PICTURES = 50
"""Two seconds of them; no silence of the microphone is as long."""
MOVES, RESTS = 3.0, 1.0
"""Lips do whose pictures lie so far apart, in mean grey levels: six at a vowel, a tenth at rest."""


def until(condition: Callable[[], object]) -> None:
    """Wait for something real to happen."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what was waited for never happened"
        time.sleep(0.1)


@contextmanager
def serving(folder: Path, *flags: str, cast: Sequence[Path] = CAST, settings: str = "") -> Iterator:
    """A server process with these faces, at 256 pixels unless `flags` say otherwise."""
    faces = folder / "cast"
    faces.mkdir()
    for portrait in cast:
        shutil.copy(portrait, faces)
    config = folder / "vivavoce.toml"
    config.write_text(f'cast_dir = "{faces}"\nload_share = 10.0\n{settings}\n')
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
    page.set_default_timeout(PATIENCE_S * 1000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script(path=PROBE)
    page.goto(running.url)
    page.wait_for_function("window.vivavoce?.state === 'ready'")
    yield page
    page.close()
    assert not problems


def get(url: str, key: str = "") -> dict:
    """What a GET answers; `key` is an API key or a token, where one is asked for."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def mint(running, key: str, **wish) -> str:
    """A token, from an API key."""
    headers = {"authorization": f"Bearer {key}"}
    body = json.dumps(wish).encode()
    request = urllib.request.Request(f"{running.url}/v1/tokens", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["token"])


def start(page) -> str:
    """Begin a session; its id."""
    page.click("#start")
    page.wait_for_function("['live', 'failed'].includes(window.vivavoce.state)")
    assert page.evaluate("window.vivavoce.state") == "live", page.inner_text("#error")
    return page.evaluate("window.vivavoce.sessionId")


def stop(page) -> None:
    page.click("#start")
    page.wait_for_function("window.vivavoce.state === 'ready'")


def wait_until_empty(running) -> None:
    """Wait until the server has no session."""
    until(lambda: get(f"{running.url}/health")["sessions"] == 0)


def watch_lips(page) -> None:
    """See the lips at rest without a voice, moving with it, and at rest again.

    Pictures are counted, and none is held against the moment at which it is shown.
    """
    hold_head_still(page)
    page.evaluate("window.__probe.start(document.querySelector('#avatar-video'))")
    page.click("#mute")
    until(lambda: lips_move(page) < RESTS)
    page.click("#mute")
    until(lambda: lips_move(page) > MOVES)
    until(lambda: page.evaluate("window.__probe.returned.length") >= 3)  # vowel by vowel
    page.click("#mute")
    until(lambda: lips_move(page) < RESTS)
    page.click("#mute")


def lips_move(page) -> float:
    """How far apart the next pictures of the mouth lie at the most, in mean grey levels."""
    seen = page.evaluate("window.__probe.mouth.length")
    until(lambda: page.evaluate("window.__probe.mouth.length") >= seen + PICTURES)
    mouth = page.evaluate(f"window.__probe.mouth.slice({seen})")
    grey = np.array([picture for _, picture in mouth], np.float32)
    return float(np.abs(grey - np.median(grey, axis=0)).mean(1).max())


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
