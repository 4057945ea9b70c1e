"""The container files of deploy/, by hadolint and by the schema of compose files."""

import subprocess

from tests.clients.environments import python_of
from tests.support.proxies import DEPLOY


def findings(program: str, *arguments: object) -> str:
    """What a program of the environment says against a file; nothing, if it finds no fault."""
    path = python_of("lint").with_name(program)
    said = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True)
    return "" if said.returncode == 0 else said.stdout + said.stderr


def test_the_image(tmp_path):
    assert findings("hadolint", DEPLOY / "Dockerfile") == ""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && sudo ls\n")
    assert "DL3004" in findings("hadolint", bad)


def test_the_services(tmp_path):
    schema = "--builtin-schema", "vendor.compose-spec"
    assert findings("check-jsonschema", *schema, DEPLOY / "compose.yaml") == ""
    bad = tmp_path / "compose.yaml"
    bad.write_text((DEPLOY / "compose.yaml").read_text().replace("network_mode", "network_made"))
    assert "network_made" in findings("check-jsonschema", *schema, bad)
