"""What can be known of the browser extension without a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

EXTENSION = Path(__file__).parents[2] / "integrations" / "extension"
SCRIPTS = sorted(EXTENSION.rglob("*.js"))
NODE = shutil.which("node")


def test_files_that_are_named_are_there():
    manifest = json.loads((EXTENSION / "manifest.json").read_text())
    named = [manifest["background"]["service_worker"], manifest["action"]["default_popup"]]
    named += re.findall(r'"(call/\w+\.js)"', (EXTENSION / "worker.js").read_text())
    named += re.findall(r'(?:href|src)="([\w.]+)"', (EXTENSION / "popup.html").read_text())
    assert len(named) == 8
    assert all((EXTENSION / name).is_file() for name in named)


def test_nothing_is_asked_of_sites_before_the_user_chose_one():
    manifest = json.loads((EXTENSION / "manifest.json").read_text())
    assert manifest["host_permissions"] == ["http://127.0.0.1/*", "http://localhost/*"]
    assert "content_scripts" not in manifest
    assert "tabs" not in manifest["permissions"]


@pytest.mark.skipif(NODE is None, reason="no Node here; install it with: apt-get install nodejs")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script):
    kind = "commonjs" if script.parent.name == "call" else "module"
    command = [str(NODE), "--check", f"--input-type={kind}"]
    done = subprocess.run(command, input=script.read_text(), text=True, capture_output=True)
    assert not done.returncode, done.stderr
