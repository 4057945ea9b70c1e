"""`<vivavoce-avatar>` in a page that is not ours, in real Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.pages import MARKS, PATIENCE_S, get, serving, until, wait_until_empty

pytestmark = MARKS

PAGE = """<!doctype html><meta charset="utf-8"><title>Somebody's page</title>
<script type="module" src="/client/vivavoce.js"></script>
<vivavoce-avatar {attributes}></vivavoce-avatar>"""
SHOWN = "document.querySelector('vivavoce-avatar').video.getVideoPlaybackQuality().totalVideoFrames"
ID = "document.querySelector('vivavoce-avatar').sessionId"
STATE = "document.querySelector('vivavoce-avatar').state"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), settings="max_sessions = 2") as process:
        yield process


@contextmanager
def embedded(browser, running, attributes: str) -> Iterator:
    """A page with the element in it."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    address = f"{running.url}/somebody.html"
    page.route(
        address,
        lambda route: route.fulfill(
            body=PAGE.format(attributes=attributes), content_type="text/html"
        ),
    )
    page.goto(address)
    page.wait_for_function("customElements.get('vivavoce-avatar') !== undefined")
    yield page
    page.close()
    wait_until_empty(running)


def test_three_lines_show_a_face_that_talks_with_the_microphone(browser, running):
    name = get(f"{running.url}/v1/avatars")["avatars"][1]["name"]
    with embedded(browser, running, f'avatar="{name.upper()}"') as page:
        page.wait_for_function(
            "document.querySelector('vivavoce-avatar').shadowRoot.querySelector('img').naturalWidth"
        )
        page.click("vivavoce-avatar")
        page.wait_for_function(f"{STATE} === 'live'")
        session = get(f"{running.url}/v1/sessions/{page.evaluate(ID)}")
        assert (session["avatar"], session["audio"]) == (avatar_id(running, name), "microphone")
        shown = page.evaluate(SHOWN)
        until(lambda: page.evaluate(SHOWN) > shown + 25)
        page.evaluate("document.querySelector('vivavoce-avatar').stop()")
        assert page.evaluate(STATE) == "ready"
        wait_until_empty(running)


def test_taking_it_out_of_the_page_ends_its_session(browser, running):
    with embedded(browser, running, "autostart muted") as page:
        page.wait_for_function(f"{STATE} === 'live'")
        page.evaluate("document.querySelector('vivavoce-avatar').remove()")
        wait_until_empty(running)


def test_what_is_wrong_is_said(browser, running):
    with embedded(browser, running, 'avatar="nobody" autostart') as page:
        page.wait_for_function(f"{STATE} === 'failed'")
        words = "document.querySelector('vivavoce-avatar').shadowRoot.querySelector('button')"
        assert "nobody" in page.evaluate(f"{words}.textContent")


def avatar_id(running, name: str) -> str:
    """The id of the avatar of this name."""
    return next(a["id"] for a in get(f"{running.url}/v1/avatars")["avatars"] if a["name"] == name)
