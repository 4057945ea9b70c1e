"""The product page on a server that runs `anitalker` with the shipped weights."""

import numpy as np
import pytest

from pipelines.registry import find_system
from pipelines.weights import list_weights
from tests.support.pages import (
    MARKS,
    change_face,
    get,
    opened,
    serving,
    speaking_browser,
    start,
    stop,
    watch_lips,
)

OPTIONS = find_system("anitalker").Options()
pytestmark = [
    *MARKS,
    pytest.mark.skipif(
        not {OPTIONS.renderer_weights, OPTIONS.motion_weights} <= set(list_weights()),
        reason="the weights of the anitalker pipeline are not installed",
    ),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), "--pipeline", "anitalker") as process:
        yield process


@pytest.fixture(scope="module")
def page(running, tmp_path_factory):
    wide = {"width": 1280, "height": 800}
    with (
        speaking_browser(tmp_path_factory.mktemp("sound")) as browser,
        opened(browser, running, viewport=wide) as page,
    ):
        yield page


def test_the_face_talks_with_the_voice_and_changes(page, running):
    session = start(page)
    speaking, silent = watch_lips(page)
    assert np.median(speaking) > 1.3 * np.median(silent)
    described = get(f"{running.url}/v1/sessions/{session}")
    assert described["pipeline"] == "anitalker"
    assert abs(described["measurements"]["av_skew_ms"]) < 45
    change_face(page, running, session)
    stop(page)
