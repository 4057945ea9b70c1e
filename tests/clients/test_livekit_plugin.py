"""The agent's half of the LiveKit plugin: what it asks for, and what it says when that fails."""

import json
import os
import subprocess

from tests.clients.bundles import HERE
from tests.clients.environments import python_of
from tests.support.pages import wait_until_empty


def test_an_agent_gets_an_avatar_process_and_a_token_for_it(running):
    program = [python_of("livekit"), HERE / "livekit_plugin.py", running.url]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("LIVEKIT_")}
    ran = subprocess.run(program, capture_output=True, text=True, env=inherited)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-8000:]
    report = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    assert report["plugins"] == ["livekit.plugins.vivavoce"]
    assert "LIVEKIT_URL" in report["refusal"]
    assert report["output"]
    assert report["status"] == 1
    assert "the avatar cannot go on" in ran.stderr
    assert report["identity"] == "vivavoce-avatar"
    assert report["kind"] == "agent"
    assert report["room"] == "room"
    assert report["attributes"] == {"lk.publish_on_behalf": "agent"}
    assert report["gone"]
    wait_until_empty(running)
