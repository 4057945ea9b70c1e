"""The browser extension in Chromium: in the page of a call the avatar is camera and microphone."""

import re
import time

import pytest

pytest.importorskip("playwright", reason="the browser tests need the dev extra")

from benchmarks.service.extension import Popup, call_site, extended_browser
from benchmarks.service.latency import openness
from benchmarks.service.signals import clicks_and_vowels, write_wav
from tests.support.pages import MARKS, MOVES, get, serving, until, wait_until_empty

pytestmark = MARKS
AVATAR = [("audioinput", "vivavoce voice"), ("videoinput", "vivavoce avatar")]
REAL = "fake_device_0"
"""What Chromium calls the camera that it makes up."""
PICTURES, SOUNDS = 40, 4
LONG = 75
"""Three seconds of pictures; the microphone is never silent as long."""
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens on the port of `discard`."""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as process:
        yield process


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extension")
    microphone = write_wav(folder / "mic.wav", clicks_and_vowels(20))
    with extended_browser(folder, microphone) as context:
        yield context


@pytest.fixture(scope="module")
def site():
    with call_site() as url:
        yield url


@pytest.fixture
def call(browser, site):
    """The page of a call that may not use the avatar yet."""
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{site}/call.html")
    page.wait_for_function("window.call")
    yield page
    page.evaluate("call.leave()")
    page.close()
    assert not problems


@pytest.fixture
def popup(browser, call, running):
    """The extension's, connected with the server and allowed in the call."""
    popup = Popup(browser, call)
    assert popup.connect(running.url) == "Connected."
    let(popup, call)
    yield popup
    popup.page.set_checked("#on", True)
    let(popup, call)
    popup.page.close()


def let(popup, call) -> None:
    """Allow the site, or no more, and wait until its page is there again."""
    with call.expect_navigation():
        popup.allow()
    call.wait_for_function("window.call")
    call.bring_to_front()


def devices(call) -> list[tuple[str, str]]:
    return [(device["kind"], device["label"]) for device in call.evaluate("call.devices()")]


def labels(call, constraints: str = "") -> dict[str, str]:
    """What a camera and a microphone that the call asks for say that they are."""
    return {track["kind"]: track["label"] for track in call.evaluate(f"call.open({constraints})")}


def test_a_site_that_was_not_allowed_sees_nothing_of_it(call):
    assert not set(AVATAR) & set(devices(call))
    assert labels(call)["video"] == REAL
    assert "[native code]" in call.evaluate("String(MediaDevices.prototype.getUserMedia)")


def test_the_call_gets_picture_and_voice_of_the_avatar(call, popup, running):
    assert devices(call)[:2] == AVATAR
    tracks = call.evaluate("call.open()")
    assert [track["label"] for track in tracks] == ["vivavoce voice", "vivavoce avatar"]
    assert [track["settings"]["deviceId"] for track in tracks] == [
        "vivavoce-microphone",
        "vivavoce-camera",
    ]
    assert get(f"{running.url}/health")["sessions"] == 1
    call.evaluate("call.join()")
    call.evaluate("call.watch()")
    until(lambda: call.evaluate("call.arrived.mouth.length") >= PICTURES)
    until(lambda: call.evaluate("call.arrived.onsets.length") >= SOUNDS)
    until(lambda: openness(call.evaluate("call.arrived.mouth"))[1].max() > MOVES)
    arrived = call.evaluate("call.received()")
    width, height = (arrived["video"][side] for side in ("frameWidth", "frameHeight"))
    assert width * 9 == height * 16
    assert arrived["audio"]["totalAudioEnergy"] > 0
    call.evaluate("call.leave()")
    wait_until_empty(running)


def test_muted_in_the_call_the_user_is_not_heard_by_the_server_either(call, popup, running):
    call.evaluate("call.open()")
    call.evaluate("call.join()")
    call.evaluate("call.watch()")
    until(lambda: call.evaluate("call.arrived.onsets.length") >= SOUNDS)
    [*_, session] = re.findall(r"(\S+) opened: avatar", running.log_path.read_text())
    where = f"{running.url}/v1/sessions/{session}"

    def states() -> set[str]:
        """What the avatar did while the next pictures came."""
        seen, found = call.evaluate("call.arrived.mouth.length"), set()
        while call.evaluate("call.arrived.mouth.length") < seen + LONG:
            found.add(get(where)["state"])
            time.sleep(0.05)
        return found

    assert "speaking" in states()
    call.evaluate("call.mute(true)")
    until(lambda: "speaking" not in states())  # what it had heard before is over
    begun = call.evaluate("call.arrived.onsets.length")
    assert "speaking" not in states()
    assert call.evaluate("call.arrived.onsets.length") == begun
    call.evaluate("call.mute(false)")
    until(lambda: "speaking" in states())
    until(lambda: call.evaluate("call.arrived.onsets.length") > begun)
    call.evaluate("call.leave()")


def test_both_tracks_come_from_one_session_however_they_are_asked_for(call, popup, running):
    assert labels(call, "{video: true}") == {"video": "vivavoce avatar"}
    assert labels(call, "{audio: true}") == {"audio": "vivavoce voice"}
    chosen = "{audio: false, video: {deviceId: {exact: 'vivavoce-camera'}, width: {exact: 320}}}"
    assert labels(call, chosen) == {"video": "vivavoce avatar"}
    assert get(f"{running.url}/health")["sessions"] == 1


def test_a_camera_chosen_by_its_name_is_the_real_one(call, popup, running):
    camera = next(d for d in call.evaluate("call.devices()") if d["label"] == REAL)
    mixed = f"{{audio: true, video: {{deviceId: {{exact: '{camera['deviceId']}'}}}}}}"
    assert labels(call, mixed) == {"audio": "vivavoce voice", "video": REAL}


def test_switched_off_the_browser_answers_itself(call, popup, running):
    popup.page.set_checked("#on", False)
    assert not set(AVATAR) & set(devices(call))
    assert labels(call)["video"] == REAL
    assert get(f"{running.url}/health")["sessions"] == 0
    with pytest.raises(Exception, match="TypeError"):
        call.evaluate("call.open({})")


def test_without_the_server_the_user_is_told_and_not_seen(call, popup):
    assert popup.connect(NOWHERE).startswith("The vivavoce server at http://127.0.0.1:9 does not")
    call.bring_to_front()
    failure = call.evaluate("call.open().catch(({name, message}) => ({name, message}))")
    assert failure["name"] == "NotReadableError"
    assert "does not answer. Start it with" in failure["message"]
    assert call.locator("vivavoce-notice").count() == 1
    assert call.evaluate("call.stream") is None


def test_no_more_allowed_the_site_sees_nothing_again(call, popup):
    let(popup, call)
    assert not set(AVATAR) & set(devices(call))
    let(popup, call)
    assert set(AVATAR) <= set(devices(call))
