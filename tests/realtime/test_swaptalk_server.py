"""Avatars of `swaptalk` over HTTP, on a server that is killed while it makes one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("mediapipe", reason="enrolling needs vivavoce[enrol]")

from benchmarks.service.browser import ServerProcess
from tests.support.tiny_swaptalk import TINY_SETTINGS, write_weights
from tests.support.videos import drawn_clip, write_clip

PATIENCE_S = 600  # only what never happens takes as long


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Of data and settings; the weights are tiny ones."""
    write_weights(tmp_path / "weights")
    (tmp_path / "none").mkdir()
    settings = (
        f'pipelines = ["swaptalk"]\nsize = 256\ncast_dir = "{tmp_path / "none"}"\n{TINY_SETTINGS}'
    )
    (tmp_path / "vivavoce.toml").write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVAVOCE_WEIGHTS", str(tmp_path / "weights"))
        yield tmp_path


@pytest.fixture
def video(folder: Path) -> Path:
    pictures = drawn_clip().pictures
    return write_clip(folder / "me.mp4", [*pictures, *pictures[::-1]])


def start(folder: Path) -> ServerProcess:
    process = ServerProcess(folder / "data", "--config", str(folder / "vivavoce.toml"))
    try:
        process.wait_ready(PATIENCE_S)
    except BaseException:
        process.stop()
        raise
    return process


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what was waited for never happened"
        time.sleep(0.01)


def test_an_enrolment_goes_on_where_a_killed_server_left_it(folder: Path, video: Path) -> None:
    server = start(folder)
    family = server.family()
    scratch = folder / "data" / "enrolments"
    try:
        answer = httpx.post(
            f"{server.url}/v1/avatars",
            files={"video": ("me.mp4", video.read_bytes())},
            data={"name": "Me", "pipeline": "swaptalk"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code == 202, answer.text
        where = answer.headers["location"]
        until(lambda: list(scratch.glob("*/track.npz")))
    finally:
        server.process.kill()
        server.stop()
    until(lambda: not any(process.is_running() for process in family[1:]))
    [followed] = scratch.glob("*/track.npz")
    before = followed.stat().st_mtime_ns

    again = start(folder)
    stages = set()
    try:

        def settled() -> bool:
            said = httpx.get(again.url + where, timeout=PATIENCE_S).json()
            stages.add(said.get("stage"))
            if followed.exists():  # until the enrolment is done
                assert followed.stat().st_mtime_ns == before
            return bool(said["state"] != "enrolling")

        until(settled)
        said = httpx.get(again.url + where, timeout=PATIENCE_S).json()
        assert (said["state"], said["name"]) == ("ready", "Me"), said
        assert "following the face" not in stages  # nobody followed it again
        assert not followed.exists()
        assert httpx.delete(again.url + where, timeout=PATIENCE_S).status_code == 204
    finally:
        again.stop()
