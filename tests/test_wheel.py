"""The built wheel, alone in a folder: it serves the page and the cast, enrols and renders."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.service.signals import write_wav

ROOT = Path(__file__).parent.parent
PATIENCE_S = 240.0
"""For a server to answer on a machine with every core busy; it takes 5 s on a quiet one."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's files and nothing else of ours."""
    work = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(work), str(ROOT)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = work.glob("*.whl")
    target = work / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def environment(installed: Path, tmp_path: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(installed), "VIVAVOCE_DATA": str(tmp_path / "data")}


def vivavoce(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "realtime.cli", *arguments]


def test_it_holds_the_product_and_nothing_else(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    ours = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert ours == {"bin", "kernels", "pipelines", "realtime"}
    code = "import realtime.cli, pipelines.weights; print(realtime.cli.__file__)"
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith(str(installed))


def test_it_enrols_and_renders(environment: dict[str, str], tmp_path: Path) -> None:
    photo = tmp_path / "someone.png"
    shutil.copy(next((ROOT / "cast").glob("*.png")), photo)
    enrol = vivavoce("enrol", str(photo), "--name", "Someone")
    subprocess.run(enrol, env=environment, cwd=tmp_path, check=True)
    rate = 16_000
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(rate // 2) / rate)
    write_wav(tmp_path / "in.wav", tone.astype(np.float32), rate)
    render = ("render", "--avatar", "Someone", "--audio", "in.wav", "--out", "out.mp4")
    subprocess.run(vivavoce(*render, "--size", "256"), env=environment, cwd=tmp_path, check=True)
    with av.open(str(tmp_path / "out.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 13


@contextlib.contextmanager
def served(environment: dict[str, str], cwd: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = vivavoce("serve", "--port", str(port), "--size", "256")
    server = subprocess.Popen(command, env=environment, cwd=cwd)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE_S)


def fetch(url: str) -> bytes:
    """The body of `url`, asked for again until it answers 200."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            assert time.monotonic() < deadline, f"{url}: {error}"
            time.sleep(0.2)


def test_it_serves_the_page_and_the_cast(environment: dict[str, str], tmp_path: Path) -> None:
    with served(environment, tmp_path) as url:
        assert json.loads(fetch(f"{url}/ready")) == {"status": "ready"}
        assert b"<title>vivavoce" in fetch(url)
        avatars = json.loads(fetch(f"{url}/v1/avatars"))["avatars"]
        assert len(avatars) == len(list((ROOT / "cast").glob("*.png")))
        assert fetch(urllib.parse.urljoin(url, avatars[0]["image"])).startswith(b"\xff\xd8")
