"""What the page says to whoever has no seat left of its own, and to whoever says nothing."""

import pytest

from tests.support.pages import MARKS, opened, serving, start, stop

pytestmark = MARKS


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    settings = "max_sessions = 2\nsessions_per_address = 1\nidle_limit_s = 60"
    with serving(tmp_path_factory.mktemp("server"), settings=settings) as process:
        yield process


def test_a_second_tab_is_told_of_the_first(page, browser, running):
    with opened(browser, running) as other:
        start(other)
        page.click("#start")
        page.wait_for_selector("#error:not([hidden])")
        said = page.inner_text("#error")
        assert "as many sessions as you may" in said
        assert "another tab" in said
        assert other.evaluate("window.vivavoce.state") == "live"
        stop(other)


def test_whoever_says_nothing_is_told_before_and_after(page):
    start(page)
    page.click("#mute")
    page.wait_for_function(
        "document.querySelector('#toasts').textContent.includes('unless somebody speaks')"
    )
    assert page.evaluate("window.vivavoce.state") == "live"
    page.wait_for_selector("#error:not([hidden])")
    said = page.inner_text("#error")
    assert "The server ended the session" in said
    assert "Nothing was said or done for 60 seconds" in said
    assert "Start again when you like" in said
