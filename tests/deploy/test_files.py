"""The files of deploy/ are what they should be, as far as can be said without a server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.config import load_config
from tests.support.proxies import DEPLOY


def test_the_settings_are_those_of_the_server(tmp_path):
    text = (DEPLOY / "vivavoce.toml").read_text()
    secret = tmp_path / "secret"
    secret.write_text("shared\n")
    path = tmp_path / "vivavoce.toml"
    path.write_text(text.replace("/run/secrets/turn_secret", str(secret)))
    config = load_config(path, {})
    [turn] = config.ice_servers().describe()
    assert [url.split("?")[1] for url in turn["urls"]] == [
        "transport=udp",
        "transport=tcp",
        "transport=tcp",
    ]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_has_no_faults(tmp_path):
    unit = tmp_path / "vivavoce.service"
    text = (DEPLOY / "vivavoce.service").read_text()
    text, found = re.subn(r"ExecStart=\S+", f"ExecStart={sys.executable}", text)
    assert found == 1
    unit.write_text(text)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    own = [line for line in checked.stderr.splitlines() if "vivavoce" in line]
    assert own == []


def test_what_the_image_is_made_of_is_there():
    text = (DEPLOY / "Dockerfile").read_text()
    sources = [
        word
        for words in re.findall(r"(?m)^COPY (.+)$", text)
        for word in words.split()[:-1]
        if not word.startswith("--")
    ]
    assert {"realtime", "web_client", "cast", "weights", "pyproject.toml"} <= set(sources)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for source in sources:
        assert (DEPLOY.parent / source).exists()
        assert f"!{source}" in ignored
    [pinned] = re.findall(r"torch==(\S+)", text)
    assert f"torch=={pinned}" in (DEPLOY.parent / "pyproject.toml").read_text()
    packages = re.search(r"install -y --no-install-recommends (.+) \\", text)
    assert packages is not None
    install = re.search(r"(?m)^server=\((.+)\)", (DEPLOY / "system-packages.sh").read_text())
    assert install is not None
    assert set(packages[1].split()) == set(install[1].split())
    [number] = re.findall(r"useradd .*--uid (\d+) vivavoce", text)
    assert re.search(rf"(?m)^USER {number}$", text)
    assert f"user {number}" in (DEPLOY / "compose.yaml").read_text()


def test_nothing_in_them_is_a_real_secret_or_place():
    for path in DEPLOY.iterdir():
        if path.is_file() and path.suffix != ".sh":
            assert not re.search(r"static-auth-secret=(?!SECRET$)", path.read_text(), re.MULTILINE)
            assert "BEGIN" not in path.read_text()


def test_the_services_of_the_compose_file():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    assert services.keys() == {"vivavoce", "caddy", "coturn"}
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            held = source in compose["volumes"] or (DEPLOY / Path(source)).is_file()
            assert held, source
    context = services["vivavoce"]["build"]
    assert (DEPLOY / context["context"] / context["dockerfile"]).resolve().is_file()
