"""WHIP and WHEP clients of others in Chromium: a microphone goes in, the avatar comes out."""

import pytest

from tests.clients.bundles import blank_page, bundle
from tests.support.pages import MARKS, get, until, wait_until_empty

pytestmark = MARKS


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return bundle("whip_whep", tmp_path_factory.mktemp("bundle"))


@pytest.mark.parametrize("player", ["medooze", "eyevinn"])
@pytest.mark.parametrize("publisher", ["medooze", "eyevinn"])
def test_a_microphone_goes_in_and_the_avatar_comes_out(running, browser, script, publisher, player):
    avatar = get(f"{running.url}/v1/avatars")["avatars"][1]["id"]
    with blank_page(browser, running.url, script) as page:
        answers = []
        page.on("response", lambda answer: answers.append((answer.request.method, answer)))
        publish = f"publishers.{publisher}('{running.url}/whip/{avatar}')"
        page.evaluate(f"async () => {{ window.publisher = await {publish} }}")
        location = next(a.headers["location"] for method, a in answers if method == "POST")
        session = location.split("/")[2]
        until(lambda: page.evaluate("window.publisher.pc().connectionState") == "connected")
        play = f"players.{player}('{running.url}/whep/{session}')"
        page.evaluate(f"async () => {{ window.player = await {play} }}")
        until(lambda: page.evaluate("window.player.video.currentTime") > 2)
        assert page.evaluate("window.player.video.videoWidth") == 256
        described = get(f"{running.url}/v1/sessions/{session}")
        assert described["microphone"]["received"] > 50
        assert described["parties"] == 2
        page.evaluate("window.player.end()")
        until(lambda: get(f"{running.url}/v1/sessions/{session}")["parties"] == 1)
        page.evaluate("window.publisher.end()")
        wait_until_empty(running)
        assert {a.status for method, a in answers if method == "PATCH"} <= {204}
        ends = [answer.status for method, answer in answers if method == "DELETE"]
        assert len(ends) == 2
        assert set(ends) <= {200, 404}  # medooze hangs up first: then it may have gone already
