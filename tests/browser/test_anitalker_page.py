"""The product page on a server that runs `anitalker` with the shipped weights."""

import pytest

from tests.support.pages import (
    MARKS,
    change_face,
    get,
    serving,
    start,
    stop,
    watch_lips,
)

pytestmark = MARKS


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), "--pipeline", "anitalker") as process:
        yield process


def test_the_face_talks_with_the_voice_and_changes(page, running):
    session = start(page)
    watch_lips(page)
    assert get(f"{running.url}/v1/sessions/{session}")["pipeline"] == "anitalker"
    change_face(page, running, session)
    stop(page)
