"""The page, its view link and `<vivavoce-avatar>` on a server that asks for a key, in Chromium."""

import urllib.error
import urllib.request
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from realtime.access.keys import KeyFile
from tests.support.pages import (
    MARKS,
    PATIENCE_S,
    get,
    mint,
    serving,
    start,
    stop,
    until,
    wait_until_empty,
)
from tests.support.site import ELEMENT, embedded, served

pytestmark = MARKS


@pytest.fixture(scope="module")
def site():
    with served() as site:
        yield site


@pytest.fixture(scope="module")
def running(site, tmp_path_factory):
    """A server with the keys `owner` and `other`."""
    folder = tmp_path_factory.mktemp("server")
    file = KeyFile(folder / "data")
    secrets = {name: file.create(name)[1] for name in ("owner", "other")}
    with serving(folder, settings=f'allowed_origins = ["{site.url}"]') as process:
        yield SimpleNamespace(url=process.url, file=file, **secrets)


@pytest.fixture
def page(browser, running):
    """The page of somebody who was given a token by the owner of a key."""
    token = mint(running, running.owner, scopes=["open"])
    page = browser.new_page(bypass_csp=True, viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE_S * 1000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{running.url}/#token={token}")
    page.wait_for_function("window.vivavoce?.state === 'ready'")
    yield page
    page.close()
    assert not problems
    wait_until_empty(running)


def test_a_session_is_recorded_with_a_ticket(page):
    start(page)
    page.click("#record")
    page.wait_for_function("document.querySelector('#recording-time').textContent >= '0:03'")
    with page.expect_download() as waiting:
        page.click("#record")
    assert waiting.value.path().read_bytes()[:4] == b"\x1a\x45\xdf\xa3"
    stop(page)


def copied_link(page) -> str:
    """What the key L puts on the clipboard, which a browser without a window keeps closed."""
    page.evaluate("navigator.clipboard.writeText = async (text) => void (window.copied = text)")
    page.keyboard.press("l")
    page.wait_for_function("window.copied !== undefined")
    assert "shows this session" in page.inner_text(".toast")
    return str(page.evaluate("window.copied"))


def status(url: str, method: str, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    try:
        request = urllib.request.Request(url, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_the_view_link_carries_what_lets_others_watch_and_no_more(browser, page, running):
    session = start(page)
    link = copied_link(page)
    [token] = parse_qs(urlsplit(link).query)["token"]
    where = f"{running.url}/v1/sessions/{session}"
    assert status(where, "GET", token) == 200
    assert status(where, "DELETE", token) == status(f"{running.url}/v1/sessions", "POST", token)
    assert status(where, "DELETE", token) == 403
    elsewhere = browser.new_context(bypass_csp=True)  # with nothing that the first one has kept
    try:
        view = elsewhere.new_page()
        view.set_default_timeout(PATIENCE_S * 1000)
        view.goto(link)
        view.wait_for_function("window.vivavoce.state === 'live'")
        view.wait_for_function("document.querySelector('#avatar-video').currentTime > 1")
        assert "token" not in view.url
        assert get(where, running.owner)["parties"] == 2
    finally:
        elsewhere.close()
    without = link.partition("&token=")[0]
    elsewhere = browser.new_context()
    try:
        view = elsewhere.new_page()
        view.goto(without)
        view.wait_for_function("window.vivavoce?.state === 'failed'", timeout=PATIENCE_S * 1000)
    finally:
        elsewhere.close()
    stop(page)


def test_a_token_that_is_taken_back_ends_the_session_with_a_word(page, running):
    start(page)
    token = page.evaluate("sessionStorage.getItem('vivavoce.token')")
    assert status(f"{running.url}/v1/tokens", "DELETE", token) == 204
    page.wait_for_function("window.vivavoce.state === 'failed'")
    assert "valid no more" in page.inner_text("#error")


def test_the_element_shows_its_token_and_speaks_by_a_ticket(browser, site, running):
    token = mint(running, running.other, scopes=["open", "push"])
    attributes = f'audio="push" rate="16000" autostart token="{token}"'
    with embedded(browser, site, running, attributes) as page:
        page.wait_for_function(f"{ELEMENT}.state === 'live'")
        page.evaluate(
            f"""async () => {{
              window.told = [];
              {ELEMENT}.addEventListener("server", (e) => told.push(e.detail));
              await {ELEMENT}.push(new Int16Array(16000).fill(500));
              {ELEMENT}.commit();
            }}"""
        )
        page.wait_for_function("told.some((e) => e.type === 'output_audio_buffer.stopped')")
        where = f"{running.url}/v1/sessions/{page.evaluate(f'{ELEMENT}.sessionId')}"
        assert get(where, running.other)["audio"] == "push"
        running.file.revoke("other")
        page.wait_for_function(f"{ELEMENT}.state === 'failed'")
        words = page.evaluate(f"{ELEMENT}.shadowRoot.querySelector('button').textContent")
        assert "valid no more" in words


def test_the_element_without_a_token_says_what_is_missing(browser, site, running):
    with embedded(browser, site, running, "autostart") as page:
        page.wait_for_function(f"{ELEMENT}.state === 'failed'")
        until(lambda: page.evaluate(f"{ELEMENT}.shadowRoot.querySelector('button').textContent"))
