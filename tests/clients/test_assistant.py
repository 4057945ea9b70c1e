"""`examples/assistant` end to end: a WAV as the user in Chromium, and the face that answers."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.service.browser import CHECKOUT, chromium, free_port
from benchmarks.service.signals import write_wav
from tests.support.pages import MARKS, PATIENCE_S, get, serving, until, wait_until_empty
from tests.support.sounds import buzz

pytestmark = MARKS

EXAMPLE = CHECKOUT / "examples" / "assistant"
PAUSES_S = 2.5, 5, 8, 12, 18
"""The answer takes five seconds: however long it takes to begin, it is cut short by one of them."""
AVATAR = "document.querySelector('vivavoce-avatar')"


def user(folder: Path, *pauses_s: float) -> Path:
    """A WAV of somebody who speaks for two seconds, pauses, speaks, pauses, ..., for ever."""
    voice = buzz(100).astype(np.float64) / 32_768
    turns = [np.pad(voice, (0, int(pause_s * 48_000))) for pause_s in pauses_s]
    return write_wav(folder / "user.wav", np.concatenate(turns))


@contextlib.contextmanager
def assistant(folder: Path, *flags: str) -> Iterator[tuple]:
    """The server and the assistant's address."""
    port = free_port()
    with serving(folder) as running:
        command = [sys.executable, "-u", str(EXAMPLE / "assistant.py"), "--server", running.url]
        command += ["--port", str(port), *flags]
        address = f"http://127.0.0.1:{port}"
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            try:
                assert program.stdout is not None
                assert program.stdout.readline() == f"open {address} in a browser\n"
                yield running, address
            finally:
                program.terminate()


@contextlib.contextmanager
def talking(folder: Path, address: str, *pauses_s: float) -> Iterator:
    """A page with a user before it; `window.told` are the server's events."""
    with chromium(user(folder, *pauses_s)) as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(address)
        page.wait_for_function("customElements.get('vivavoce-avatar') !== undefined")
        page.evaluate(
            f"window.told = []; {AVATAR}.addEventListener('server', (e) => told.push(e.detail))"
        )
        page.click("vivavoce-avatar")
        page.wait_for_function(f"{AVATAR}.state === 'live'")
        yield page


def told(page, kind: str) -> list[dict]:
    return page.evaluate(f"told.filter((e) => e.type === '{kind}')")


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    with assistant(tmp_path_factory.mktemp("assistant")) as place:
        yield place


def test_it_answers_when_the_user_has_spoken(scripted, tmp_path):
    running, address = scripted
    with talking(tmp_path, address, 20) as page:
        assert (
            get(f"{running.url}/v1/sessions/{page.evaluate(f'{AVATAR}.sessionId')}")["audio"]
            == "push"
        )
        until(lambda: told(page, "output_audio_buffer.stopped"))
        started = told(page, "input_audio_buffer.speech_started")
        assert started
        assert told(page, "output_audio_buffer.stopped")[0]["played_ms"] > 1_000
        states = [event["state"] for event in told(page, "avatar.state")]
        assert states.index("listening") < states.index("speaking")
    wait_until_empty(running)


def test_it_falls_silent_when_the_user_speaks_again(scripted, tmp_path):
    running, address = scripted
    with talking(tmp_path, address, *PAUSES_S) as page:
        until(lambda: told(page, "output_audio_buffer.cleared"))
        until(lambda: len(told(page, "output_audio_buffer.started")) >= 2)  # and answers again
    wait_until_empty(running)


def test_the_echo_says_what_the_user_said(tmp_path):
    with assistant(tmp_path, "--echo") as (_, address), talking(tmp_path, address, 20) as page:
        until(lambda: told(page, "output_audio_buffer.stopped"))
        played_ms = told(page, "output_audio_buffer.stopped")[0]["played_ms"]
        assert 1_500 <= played_ms <= 5_000  # of two seconds, with what comes before and after
