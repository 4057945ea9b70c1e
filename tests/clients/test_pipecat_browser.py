"""Pipecat's client for browsers in Chromium: the user speaks, the avatar says it."""

import pytest

from tests.clients.bundles import blank_page, bundle
from tests.support.pages import MARKS, get, until, wait_until_empty

pytestmark = MARKS


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return bundle("pipecat", tmp_path_factory.mktemp("bundle"))


def happened(page) -> list[str]:
    """What the client told the application, in order, each thing once."""
    return page.evaluate("[...new Set(window.log.map((entry) => entry.name))]")


def test_the_stock_client_connects_speaks_and_shows_the_avatar(running, browser, script):
    avatar = get(f"{running.url}/v1/avatars")["avatars"][1]["id"]
    with blank_page(browser, running.url, script) as page:
        page.evaluate(f"window.start('/api/offer', {{ avatar: '{avatar}' }})")  # until bot-ready
        wanted = {"botReady", "audioTrack", "videoTrack", "userStartedSpeaking"}
        wanted |= {"botStartedSpeaking", "botStoppedSpeaking", "event"}
        until(lambda: wanted <= set(happened(page)))
        until(lambda: (page.evaluate("window.video()") or {}).get("width") == 256)
        since = page.evaluate("window.video().time")
        until(lambda: page.evaluate("window.video().time") > since + 2)
        assert "error" not in happened(page)
        assert get(f"{running.url}/health")["sessions"] == 1
        page.evaluate("window.client.sendClientMessage('session.update', { avatar: 'nobody' })")
        until(lambda: "messageError" in happened(page))
        page.evaluate("window.client.disconnect()")
        wait_until_empty(running)


def test_a_refused_offer_is_told_at_once(running, browser, script):
    with blank_page(browser, running.url, script) as page:
        told = page.evaluate(
            "window.start('/api/offer', { avatar: 'nobody' }).catch((e) => String(e.message ?? e))"
        )
        assert "404" in told
        wait_until_empty(running)
