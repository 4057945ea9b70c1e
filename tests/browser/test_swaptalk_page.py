"""The product page on a server that offers `swaptalk`, with tiny random networks."""

import pytest

from tests.support.pages import CAST, MARKS, get, serving, start, stop
from tests.support.tiny_swaptalk import TINY_SETTINGS, write_weights
from tests.support.videos import drawn_clip, write_clip

pytestmark = MARKS

# The page asks once a second: which of the stages it shows depends on how fast the machine is.
STAGES = {
    "waiting for its turn", "following the face", "keeping the video", "learning the face",
    "getting ready to speak", "done",
}  # fmt: skip
WATCH_STAGES = """
window.stages = [];
new MutationObserver(() => {
  const words = document.querySelector("#gallery .tile-stage")?.textContent;
  if (words && words !== window.stages.at(-1)) window.stages.push(words);
}).observe(document.querySelector("#gallery"), { childList: true, subtree: true });
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    write_weights(tmp_path_factory.getbasetemp() / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path_factory.getbasetemp() / "tiny"))
        # A busy machine is no fault of a peer.
        settings = 'pipelines = ["portrait", "swaptalk"]\nping_timeout_s = 120.0' + TINY_SETTINGS
        folder = tmp_path_factory.mktemp("server")
        with serving(folder, settings=settings, cast=CAST[:1]) as process:
            yield process


@pytest.fixture
def video(tmp_path):
    return write_clip(tmp_path / "my_video.mp4", drawn_clip().pictures[:56])


@pytest.fixture
def asked(page):
    """The page, its upload dialog open for `swaptalk`."""
    page.select_option("#pipeline", "swaptalk")
    page.click("#upload-tile")
    return page


def test_a_video_becomes_a_face_that_talks(asked, running, video):
    page = asked
    assert not page.is_visible("#upload-talk")
    assert "2 to 60 seconds" in page.inner_text("#upload-talk-hint")
    page.set_input_files("#upload-file", video)
    page.wait_for_selector("#upload-video")
    page.evaluate(WATCH_STAGES)
    page.click("#upload-submit")
    page.wait_for_selector('#gallery [data-state="enrolling"]')
    page.wait_for_selector('#gallery [data-state="enrolling"]', state="detached")
    shown = page.evaluate("window.stages")
    assert shown
    assert set(shown) <= STAGES
    assert len(set(shown)) == len(shown), "a stage came back"
    [made] = [a for a in get(f"{running.url}/v1/avatars")["avatars"] if a["name"] == "My video"]
    assert made["state"] == "ready", made
    page.click(f'#gallery [data-id="{made["id"]}"]')
    page.select_option("#frame", "16:9")
    session = start(page)
    said = get(f"{running.url}/v1/sessions/{session}")
    assert (said["pipeline"], said["avatar"]) == ("swaptalk", made["id"])
    page.wait_for_function("document.querySelector('#avatar-video').videoWidth > 0")
    stop(page)


def test_another_face_is_put_in_only_where_its_person_agrees(asked, running, video):
    page = asked
    page.set_input_files("#upload-file", video)
    page.fill("#upload-name", "Another")
    assert not page.is_visible("#upload-consent")
    page.set_input_files("#upload-swap-file", CAST[1])
    assert page.is_visible("#upload-consent")
    page.click("#upload-submit")
    assert "agrees" in page.inner_text("#upload-error")
    assert not [a for a in get(f"{running.url}/v1/avatars")["avatars"] if a["name"] == "Another"]
    page.check("#upload-consent")
    page.click("#upload-submit")
    page.wait_for_selector('#gallery [data-state="enrolling"]')
    [made] = [a for a in get(f"{running.url}/v1/avatars")["avatars"] if a["name"] == "Another"]
    assert made["material"] == ["source", "video"]
    page.on("dialog", lambda dialog: dialog.accept())
    page.hover(f'#gallery [data-id="{made["id"]}"]')
    page.click(f'[data-remove="{made["id"]}"]')  # and its enrolment is cancelled
    page.wait_for_selector(f'#gallery [data-id="{made["id"]}"]', state="detached")
    names = [a["name"] for a in get(f"{running.url}/v1/avatars")["avatars"]]
    assert "Another" not in names


def test_portrait_offers_no_swap(page):
    page.select_option("#pipeline", "portrait")
    page.click("#upload-tile")
    page.wait_for_selector("#upload-talk-file")
    assert page.is_visible("#upload-talk")
    assert not page.is_visible("#upload-swap-file")
    page.click("#upload-cancel")
