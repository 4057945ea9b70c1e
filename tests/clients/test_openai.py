"""OpenAI's own clients: Python and Node by WebSocket, Chromium by WebRTC."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.bundles import blank_page, bundle
from tests.clients.environments import node_dir, python_of
from tests.support.pages import MARKS, PATIENCE_S, get, until, wait_until_empty

pytestmark = MARKS
HERE = Path(__file__).parent


def run(command: list[Any], **options: Any) -> dict[str, Any]:
    """What a client printed last, as JSON."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def an_avatar(url: str) -> str:
    return str(get(f"{url}/v1/avatars")["avatars"][1]["id"])


def test_the_python_client_speaks_and_interrupts(running):
    command = [python_of("openai"), HERE / "openai_client.py", running.url, an_avatar(running.url)]
    told = run(command)
    assert told["kinds"] == ["session.created", "session.updated", 24_000]
    whole, cut = told["whole"], told["cut"]
    assert whole["played_ms"] == 1_000
    assert whole["samples"] > 23_000  # silence where it pushed too slowly comes on top
    assert {"input_audio_buffer.committed", "response.created", "response.done"} <= set(
        whole["types"]
    )
    assert "error" not in whole["types"]
    assert cut["truncated"] == cut["item"]
    assert cut["response"].partition("_")[2] == cut["item"].partition("_")[2]
    assert cut["asked"] <= cut["played_ms"] < 20_000
    assert cut["samples"] / 24 > cut["played_ms"] - 41
    assert told["error"] == {"code": "unknown_event", "event_id": "mine"}
    wait_until_empty(running)


def test_the_agents_client_in_node_hears_the_voice_and_interrupts(running):
    node, url = node_dir(), running.url.replace("http", "ws")
    command = [node / "bin" / "node", "--input-type=module", "-"]
    script = (HERE / "openai_agents.mjs").read_text()
    told = run([*command, f"{url}/v1/realtime?model=avatar"], cwd=node, input=script)
    assert told["whole"] > 46_000
    assert told["bytes"] < 20 * 48_000
    assert {"audio_start", "audio_stopped", "audio_interrupted"} <= set(told["happened"])
    assert "conversation.item.truncated" in told["types"]
    assert not set(told["errors"]) - {"response_cancel_not_active"}
    wait_until_empty(running)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return bundle("openai", tmp_path_factory.mktemp("bundle"))


def test_the_agents_client_in_a_browser_sees_the_avatar_say_what_it_pushes(
    running, browser, script
):
    with blank_page(browser, running.url, script) as page:
        page.evaluate("window.start(location.origin + '/v1/realtime/calls?audio=push', true)")
        until(lambda: (page.evaluate("window.video()") or {}).get("width") == 256)
        since = page.evaluate("window.video().time")
        until(lambda: page.evaluate("window.video().time") > since + 1)
        page.evaluate("window.push(20)")  # the client asks for turns, and its microphone speaks
        until(lambda: "output_audio_buffer.cleared" in page.evaluate("window.log"))
        page.evaluate("window.takeNoTurns()")
        page.evaluate("window.push(1)")
        until(lambda: "output_audio_buffer.stopped" in page.evaluate("window.log"))
        assert not [entry for entry in page.evaluate("window.log") if entry.startswith("error")]
        page.evaluate("window.log = []")
        page.evaluate("window.push(20)")
        until(lambda: "output_audio_buffer.started" in page.evaluate("window.log"))
        page.evaluate("window.session.interrupt()")
        until(lambda: "output_audio_buffer.cleared" in page.evaluate("window.log"))
        assert page.evaluate("window.received()").keys() == {"audio", "video"}
        assert not [entry for entry in page.evaluate("window.log") if entry.startswith("error")]
        page.evaluate("window.session.close()")
        wait_until_empty(running)


def test_the_agents_client_in_a_browser_may_do_without_a_picture(running, browser, script):
    with blank_page(browser, running.url, script) as page:
        page.evaluate("window.start(location.origin + '/v1/realtime/calls', false)")
        until(lambda: page.evaluate("window.received()").get("audio", 0) > 50)
        page.evaluate("window.session.interrupt()")
        until(lambda: "output_audio_buffer.cleared" in page.evaluate("window.log"))
        page.evaluate("window.session.close()")
        wait_until_empty(running)
