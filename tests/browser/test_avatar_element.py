"""`<vivavoce-avatar>` in a page that is not ours, in real Chromium."""

import pytest

from tests.support.pages import MARKS, PATIENCE_S, get, serving, until, wait_until_empty
from tests.support.site import ELEMENT, PAGE, embedded, served

pytestmark = MARKS

SHOWN = f"{ELEMENT}.video.getVideoPlaybackQuality().totalVideoFrames"
ID = f"{ELEMENT}.sessionId"
STATE = f"{ELEMENT}.state"
SILENT_BEFORE_A_PRESS = """
const { play } = HTMLMediaElement.prototype;
HTMLMediaElement.prototype.play = function () {
  if (this.muted) return play.call(this);
  return Promise.reject(new DOMException("a user must act first", "NotAllowedError"));
};"""
"""As browsers are by default, whose tests are not."""
WORDS = f"{ELEMENT}.shadowRoot.querySelector('button').textContent"
HEARD = f"""{ELEMENT}.viewer.pc.getStats().then((stats) => [...stats.values()].find(
    (report) => report.type === "inbound-rtp" && report.kind === "audio").totalAudioEnergy)"""


@pytest.fixture(scope="module")
def site():
    with served() as site:
        yield site


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), settings="max_sessions = 2") as process:
        yield process


def test_three_lines_show_a_face_that_talks_with_the_microphone(browser, site, running):
    name = get(f"{running.url}/v1/avatars")["avatars"][1]["name"]
    with embedded(browser, site, running, f'avatar="{name.upper()}"') as page:
        page.wait_for_function(f"{ELEMENT}.shadowRoot.querySelector('img').naturalWidth")
        page.click("vivavoce-avatar")
        page.wait_for_function(f"{STATE} === 'live'")
        session = get(f"{running.url}/v1/sessions/{page.evaluate(ID)}")
        assert (session["avatar"], session["audio"]) == (avatar_id(running, name), "microphone")
        shown = page.evaluate(SHOWN)
        until(lambda: page.evaluate(SHOWN) > shown + 25)
        page.evaluate(f"{ELEMENT}.stop()")
        assert page.evaluate(STATE) == "ready"
        wait_until_empty(running)


def test_the_face_is_there_before_its_first_picture_is_drawn(browser, site, running):
    picture = f"{ELEMENT}.shadowRoot.querySelector('img')"
    site.page = PAGE.format(server=running.url, attributes="")
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    waiting = []  # on a first start that takes as long as the rest of the cast
    page.route("**/still*", lambda route: waiting.append(route))
    page.goto(site.url)
    page.wait_for_function(f"{picture}.naturalWidth && !{picture}.hidden")
    assert page.evaluate(f"{picture}.src").endswith("/image")
    until(lambda: page.evaluate("1") and waiting)
    waiting[0].continue_()
    page.wait_for_function(f"{picture}.src.includes('/still') && {picture}.naturalWidth")
    page.close()


def test_it_says_what_the_page_pushes_until_that_interrupts_it(browser, site, running):
    avatar = get(f"{running.url}/v1/avatars")["avatars"][0]["id"]
    attributes = f'avatar="{avatar}" audio="push" rate="16000" autostart'
    with embedded(browser, site, running, attributes) as page:
        page.wait_for_function(f"{STATE} === 'live'")
        page.wait_for_function(f"{ELEMENT}.shadowRoot.querySelector('img').naturalWidth")
        page.evaluate(
            f"""async () => {{
              window.told = [];
              {ELEMENT}.addEventListener("server", (e) => told.push(e.detail));
              const hum = Float32Array.from({{ length: 16000 }}, (_, n) => 0.3 * Math.sin(n / 12));
              await {ELEMENT}.push(hum);
              {ELEMENT}.commit();
            }}"""
        )
        page.wait_for_function("told.some((e) => e.type === 'output_audio_buffer.stopped')")
        [stopped] = page.evaluate(
            "told.filter((e) => e.type === 'output_audio_buffer.stopped').map((e) => e.played_ms)"
        )
        assert stopped == 1_000
        page.evaluate(f"{ELEMENT}.push(new Int16Array(160000).fill(500))")
        page.wait_for_function(
            "told.filter((e) => e.type === 'output_audio_buffer.started').length > 1"
        )
        page.evaluate(f"{ELEMENT}.interrupt()")
        page.wait_for_function("told.some((e) => e.type === 'output_audio_buffer.cleared')")


def test_it_watches_a_session_of_somebody_else_and_leaves_it(browser, site, running):
    with embedded(browser, site, running, "autostart") as owner:
        owner.wait_for_function(f"{STATE} === 'live'")
        session = owner.evaluate(ID)
        where = f"{running.url}/v1/sessions/{session}"
        site.page = PAGE.format(server=running.url, attributes=f'session="{session}" autostart')
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(site.url)
        page.wait_for_function(f"{STATE} === 'live'")
        assert page.evaluate(ID) == session
        assert page.evaluate(f"{ELEMENT}.session") is None
        assert get(where)["parties"] == 2
        shown = page.evaluate(SHOWN)
        until(lambda: page.evaluate(SHOWN) > shown + 25)
        until(lambda: page.evaluate(HEARD) > 0)
        page.evaluate(f"{ELEMENT}.stop()")
        until(lambda: get(where)["parties"] == 1)
        assert owner.evaluate(STATE) == "live"

        page.evaluate(f"{ELEMENT}.start()")
        page.wait_for_function(f"{STATE} === 'live'")
        owner.evaluate(f"{ELEMENT}.stop()")
        page.wait_for_function(f"{STATE} === 'failed'")
        assert page.evaluate(WORDS) == "The session has ended. Try again"
        page.close()


def test_a_session_that_is_not_there_is_not_watched(browser, site, running):
    with embedded(browser, site, running, 'session="nowhere" autostart') as page:
        page.wait_for_function(f"{STATE} === 'failed'")
        assert "nowhere" in page.evaluate(WORDS)


def test_where_sound_needs_a_press_any_press_on_the_page_gives_it(browser, site, running):
    with embedded(browser, site, running, "autostart", SILENT_BEFORE_A_PRESS) as page:
        page.wait_for_function(f"{STATE} === 'live'")
        assert page.evaluate(f"{ELEMENT}.video.muted")
        page.mouse.click(5, 5)
        assert not page.evaluate(f"{ELEMENT}.video.muted")


def test_taking_it_out_of_the_page_ends_its_session(browser, site, running):
    with embedded(browser, site, running, "autostart muted") as page:
        page.wait_for_function(f"{STATE} === 'live'")
        page.evaluate(f"{ELEMENT}.remove()")
        wait_until_empty(running)


def test_what_is_wrong_is_said(browser, site, running):
    with embedded(browser, site, running, 'avatar="nobody" autostart') as page:
        page.wait_for_function(f"{STATE} === 'failed'")
        assert "nobody" in page.evaluate(WORDS)


def avatar_id(running, name: str) -> str:
    """The id of the avatar of this name."""
    return next(a["id"] for a in get(f"{running.url}/v1/avatars")["avatars"] if a["name"] == name)
