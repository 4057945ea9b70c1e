"""What the page says of a machine that is too slow, in real Chromium."""

from pathlib import Path

import httpx
import pytest

from tests.support.pages import MARKS, get, serving, start, stop, until
from tests.support.plugins import installed
from tests.support.toy import write_video

pytestmark = MARKS

WELL = {"fps": 25, "serverFps": 25, "serverDrawnFps": 25, "serverSlow": False, "widthPx": 256}
"""A snapshot in which everything is as it should be."""


@pytest.fixture(scope="module")
def pace(tmp_path_factory) -> Path:
    """How long the pipeline takes for a picture, in seconds."""
    return tmp_path_factory.mktemp("pace") / "pace"


@pytest.fixture(scope="module")
def running(tmp_path_factory, pace):
    """A server with one face, of a pipeline that is as slow as it is told to be."""
    folder = tmp_path_factory.mktemp("server")
    flags = ("--pipeline", "toy", "--set", f"pace={pace}", "--size", "180")
    with installed("toy_pipeline"), serving(folder, *flags, cast=()) as process:
        video = write_video(folder / "clip.mkv").read_bytes()
        made = httpx.post(
            f"{process.url}/v1/avatars",
            files={"video": ("clip.mkv", video)},
            data={"name": "Clip", "pipeline": "toy"},
            timeout=60,
        )
        where = process.url + made.raise_for_status().headers["location"]
        until(lambda: get(where)["state"] == "ready")
        yield process


def note(page) -> str:
    """What it says, what helps included; nothing where it is not to be seen."""
    return page.text_content("#slow").strip() if page.is_visible("#slow") else ""


def observe(page, seconds: int, **changes) -> str:
    """Show a note of our own so many snapshots; what it says then."""
    page.evaluate(
        """async ([count, snapshot]) => {
             const { SpeedNote } = await import("/speed_note.js");
             window.note ??= new SpeedNote();
             for (let n = 0; n < count; n++) window.note.observe(snapshot);
           }""",
        [seconds, WELL | changes],
    )
    return note(page)


def test_says_that_the_server_s_machine_is_too_slow(page, pace):
    pace.write_text("0.1")
    start(page)
    until(lambda: note(page))
    said = note(page)
    assert said.startswith("This computer is too slow for a fluent face")
    assert "Close other programs" in said
    assert "a faster machine" in said
    software = page.evaluate("import('/rendering.js').then((m) => m.drawsInSoftware())")
    assert ("hardware acceleration" in said) == software
    stop(page)
    assert note(page) == ""


def test_takes_it_back_when_it_is_over(page):
    """Told by snapshots of ours: this machine may be slow in earnest."""
    assert observe(page, 1, serverSlow=True)
    assert observe(page, 1) == ""
    assert observe(page, 20, serverSlow=True) == ""  # not again so soon


def test_says_that_the_browser_is_the_slow_one(page):
    assert observe(page, 3, fps=6) == ""  # a moment
    said = observe(page, 2, fps=6)
    assert said.startswith("This browser is too slow for a fluent face: 6 new pictures")
    assert "Run the server" not in said
    assert observe(page, 4) == said
    assert observe(page, 2) == ""


def test_a_note_that_was_closed_stays_away(page):
    said = observe(page, 1, serverSlow=True, serverDrawnFps=9, widthPx=512)
    assert "9 new pictures a second" in said
    assert "--size 256" in said
    assert not page.is_visible("#slow-advice")  # one line, unless more is asked for
    page.click("#slow summary")
    assert page.is_visible("#slow-advice")
    page.click("#slow-close")
    assert observe(page, 90, serverSlow=True) == ""
    page.evaluate("window.note.clear()")  # the next session
    assert "--size" not in observe(page, 1, serverSlow=True)
